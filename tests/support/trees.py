"""Entries without a backup, and a place to restore them to."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from chunking.formats import KIND_DIR, KIND_FILE, KIND_SYMLINK, NO_CONTENT, Content, Entry
from peer.files.checkout import Checkout, Parts

SOME_IDS = Content(0, b"i" * 32)
NOON_NS = 1_234_567_890_123_456_789


def parts_of(path: str | bytes) -> Parts:
    """The names in a relative path."""
    return tuple(os.fsencode(path).split(b"/")) if path else ()


def an_entry(kind: int, **fields: Any) -> Entry:
    """An entry of this user's with these fields."""
    mode = 0o755 if kind == KIND_DIR else 0o644
    known = {"name": b"name", "kind": kind, "mode": mode, "mtime_ns": NOON_NS, "size": 0}
    return Entry(**{**known, "uid": os.geteuid(), "gid": os.getegid(), **fields})


def a_file(size: int, **fields: Any) -> Entry:
    """A file that has content if it has a size."""
    content = fields.pop("content", SOME_IDS if size else NO_CONTENT)
    return an_entry(KIND_FILE, size=size, content=content, **fields)


def a_folder(**fields: Any) -> Entry:
    """A folder."""
    return an_entry(KIND_DIR, **fields)


def a_link(target: bytes, **fields: Any) -> Entry:
    """A symbolic link."""
    return an_entry(KIND_SYMLINK, target=target, **{"mode": 0o777, **fields})


class Sandbox:
    """A target folder, and checkouts to it."""

    def __init__(self, root: Path, *, by_descriptor: bool = True) -> None:
        self.target = root / "target"
        self.by_descriptor = by_descriptor
        self._open_before = _open_descriptors()

    def checkout(self, **options: Any) -> Checkout:
        """A checkout to the target."""
        return Checkout(os.fsencode(self.target), by_descriptor=self.by_descriptor, **options)

    def at(self, path: str | bytes) -> Path:
        """A path below the target."""
        return self.target / os.fsdecode(path)

    def check_nothing_is_open(self) -> None:
        """Fails when a descriptor was forgotten."""
        assert _open_descriptors() == self._open_before


def write_file(checkout: Checkout, path: str | bytes, data: bytes = b"", **fields: Any) -> bool:
    """Restore a file; whether it was written."""
    writer = checkout.open_file(parts_of(path), a_file(len(data), **fields))
    if writer is None:
        return False
    try:
        writer.write(data)
        writer.done()
    finally:
        writer.abort()
    return True


def leftovers(folder: Path) -> list[str]:
    """Unfinished files that were left behind."""
    return [name for _, _, names in os.walk(folder) for name in names if name.endswith(".part")]


def _open_descriptors() -> set[str]:
    with contextlib.suppress(FileNotFoundError):
        return {fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")}
    return set()
