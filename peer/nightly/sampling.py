"""One look at the computer a second: processor, battery, and what this network costs.

Whose processor time it is: that of this process and all its children is ours, all else is the
person's. A night's workers are children of children; those that ended are in their parents' times.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys

import psutil

from peer.nightly.manners import Sample

METERED_EVERY = 60
"""Samples between two looks at what the network costs, which starts a program."""
_NMCLI_S = 3.0
_BYTE_WORK = {"peer.engine", "peer.backup.worker", "peer.restore.worker"}


class Sampler:
    """Looks at this computer. `look` is for a thread: it reads a few files of the system."""

    def __init__(self) -> None:
        self._all: tuple[float, float] | None = None
        self._ours = 0.0
        self._metered = False
        self._count = 0

    def look(self) -> Sample:
        """The first one tells nothing about the processor yet."""
        if self._count % METERED_EVERY == 0:
            self._metered = is_metered()
        self._count += 1
        return Sample(self._others_cpu(), _battery_percent(), self._metered)

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


def _battery_percent() -> float | None:
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    return None if battery is None or battery.power_plugged else float(battery.percent)


def is_metered() -> bool:
    """Whether the system says that this network is paid by the byte (NetworkManager does)."""
    program = shutil.which("nmcli") if sys.platform.startswith("linux") else None
    if program is None:
        return False
    try:
        told = subprocess.run(
            [program, "-t", "-f", "GENERAL.METERED", "device", "show"],
            capture_output=True,
            text=True,
            timeout=_NMCLI_S,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    return any(line.partition(":")[2].startswith("yes") for line in told.splitlines())
