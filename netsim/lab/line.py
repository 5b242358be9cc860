"""What a bad line does to packets: it delays, jitters, loses and reorders them. Pure.

One `Line` is one direction of a wire. Packets and the time go in; packets whose time has come go
out. The same seed, packets and times give the same result.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass

WAITING_BYTES_MAX = 64 << 20
"""What is under way in one direction: half a second at a gigabit. More is lost, as in a router."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """How bad a line is. Raises ValueError for what no line can be."""

    delay_s: float = 0.0
    """Each packet arrives this much later,"""
    jitter_s: float = 0.0
    """and up to this much later still. Jitter alone never changes the order."""
    loss: float = 0.0
    """The share of packets that never arrive, 0 to 1. A line with 1 is cut."""
    reorder: float = 0.0
    """The share of packets that are held back by `reorder_s`, so that others overtake them."""
    reorder_s: float = 0.003

    def __post_init__(self) -> None:
        if not 0.0 <= self.loss <= 1.0 or not 0.0 <= self.reorder <= 1.0:
            raise ValueError("a share of packets is between 0 and 1")
        if min(self.delay_s, self.jitter_s, self.reorder_s) < 0.0:
            raise ValueError("no packet arrives before it was sent")


class Line:
    """One direction. `conditions` may be changed at any time, and hold for what comes then."""

    def __init__(self, conditions: Conditions, *, seed: int) -> None:
        self.conditions = conditions
        self.lost = 0
        self._random = random.Random(seed)
        self._waiting: list[tuple[float, int, bytes]] = []
        self._waiting_bytes = 0
        self._count = 0
        self._in_order_at = 0.0  # when the last of those that keep their order arrives

    @property
    def next_at(self) -> float | None:
        """When the next packet arrives, None when none is under way."""
        return self._waiting[0][0] if self._waiting else None

    def take(self, packet: bytes, now: float) -> None:
        """A packet enters the line."""
        how = self.conditions
        if self._random.random() < how.loss or (
            self._waiting_bytes + len(packet) > WAITING_BYTES_MAX
        ):
            self.lost += 1
            return
        due = now + how.delay_s
        if how.jitter_s:
            due += self._random.uniform(0.0, how.jitter_s)
        if how.reorder and self._random.random() < how.reorder:
            due += how.reorder_s
        else:
            due = self._in_order_at = max(due, self._in_order_at)
        self._count += 1
        self._waiting_bytes += len(packet)
        heapq.heappush(self._waiting, (due, self._count, packet))

    def give(self, now: float) -> list[bytes]:
        """The packets that have arrived by now, in their new order."""
        arrived = []
        while self._waiting and self._waiting[0][0] <= now:
            packet = heapq.heappop(self._waiting)[2]
            self._waiting_bytes -= len(packet)
            arrived.append(packet)
        return arrived
