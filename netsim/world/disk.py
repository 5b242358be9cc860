"""The disk of a simulated computer: real files in a folder, and the faults of real disks.

The folder lies on a file system in memory where there is one (`default_root`), since a year of
nights writes millions of small files that nobody keeps. Faults sit where the store meets the disk:

    full       nothing more can be written; what is there can be read and deleted
    broken     each touch fails with EIO, with the chance `errors`
    lost       the disk is replaced by an empty one

Deaths at each single storage call, with what was not synced lost, are in `tests/support/faults.py`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from peer.holding.refusals import as_no_room
from peer.holding.store import Put, ShareStore
from signaling.messages import MemberId

IN_MEMORY = Path("/dev/shm")
OPEN_FILES = Path("/proc/self/fd")
STEADY_FD = 700
"""No other code of a simulator's process opens so many files, so this number is free."""
ROOM_BYTES_MIN = 1 << 30
"""A file system in memory with less room than that is not used."""


@contextlib.contextmanager
def default_root() -> Iterator[tuple[Path, str]]:
    """A folder for a world, gone at the end, and where it is, for a person."""
    parent, where = None, "on the disk: no file system in memory was found, so it is slower"
    if os.access(IN_MEMORY, os.W_OK) and shutil.disk_usage(IN_MEMORY).free >= ROOM_BYTES_MIN:
        parent, where = IN_MEMORY, "in memory"
    with tempfile.TemporaryDirectory(prefix="covey-world-", dir=parent) as folder:
        yield Path(folder), where


@contextlib.contextmanager
def steady_name(root: Path) -> Iterator[Path]:
    """A name for a world's folder that is the same wherever it lies.

    Paths are part of what is backed up, and so of each pack's id and of who gets which share: under
    another path the same seed would take another course. Where there is no /proc, it does.
    """
    if not OPEN_FILES.is_dir():
        yield root
        return
    opened = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        steady = fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, STEADY_FD)
    finally:
        os.close(opened)
    try:
        yield OPEN_FILES / str(steady)
    finally:
        os.close(steady)


class Disk:
    """One computer's. `home` is the member's state, `files` what its person has."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._folder, self._chance = folder, chance
        self.home, self.files = folder / "home", folder / "files"
        self.is_full = False
        self.errors = 0.0
        """The chance that a touch of the store fails."""
        self._make()

    def _make(self) -> None:
        for folder in (self.home / "spool", self.home / "held", self.files):
            folder.mkdir(parents=True, exist_ok=True)

    def lose(self) -> None:
        """All that was on it is gone; an empty one takes its place."""
        self.remove()
        self.is_full, self.errors = False, 0.0
        self._make()

    def remove(self) -> None:
        """All that was on it is gone."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def write_check(self) -> None:
        """Raises OSError when writing does not work now."""
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.read_check()

    def read_check(self) -> None:
        """Raises OSError when reading does not work now."""
        if self.errors and self._chance.random() < self.errors:
            raise OSError(errno.EIO, "Input/output error")


class FaultyStore(ShareStore):
    """The real store on a disk that may fail, at the places where the real one fails."""

    def __init__(
        self,
        disk: Disk,
        *,
        limit_bytes: int,
        wall_s: Callable[[], float],
        monotonic_s: Callable[[], float],
    ) -> None:
        self._disk = disk
        super().__init__(
            disk.home / "held",
            limit_bytes=limit_bytes,
            wall_s=wall_s,
            monotonic_s=monotonic_s,
            free_bytes_min=0,
        )

    def begin_put(self, owner: MemberId, name: bytes, header: bytes, length: int) -> Put:
        """See ShareStore."""
        try:
            self._disk.read_check()
        except OSError as error:
            raise as_no_room(error) from error
        return super().begin_put(owner, name, header, length)

    def append(self, put: Put, data: bytes) -> None:
        """See ShareStore."""
        try:
            self._disk.write_check()
        except OSError as error:
            raise as_no_room(error) from error
        super().append(put, data)

    def finish_put(self, put: Put) -> None:
        """See ShareStore: the sync fails."""
        if put.hasher is not None:
            try:
                self._disk.read_check()
            except OSError as error:
                self.abort(put)
                raise as_no_room(error) from error
        super().finish_put(put)

    def room_bytes(self) -> int:
        """See ShareStore."""
        return 0 if self._disk.is_full else super().room_bytes()
