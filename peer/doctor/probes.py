"""Small measurements: how fast a disk takes a file, and how much room is on it. They block."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from peer.doctor.verdicts import Disk

WRITE_BYTES: Final = 32 << 20
"""Enough for a few seconds of the slowest disk that is of use, and gone again at once."""
PIECE_BYTES: Final = 1 << 20


def measure_disk(
    folder: Path, *, now: Callable[[], float], random_bytes: Callable[[int], bytes]
) -> Disk:
    """Room and speed of the disk with this folder, or with where it would be made."""
    while not folder.exists():
        folder = folder.parent
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Disk(0, None, error.strerror or "")
    if free < 4 * WRITE_BYTES:
        return Disk(free, None)
    piece = random_bytes(PIECE_BYTES)
    began = now()
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            for _ in range(WRITE_BYTES // PIECE_BYTES):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return Disk(free, None, error.strerror or "")
    return Disk(free, WRITE_BYTES / max(now() - began, 1e-6))
