"""Small steps on the disk of the held shares."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from peer.state import sync_folder


def write_all(fd: int, data: bytes) -> None:
    """Write all of it, however many calls that takes. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, durably."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
        sync_folder(path.parent)


def size_below(folder: Path) -> int:
    """Bytes of all files below a folder; 0 when there is none."""
    size = 0
    stack = [str(folder)]
    while stack:
        with contextlib.suppress(FileNotFoundError), os.scandir(stack.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    stack.append(entry.path)
                else:
                    size += entry.stat(follow_symlinks=False).st_size
    return size
