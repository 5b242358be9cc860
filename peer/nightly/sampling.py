"""One look at the computer a second: processor, disk, network and its price, battery.

Whose processor time it is: that of this process and all its children is ours, all else is the
person's. A night's workers are children of children; those that ended are in their parents' times.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import psutil

from peer.nightly.manners import Sample
from peer.nightly.metered import is_metered
from peer.politeness import Traffic

METERED_EVERY = 60
"""Samples between two questions about what the network costs."""
LINK_OVERHEAD = 1.15
"""What links carry is more on the wire: headers of IP, UDP, DTLS and SCTP, packets sent anew."""
_BYTE_WORK = {"peer.engine", "peer.backup.worker", "peer.restore.worker"}


class Sampler:
    """Looks at this computer. `look` is for a thread: it reads a few files of the system."""

    def __init__(
        self,
        metered: Callable[[], bool] = is_metered,
        clock: Callable[[], float] = time.monotonic,  # noqa: TID251 - used in a thread
    ) -> None:
        self._ask_metered, self._clock = metered, clock
        self._traffic = Traffic()
        self._all: tuple[float, float] | None = None
        self._ours = 0.0
        self._at: float | None = None
        self._disks: dict[str, float] = {}
        self._moved = self._carried = 0
        self._metered = False
        self._count = 0

    def look(self, carried: int = 0) -> Sample:
        """`carried` is how many bytes our links carried so far, both ways.

        The first look tells nothing yet about what is a difference of two.
        """
        if self._count % METERED_EVERY == 0:
            self._metered = self._ask_metered()
        self._count += 1
        now, before = self._clock(), self._at
        self._at = now
        seconds = 0.0 if before is None else now - before
        return Sample(
            others_cpu=self._others_cpu(),
            battery_percent=_battery_percent(),
            metered=self._metered,
            disk=self._disk(seconds),
            others_network=self._others_network(carried, seconds),
        )

    def _others_cpu(self) -> float:
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        ours = _our_cpu_s()
        before, self._all = self._all, (total, idle)
        ours_before, self._ours = self._ours, ours
        if before is None or total <= before[0]:
            return 0.0
        passed = total - before[0]
        busy = passed - (idle - before[1])
        others = max(0.0, busy - max(0.0, ours - ours_before)) / passed
        return float(min(1.0, others))

    def _disk(self, seconds: float) -> float:
        before, self._disks = self._disks, _busy_disk_s()
        spent = [now - before[name] for name, now in self._disks.items() if name in before]
        return min(1.0, max(0.0, max(spent, default=0.0)) / seconds) if seconds > 0 else 0.0

    def _others_network(self, carried: int, seconds: float) -> float:
        moved = sum(self._traffic())
        others = (moved - self._moved) - LINK_OVERHEAD * max(0, carried - self._carried)
        self._moved, self._carried = moved, carried
        return max(0.0, others) / seconds if seconds > 0 else 0.0


def byte_workers() -> list[psutil.Process]:
    """The processes of the byte work that is under way: an engine, and those that it started."""
    found = []
    for process in _children():
        with contextlib.suppress(psutil.Error):
            if _BYTE_WORK.intersection(process.cmdline()):
                found.append(process)
    return found


def _children() -> list[psutil.Process]:
    try:
        return list(psutil.Process().children(recursive=True))
    except psutil.Error:
        return []


def _our_cpu_s() -> float:
    spent = 0.0
    for process in (psutil.Process(), *_children()):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            spent += times.user + times.system
            spent += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return spent


def _busy_disk_s() -> dict[str, float]:
    """Seconds that each disk was at work so far; nothing where the system does not count them."""
    try:
        counters = psutil.disk_io_counters(perdisk=True) or {}
    except (OSError, RuntimeError, NotImplementedError):
        return {}
    return {name: getattr(one, "busy_time", 0) / 1000 for name, one in counters.items()}


def _battery_percent() -> float | None:
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    return None if battery is None or battery.power_plugged else float(battery.percent)
