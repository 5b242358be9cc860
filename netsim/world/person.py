"""The person at a simulated computer: has files, changes some of them each day, looks at them.

Files get the world's time as theirs, since it is part of what is backed up and must be the same in
every run of a seed.
"""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

FILE_BYTES = (200, 6_000)
"""Small, so that a night is quick; what is large is tried by other tests."""
FILES_FIRST = 6
FILES_MAX = 12

Look = dict[str, str]
"""What stood where: path below the folder -> hash of the content."""


class Person:
    """Works in one folder."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._folder, self._chance = folder, chance
        self._made = 0
        self.seen: Look = {}
        """What was there when it was last asked for."""

    def begin(self, now_ns: int) -> None:
        """Have some files."""
        for _ in range(FILES_FIRST):
            self._write(self._new_path(), now_ns)

    def work(self, now_ns: int) -> None:
        """Write a file or two, now and then delete one."""
        files = self._files()
        if len(files) >= FILES_MAX or (files and self._chance.random() < 0.1):
            gone = self._chance.choice(files)
            gone.unlink()
            os.utime(self._folder, ns=(now_ns, now_ns))
            files.remove(gone)
        for _ in range(self._chance.randint(1, 2)):
            is_new = not files or self._chance.random() < 0.4
            self._write(self._new_path() if is_new else self._chance.choice(files), now_ns)

    def look(self) -> Look:
        """What is there."""
        return {path.name: _hash(path) for path in self._files()}

    def sweep(self) -> None:
        """Delete everything."""
        for path in self._files():
            path.unlink()

    def _files(self) -> list[Path]:
        return sorted(self._folder.iterdir())

    def _new_path(self) -> Path:
        self._made += 1
        return self._folder / f"file {self._made}"

    def _write(self, path: Path, now_ns: int) -> None:
        path.write_bytes(self._chance.randbytes(self._chance.randint(*FILE_BYTES)))
        for changed in (path, self._folder):
            os.utime(changed, ns=(now_ns, now_ns))


def _hash(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
