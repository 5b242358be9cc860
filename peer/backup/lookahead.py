"""A quick look at how much there is, so that progress of a first night can be told."""

from __future__ import annotations

import contextlib
import os

from chunking.formats import KIND_DIR, KIND_FILE
from peer.files import reader
from peer.files.reader import Found


def count_files(marks: list[bytes], exclude: list[bytes]) -> tuple[int, int]:
    """A quick look ahead for the progress bar: (files, bytes) below the marks."""
    files = size = 0
    excluded = set(exclude)
    left: list[bytes] = []

    def count(path: bytes, found: Found) -> None:
        nonlocal files, size
        if found.kind == KIND_DIR and path not in excluded:
            left.append(path)
        elif found.kind == KIND_FILE:
            files += 1
            size += found.size

    for mark in marks:
        with contextlib.suppress(OSError):
            count(mark, reader.stat_root(mark))
    while left:
        folder = left.pop()
        with contextlib.suppress(OSError):
            for found in reader.list_directory(folder):
                count(os.path.join(folder, found.name), found)
    return files, size
