"""Whether a person is busy at this computer, and what a night may take then: pure rules.

Nights that come by themselves wait for an idle moment, for the mains or a full enough battery, and
for a network that nobody pays by the byte. One that is under way when a person begins to work is
held back to a few per cent of a processor within seconds and let go when they are done; one that is
under way when the battery gets low ends, and goes on later. All of it is for nights that come by
themselves: what a person asks for is done at once.

Whether the disk and the network are busy counts only until a night begins. During it most of that
is the night itself; there the lowest disk priority and the links' own restraint do the yielding.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

BUSY_CPU, IDLE_CPU = 0.35, 0.2
"""The part of all processors that others use: above the first somebody works, below the second
nobody does; between the two it stays as it was."""
BUSY_DISK = 0.5
"""The part of the time that the busiest disk is at work."""
BUSY_NETWORK = 500_000
"""Bytes a second, both ways, that are not the links': a film, a call with pictures."""
IDLE_SAMPLES, BUSY_SAMPLES = 5, 2
"""Samples in a row until it is believed. Until the first five, it counts as busy: an agent that
starts at login must not mistake a computer that it has not looked at for an idle one."""
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
    disk: float = 0.0
    """The part of the time that the busiest disk was at work, for whomever."""
    others_network: float = 0.0
    """Bytes a second that are not the links'."""


class Manners:
    """What the last samples come to."""

    def __init__(self) -> None:
        self._recent: deque[Sample] = deque(maxlen=IDLE_SAMPLES)
        self._busy = True

    def hear(self, sample: Sample) -> None:
        """The newest look, one a second."""
        self._recent.append(sample)
        loads = [one.others_cpu for one in self._recent]
        if len(loads) == IDLE_SAMPLES and max(loads) < IDLE_CPU:
            self._busy = False
        elif len(loads) >= BUSY_SAMPLES and min(loads[-BUSY_SAMPLES:]) > BUSY_CPU:
            self._busy = True

    def forbidden_because(self) -> str:
        """Why no night may run by itself, however long it waits; empty when it may."""
        if not self._recent:
            return ""
        last = self._recent[-1]
        if last.battery_percent is not None and last.battery_percent < BATTERY_MIN:
            return f"The battery is at {last.battery_percent:.0f} %."
        return "This network is paid by the byte." if last.metered else ""

    def busy_because(self) -> str:
        """Why a night had better wait; empty when the computer is idle."""
        if self._busy:
            return "Somebody is working at this computer."
        count = len(self._recent)
        if sum(one.disk for one in self._recent) > BUSY_DISK * count:
            return "The disk is busy."
        if sum(one.others_network for one in self._recent) > BUSY_NETWORK * count:
            return "The network is busy."
        return ""

    def waiting_because(self) -> str:
        """Why no night should begin by itself now; empty when it may."""
        return self.forbidden_because() or self.busy_because()

    def pace(self) -> float:
        """The part of the time that a night under way may run, if it came by itself."""
        return HELD_BACK if self._busy else 1.0
