"""The person comes first: byte work takes what others leave of processor and disk."""

from __future__ import annotations

import contextlib
import re
import sys

import psutil

LOOPBACK = re.compile(r"lo\d*|.*loopback.*", re.IGNORECASE)
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


class Traffic:
    """What this computer sends and receives over its network, whoever does it.

    At each look the interface that carried most since the last one counts: a tunnel's bytes pass a
    real interface too, and a bridge's as well, so that a sum would have them twice.
    """

    def __init__(self) -> None:
        self._sent = self._received = 0
        self._before = _carried()

    def __call__(self) -> tuple[int, int]:
        """Bytes sent and received since this was made."""
        now = _carried()
        known = [(now[name], self._before[name]) for name in now.keys() & self._before.keys()]
        self._sent += max((one[0] - before[0] for one, before in known), default=0)
        self._received += max((one[1] - before[1] for one, before in known), default=0)
        self._before = now
        return self._sent, self._received


def _carried() -> dict[str, tuple[int, int]]:
    """Bytes sent and received by each interface but the loopback."""
    counters = psutil.net_io_counters(pernic=True)
    return {
        name: (one.bytes_sent, one.bytes_recv)
        for name, one in counters.items()
        if not LOOPBACK.fullmatch(name)
    }
