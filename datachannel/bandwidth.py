"""How fast links may be, so that the person notices nothing. Pure: times and totals are handed in.

`Bucket` holds a rate. `Spare` finds the rate that leaves the line to the person, in the manner of
LEDBAT (RFC 6817): data that waits in a queue somewhere makes round trips longer than they ever
were, so as long as they are not, there is room. It also knows what the person's own programs send,
and makes room for that before any queue has grown.

Not here: who waits, and for what (throttle.py).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

BURST_BYTES_MIN: Final = 64 * 1024
"""A frame always goes in one piece."""
BURST_S: Final = 0.05
"""More at a time would be a queue of its own in the person's router."""

TARGET_S: Final = 0.05
"""So much longer than ever may a round trip be. RFC 6817 allows 100 ms; a call stands 50 more."""
DELAYS: Final = 3
"""The least of so many measurements counts: a friend's computer may be busy for a moment."""
BASE_AGE_S: Final = 600.0
"""The shortest round trip is forgotten after this, since a new route may be longer."""
START_BYTES_PER_S: Final = 128_000.0
LEAST_BYTES_PER_S: Final = 16_000.0
"""Below it a link with many streams would look stuck; a call on 1 Mbit/s can do without."""
MOST_BYTES_PER_S: Final = 1e10
FIRST_GROWTH: Final = 1.5
"""A measurement, until the line was full for the first time."""
GROWTH: Final = 0.04
"""A measurement with an empty queue: from a half to the whole in five seconds."""
CUT_MAX: Final = 0.5
CUT_OF_EXCESS: Final = 0.15
"""Of the rate, for a queue twice the target."""
IN_USE: Final = 0.7
"""Whoever takes less than this of the rate has no need of more."""
IDLE: Final = 0.1
"""Whoever takes less than this of the rate has nothing to do with queues."""
LINE_AGE_S: Final = 60.0
"""The most that the line has carried is remembered for so long."""
ROOM: Final = 1.05
"""Of that most: the person's part and ours, and a little that we may not know of yet."""
PERSON_SHARE_MIN: Final = 0.1
"""Of the line. Less is our own overhead, or a web page."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a person allows, in bytes a second; None is no bound. `spare`: only what nobody else
    uses."""

    up_bytes_per_s: float | None = None
    down_bytes_per_s: float | None = None
    spare: bool = False


class Bucket:
    """A rate that holds on average and over every `BURST_S`. Without a rate all may pass."""

    def __init__(self, now: float) -> None:
        self.rate: float | None = None
        self._level = 0.0
        self._at = now

    def wait_s(self, now: float) -> float:
        """How long until something may pass."""
        if self.rate is None:
            return 0.0
        burst = max(BURST_BYTES_MIN, self.rate * BURST_S)
        self._level = min(burst, self._level + max(now - self._at, 0.0) * self.rate)
        self._at = now
        return -self._level / self.rate if self._level <= -1.0 else 0.0

    def take(self, size: int) -> None:
        """So many bytes pass, when there is no wait. What is too much now is waited for later."""
        if self.rate is not None:
            self._level -= size


class Delay:
    """How much longer the round trips of one link are than its shortest."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=DELAYS)
        self._shortest: deque[tuple[float, float]] = deque()  # when, how long; ever longer

    def note(self, rtt_s: float, now: float) -> None:
        """A round trip was measured."""
        self._recent.append(rtt_s)
        while self._shortest and self._shortest[-1][1] >= rtt_s:
            self._shortest.pop()
        self._shortest.append((now, rtt_s))
        while now - self._shortest[0][0] > BASE_AGE_S:
            self._shortest.popleft()

    @property
    def queued_s(self) -> float | None:
        """How long data waits on the way; None while too little is known."""
        if len(self._recent) < DELAYS:
            return None
        return min(self._recent) - self._shortest[0][1]


class Line:
    """What one direction of this computer's line carries: all of it, and the person's part.

    Totals only ever rise. Both are given for the last second or so, since ours are counted where
    they enter a queue, and all where they leave it.
    """

    WINDOW: Final = 4  # measurements

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float, float]] = deque(maxlen=self.WINDOW + 1)
        self._peaks: deque[tuple[float, float]] = deque()  # when, how much; ever less

    def note(self, ours: float, everything: float, now: float) -> None:
        """Bytes until now."""
        self._samples.append((now, ours, everything))
        if self._is_full:
            rate = self.total_per_s
            while self._peaks and self._peaks[-1][1] <= rate:
                self._peaks.pop()
            self._peaks.append((now, rate))
        while self._peaks and now - self._peaks[0][0] > LINE_AGE_S:
            self._peaks.popleft()

    @property
    def ours_per_s(self) -> float:
        return self._per_s(1)

    @property
    def total_per_s(self) -> float:
        return self._per_s(2)

    @property
    def person_per_s(self) -> float:
        """What others of this computer use; 0 when it is too little to tell."""
        found = self.total_per_s - self.ours_per_s
        return found if found > PERSON_SHARE_MIN * self.most_per_s else 0.0

    @property
    def most_per_s(self) -> float:
        """The most that it has carried lately, all together."""
        return self._peaks[0][1] if self._peaks else 0.0

    @property
    def _is_full(self) -> bool:
        return len(self._samples) > self.WINDOW

    def _per_s(self, column: int) -> float:
        if len(self._samples) < 2:
            return 0.0
        first, last = self._samples[0], self._samples[-1]
        took = last[0] - first[0]
        return max(last[column] - first[column], 0.0) / took if took > 0 else 0.0


class Spare:
    """The rate of one direction that takes what the person leaves. Told a few times a second."""

    def __init__(self) -> None:
        self.rate = START_BYTES_PER_S
        self._has_been_full = False
        self._rest = 0  # measurements until what was cut can show

    def note(self, queued_s: float | None, line: Line) -> None:
        """What was measured just now; `queued_s` is None while nothing is known of queues."""
        self._rest = max(self._rest - 1, 0)
        if queued_s is not None and queued_s > TARGET_S:
            if not self._rest:
                self._cut(queued_s, line)
        elif line.ours_per_s >= IN_USE * self.rate or not self._has_been_full:
            self._grow(queued_s, line)
        if self._has_been_full and line.person_per_s:
            self.rate = min(self.rate, ROOM * line.most_per_s - line.person_per_s)
        self.rate = min(max(self.rate, LEAST_BYTES_PER_S), MOST_BYTES_PER_S)

    def _cut(self, queued_s: float, line: Line) -> None:
        if line.ours_per_s < IDLE * self.rate:
            return  # it is not we who fill the queue, and less of ours would not empty it
        self._has_been_full = True
        self._rest = DELAYS
        excess = queued_s / TARGET_S - 1.0
        self.rate = min(self.rate, line.ours_per_s) * max(CUT_MAX, 1.0 - CUT_OF_EXCESS * excess)

    def _grow(self, queued_s: float | None, line: Line) -> None:
        if line.ours_per_s < IN_USE * self.rate / FIRST_GROWTH:
            return
        if not self._has_been_full:
            self.rate *= FIRST_GROWTH
        elif queued_s is not None:
            self.rate *= 1.0 + GROWTH * (1.0 - max(queued_s, 0.0) / TARGET_S)
