"""The network between simulated computers: links with latency and bandwidth, and their faults.

A link is a `datachannel.link.Link`: ordered, reliable, until it breaks. What a line does is one
rule: frames of a computer leave one after the other at the speed of its uplink, whichever link they
belong to, and arrive a latency later. Faults, all of which correct members survive:

    cut(a, b)        links of two computers break, and both ends are told
    partition(...)   computers of different sides reach each other no more; nobody is told
    break_chance     how likely a new link is to break after some bytes
    heal()           everything passes again

Who is at the ends is known: two members prove to each other who they are by the handshake, which
is `datachannel.handshake`, tried by its own tests, and by `outsider.py` against this network.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from datachannel.link import LinkClosed
from netsim.world.clock import RESOLUTION_S
from netsim.world.trace import Trace
from signaling.messages import MemberId

BUFFERED_BYTES_LOW = 256 * 1024
FRAME_BYTES_MAX = 64 * 1024
GRAIN_S = 0.005
"""Frames arrive at multiples of this, so that those that were sent together arrive together."""
FRAME_OVERHEAD = 60
"""What UDP, IP and DTLS add to a small frame."""
BREAK_BYTES_MEAN = 200_000
"""A link that is to break does so after about so many bytes."""


@dataclass(slots=True)
class Line:
    """A computer's way to the network."""

    latency_s: float = 0.02
    up_bytes_s: float = 1.25e6
    busy_until: float = 0.0
    sent_bytes: int = 0


class SimLink:
    """One end. `Network.connect` makes two."""

    engine = "simulated"
    is_relayed: bool | None = False
    rtt_s: float | None = None

    def __init__(self, network: Network, own: MemberId, remote: MemberId) -> None:
        self.own, self.remote = own, remote
        self.other: SimLink = self
        self.left_bytes: int | None = None
        """As many pass in this direction until the link breaks."""
        self._network, self._loop = network, asyncio.get_running_loop()
        self._under_way: deque[tuple[float, bytes]] = deque()
        self._under_way_bytes = 0
        self._inbox: deque[bytes] = deque()
        self._closed = False
        self._changed = asyncio.Event()

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._closed

    def send(self, frame: bytes) -> None:
        """See Link."""
        if not 0 < len(frame) <= FRAME_BYTES_MAX:
            raise ValueError(f"a frame of {len(frame)} bytes")
        if self._closed:
            raise LinkClosed("the link is closed")
        if self.left_bytes is not None:
            self.left_bytes -= len(frame)
            if self.left_bytes < 0:
                self.cut()
                return
        arrives = self._network.carry(self, len(frame) + FRAME_OVERHEAD)
        self._under_way.append((arrives, frame))
        self._under_way_bytes += len(frame)
        if len(self._under_way) == 1:
            self._loop.call_at(arrives, self._arrive)

    def _arrive(self) -> None:
        """Frames whose time has come are at the other end, unless nothing passes."""
        now = self._loop.time() + RESOLUTION_S
        passes = self._network.passes(self.own, self.remote)
        while self._under_way and self._under_way[0][0] <= now:
            _, frame = self._under_way.popleft()
            self._under_way_bytes -= len(frame)
            if passes and not self.other._closed:
                self._network.trace.fold(frame)
                self.other._inbox.append(frame)
                self.other._changed.set()
        self._changed.set()
        if self._under_way:
            self._loop.call_at(self._under_way[0][0], self._arrive)

    async def drained(self) -> None:
        """See Link."""
        while not self._closed and self._under_way_bytes > BUFFERED_BYTES_LOW:
            self._changed.clear()
            await self._changed.wait()
        if self._closed:
            raise LinkClosed("the link is closed")

    async def receive(self) -> bytes:
        """See Link."""
        while not self._inbox:
            if self._closed:
                raise LinkClosed("the link is closed")
            self._changed.clear()
            await self._changed.wait()
        return self._inbox.popleft()

    async def close(self) -> None:
        """See Link. The other end hears of it unless nothing passes; then it hears nothing."""
        self.lose()
        if self._network.passes(self.own, self.remote):
            self.other.lose()

    def cut(self) -> None:
        """Break it; what is under way is lost, and both ends are told."""
        for end in (self, self.other):
            end._inbox.clear()
            end.lose()

    def lose(self) -> None:
        """This end is closed."""
        self._closed = True
        self._under_way.clear()
        self._under_way_bytes = 0
        self._changed.set()
        self._network.forget(self)


class Network:
    """All lines and links of a world."""

    def __init__(self, chance: random.Random, trace: Trace) -> None:
        self.trace = trace
        self.break_chance = 0.0
        self._chance, self._loop = chance, asyncio.get_running_loop()
        self._lines: dict[MemberId, Line] = {}
        self._side: dict[MemberId, int] = {}
        self._links: dict[SimLink, None] = {}

    def plug_in(self, member: MemberId, line: Line) -> None:
        """A computer has this line from now on."""
        self._lines[member] = line

    def line(self, member: MemberId) -> Line:
        """A computer's line."""
        return self._lines[member]

    def connect(self, near: MemberId, far: MemberId) -> tuple[SimLink, SimLink]:
        """A new link between two computers that reach each other: the ends at either."""
        ends = SimLink(self, near, far), SimLink(self, far, near)
        ends[0].other, ends[1].other = ends[1], ends[0]
        for end in ends:
            self._links[end] = None
        if self._chance.random() < self.break_chance:
            doomed = self._chance.choice(ends)
            doomed.left_bytes = int(self._chance.expovariate(1 / BREAK_BYTES_MEAN))
        return ends

    def carry(self, link: SimLink, size: int) -> float:
        """Send so many bytes; when they arrive, on the loop's clock."""
        line = self._lines[link.own]
        line.busy_until = max(line.busy_until, self._loop.time()) + size / line.up_bytes_s
        line.sent_bytes += size
        arrives = line.busy_until + line.latency_s + self._lines[link.remote].latency_s
        return math.ceil(arrives / GRAIN_S) * GRAIN_S

    def round_trip_s(self, near: MemberId, far: MemberId) -> float:
        """Of an idle line."""
        return 2 * (self._lines[near].latency_s + self._lines[far].latency_s)

    # --- faults -----------------------------------------------------------------------------

    def passes(self, near: MemberId, far: MemberId) -> bool:
        """Whether the two reach each other."""
        return self._side.get(near, 0) == self._side.get(far, 0)

    def reaches_server(self, member: MemberId) -> bool:
        """The server is on side 0."""
        return not self._side.get(member, 0)

    def partition(self, apart: Iterable[MemberId], side: int = 1) -> None:
        """Move these to another side than the others and the server."""
        for member in apart:
            self._side[member] = side

    def heal(self) -> None:
        """Everybody reaches everybody."""
        self._side.clear()

    def cut(self, chosen: Callable[[MemberId, MemberId], bool]) -> int:
        """Break the links whose ends (own, remote) are chosen; how many."""
        links = [link for link in self._links if chosen(link.own, link.remote)]
        for link in links:
            if not link.closed:
                link.cut()
        return len(links)

    def vanish(self, member: MemberId) -> None:
        """A computer is without power: its ends are closed, and the others hear nothing."""
        for link in [link for link in self._links if link.own == member]:
            link.lose()

    def forget(self, link: SimLink) -> None:
        """It is closed."""
        self._links.pop(link, None)
