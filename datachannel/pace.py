"""How fast a link has been in the last seconds. Pure: totals and the time are handed in."""

from __future__ import annotations

from collections import deque
from typing import Final

SAMPLES_MAX: Final = 3
"""With one every few seconds: about ten seconds, in which a pause between two shares vanishes."""


class Pace:
    """Bytes a second over the last few samples."""

    def __init__(self, now: float) -> None:
        self._samples: deque[tuple[int, float]] = deque([(0, now)], maxlen=SAMPLES_MAX)

    def note(self, total: int, now: float) -> None:
        """So many bytes until now. Call it every few seconds."""
        self._samples.append((total, now))

    def per_s(self, total: int, now: float) -> float:
        """With so many bytes until now."""
        before, at = self._samples[0]
        return max(total - before, 0) / (now - at) if now > at else 0.0
