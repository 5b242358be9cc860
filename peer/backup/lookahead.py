"""A quick look at how much there is, so that progress of a first night can be told."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable


def count_files(marks: Iterable[bytes], exclude: Iterable[bytes]) -> tuple[int, int]:
    """(files, bytes) below the marks. What cannot be looked at is left out."""
    files = size = 0
    excluded = set(exclude)
    left: list[bytes] = []
    for mark in marks:
        with contextlib.suppress(OSError):
            found = os.lstat(mark)
            if stat.S_ISDIR(found.st_mode):
                left.append(mark)
            elif stat.S_ISREG(found.st_mode):
                files += 1
                size += found.st_size
    while left:
        with contextlib.suppress(OSError), os.scandir(left.pop()) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    files += 1
                    size += entry.stat(follow_symlinks=False).st_size
                elif entry.is_dir(follow_symlinks=False) and entry.path not in excluded:
                    left.append(entry.path)
    return files, size
