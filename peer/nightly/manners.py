"""Whether a person is busy at this computer, and what a night may take then: pure rules.

Nights that come by themselves wait for an idle moment, for the mains or a full enough battery, and
for a network that nobody pays by the byte. One that is under way when a person begins to work is
held back to a few per cent of a processor within seconds and let go when they are done. A night
that a person asked for goes on; it stops only when the battery is nearly empty.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

BUSY_CPU, IDLE_CPU = 0.35, 0.2
"""The part of all processors that others use: above the first somebody works, below the second
nobody does; between the two it stays as it was."""
IDLE_SAMPLES, BUSY_SAMPLES = 5, 2
"""Samples in a row until it is believed."""
BATTERY_MIN = 30
"""Per cent; below it, and off the mains, nothing runs by itself."""
HELD_BACK = 0.05
"""The part of the time that a night runs while somebody works."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the computer. `others_cpu` is the part of all processors that is not ours."""

    others_cpu: float
    battery_percent: float | None = None
    """None without a battery, or on the mains."""
    metered: bool = False


class Manners:
    """What the last samples come to."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=IDLE_SAMPLES)
        self._last = Sample(0.0)
        self._busy = False

    def hear(self, sample: Sample) -> None:
        """The newest look, one a second."""
        self._last = sample
        self._recent.append(sample.others_cpu)
        recent = list(self._recent)
        if len(recent) >= BUSY_SAMPLES and min(recent[-BUSY_SAMPLES:]) > BUSY_CPU:
            self._busy = True
        elif len(recent) == IDLE_SAMPLES and max(recent) < IDLE_CPU:
            self._busy = False

    def waiting_because(self) -> str:
        """Why no night should begin by itself now; empty when it may."""
        battery = self._low_battery()
        if battery:
            return battery
        if self._last.metered:
            return "This network is paid by the byte."
        return "Somebody is working at this computer." if self._busy else ""

    def pace(self, *, asked_for: bool) -> float:
        """The part of the time that a night under way may run: 0 stops it for now."""
        if self._low_battery():
            return 0.0
        if asked_for:
            return 1.0
        if self._last.metered:
            return 0.0
        return HELD_BACK if self._busy else 1.0

    def _low_battery(self) -> str:
        percent = self._last.battery_percent
        if percent is None or percent >= BATTERY_MIN:
            return ""
        return f"The battery is at {percent:.0f} %."
