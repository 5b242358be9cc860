"""The person comes first: byte work takes what others leave of processor and disk."""

from __future__ import annotations

import contextlib
import sys

import psutil

NICENESS = 10
DISK_PRIORITY_LOWEST = 7
"""Of the best-effort class. The idle class could stand still for hours on a busy disk."""


def yield_to_the_person() -> None:
    """Lower this process's claim on processor and disk; its children inherit it."""
    process = psutil.Process()
    with contextlib.suppress(psutil.Error, OSError):
        if sys.platform == "win32":
            process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
        elif process.nice() < NICENESS:
            process.nice(NICENESS)
    if sys.platform == "linux":
        with contextlib.suppress(psutil.Error, OSError):
            process.ionice(psutil.IOPRIO_CLASS_BE, DISK_PRIORITY_LOWEST)
