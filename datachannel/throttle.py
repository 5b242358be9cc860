"""All links of a member together keep to its limits, and leave the line to the person.

A `Throttle` is shared by all sessions; each has a `Lane` of it. Streams ask their lane before they
queue data and before they take data that came, which holds credit back from the other side. Frames
that carry no data (credits, heartbeats, answers) ask nobody, so no limit makes a link look dead.

With `Limits.spare` the rates are found by measuring (bandwidth.py): the round trips of links that
work, and what this computer's network interfaces carry beside us. A friend in the same house is not
reached over the line that is to be spared (nearness.py).

Not here: who sets the limits, and where the interfaces' counters come from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from datachannel.bandwidth import Bucket, Delay, Limits, Line, Spare

TICK_S: Final = 0.25
LATE_S: Final = 0.02
"""When this loop was so late, round trips tell of a busy computer and not of the line."""
OVERHEAD: Final = 1.07
"""What SCTP, DTLS, UDP and IP add to a packet of 1,160 bytes."""
ACKNOWLEDGEMENTS: Final = 0.04
"""Of what goes in one direction, in the other one."""

Counters = Callable[[], tuple[int, int]]
"""All bytes that this computer has sent and received over its network, ever."""


class Probed(Protocol):
    """A session whose round trip can be measured."""

    def probe(self) -> None:
        """Measure one now, unless one is under way."""

    def take_rtt(self, now: float) -> float | None:
        """The round trip that was measured since the last call, or takes longer already."""


class _Gate:
    """Lets bytes pass at a rate, in the order in which they came."""

    def __init__(self, now: float) -> None:
        self.bucket = Bucket(now)
        self._turn = asyncio.Lock()

    async def passed(self, size: int) -> None:
        if self.bucket.rate is None:
            return
        loop = asyncio.get_running_loop()
        async with self._turn:
            while (wait_s := self.bucket.wait_s(loop.time())) > 0:  # noqa: ASYNC110 - it is time
                await asyncio.sleep(min(wait_s, TICK_S))  # the rate may change meanwhile
            self.bucket.take(size)


class _Way:
    """One direction of all links together."""

    def __init__(self, now: float) -> None:
        self.limit, self.spare = _Gate(now), _Gate(now)
        self.near_bytes = self.far_bytes = 0
        self.line, self.finder = Line(), Spare()

    async def passed(self, size: int, *, near: bool) -> None:
        if near:
            self.near_bytes += size
        else:
            await self.spare.passed(size)
            self.far_bytes += size
        await self.limit.passed(size)

    def forget(self) -> None:
        """Find the rate from the beginning."""
        self.line, self.finder = Line(), Spare()

    def measure(self, queued_s: float | None, other: _Way, everything: int, now: float) -> None:
        """Find the rate anew."""
        acknowledged = ACKNOWLEDGEMENTS * (other.near_bytes + other.far_bytes)
        ours = OVERHEAD * self.far_bytes
        self.line.note(ours, everything - acknowledged - OVERHEAD * self.near_bytes, now)
        self.finder.note(queued_s, self.line)


class Lane:
    """One session's part."""

    def __init__(self, throttle: Throttle, probed: Probed, *, near: bool) -> None:
        self.probed = probed
        self.near = near
        self.delay = Delay()
        self.moved = False
        self._throttle = throttle

    async def up(self, size: int) -> None:
        """Wait until so many bytes may be sent."""
        self._note()
        await self._throttle.up.passed(size, near=self.near)

    async def down(self, size: int) -> None:
        """Wait until so many bytes may be taken."""
        self._note()
        await self._throttle.down.passed(size, near=self.near)

    def close(self) -> None:
        """The session is over."""
        self._throttle.lanes.discard(self)

    def _note(self) -> None:
        self.moved = True
        self._throttle.busy.set()


class Throttle:
    """The limits of all links of a member. `run` it, or spare does not work."""

    def __init__(self, limits: Limits | None = None, counters: Counters | None = None) -> None:
        now = asyncio.get_running_loop().time()
        self.up, self.down = _Way(now), _Way(now)
        self.lanes: set[Lane] = set()
        self.busy = asyncio.Event()
        self._counters = counters
        self._hurried = 0
        self._limits = limits or Limits()
        self._apply()

    @property
    def limits(self) -> Limits:
        """What holds now; set it at any time."""
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._limits = limits
        self._apply()

    @property
    def rates(self) -> tuple[float | None, float | None]:
        """Bytes a second, up and down, that friends elsewhere may take together; None: no bound."""
        ways = (self.up, self.down)
        found = [[gate.bucket.rate for gate in (way.limit, way.spare)] for way in ways]
        up, down = (min((rate for rate in one if rate), default=None) for one in found)
        return up, down

    def lane(self, probed: Probed, *, near: bool = False) -> Lane:
        """For a new session, which closes it at its end. `near`: the friend is in our network.

        The first to a friend elsewhere begins with nothing known: what was found while a line died
        says that it carries next to nothing, and would be believed for half a minute.
        """
        if not near and all(one.near for one in self.lanes):
            for way in (self.up, self.down):
                way.forget()
            self._apply()
        lane = Lane(self, probed, near=near)
        self.lanes.add(lane)
        return lane

    @contextmanager
    def hurry(self) -> Iterator[None]:
        """Meanwhile the person waits: only what was set as a limit holds."""
        self._hurried += 1
        self._apply()
        try:
            yield
        finally:
            self._hurried -= 1
            self._apply()

    async def run(self) -> None:
        """Measure while something moves, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self.busy.wait()
            due = loop.time() + TICK_S
            await asyncio.sleep(TICK_S)
            is_late = loop.time() - due > LATE_S
            moving = [lane for lane in self.lanes if lane.moved]
            if not moving:
                self.busy.clear()
            self._measure(moving, loop.time(), is_late=is_late)
            for lane in moving:
                lane.moved = False
                lane.probed.probe()

    def _measure(self, moving: list[Lane], now: float, *, is_late: bool) -> None:
        for lane in self.lanes:
            if (rtt_s := lane.probed.take_rtt(now)) is not None and not is_late:
                lane.delay.note(rtt_s, now)
        # A queue that not all links meet is not that of our line.
        known = [lane.delay.queued_s for lane in moving if not lane.near]
        queued_s = min((one for one in known if one is not None), default=None)
        sent, received = self._counters() if self._counters is not None else (0, 0)
        self.up.measure(queued_s, self.down, sent, now)
        self.down.measure(queued_s, self.up, received, now)
        self._apply()

    def _apply(self) -> None:
        limits = self._limits
        self.up.limit.bucket.rate = limits.up_bytes_per_s
        self.down.limit.bucket.rate = limits.down_bytes_per_s
        for way in (self.up, self.down):
            way.spare.bucket.rate = way.finder.rate if limits.spare and not self._hurried else None
