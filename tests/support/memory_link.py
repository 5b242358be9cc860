"""A Link in memory, both ends of it, for tests. It keeps the LinkContract (contracts.py).

Faults that it can inject, all of which a correct member survives: `cut`, which loses what is under
way and closes both ends, at once or after so many bytes of one direction; `stall`, after which
nothing arrives any more and nobody is told.
"""

from __future__ import annotations

import asyncio
from collections import deque

from datachannel.link import LinkClosed
from signaling.messages import MemberId

BUFFERED_BYTES_LOW = 256 * 1024
FRAME_BYTES_MAX = 64 * 1024

ALICE = MemberId(b"A" * 32)
BOB = MemberId(b"B" * 32)


class MemoryLink:
    """One end. `memory_links` makes two."""

    engine = "memory"
    is_relayed: bool | None = None

    def __init__(self, remote: MemberId) -> None:
        self.remote = remote
        self.other: MemoryLink = self
        self.cut_after_bytes: int | None = None  # of those sent from this end
        self.sent_bytes = 0
        self.sent_frames: list[bytes] | None = None  # set it to [] to have them recorded
        self._inbox: deque[bytes] = deque()
        self._inbox_bytes = 0
        self._is_closed = False
        self._is_stalled = False
        self._changed = asyncio.Event()

    @property
    def rtt_s(self) -> float | None:
        return None

    @property
    def closed(self) -> bool:
        return self._is_closed

    def send(self, frame: bytes) -> None:
        if not 0 < len(frame) <= FRAME_BYTES_MAX:
            raise ValueError(f"a frame of {len(frame)} bytes")
        if self._is_closed:
            raise LinkClosed("the link is closed")
        self.sent_bytes += len(frame)
        if self.cut_after_bytes is not None and self.sent_bytes > self.cut_after_bytes:
            self.cut()
            return
        if self.sent_frames is not None:
            self.sent_frames.append(frame)
        if not self._is_stalled:
            self.other.arrive(frame)

    async def drained(self) -> None:
        while not self._is_closed and self.other._inbox_bytes > BUFFERED_BYTES_LOW:
            self.other._changed.clear()
            await self.other._changed.wait()
        if self._is_closed:
            raise LinkClosed("the link is closed")

    async def receive(self) -> bytes:
        while not self._inbox:
            if self._is_closed:
                raise LinkClosed("the link is closed")
            self._changed.clear()
            await self._changed.wait()
        frame = self._inbox.popleft()
        self._inbox_bytes -= len(frame)
        self._changed.set()
        return frame

    async def close(self) -> None:
        self._clear()
        self._lose()
        self.other._lose()

    def arrive(self, frame: bytes) -> None:
        """Have a frame arrive at this end, as if the other one had sent it."""
        self._inbox.append(frame)
        self._inbox_bytes += len(frame)
        self._changed.set()

    def cut(self) -> None:
        """Break the link; what is under way is lost."""
        for end in (self, self.other):
            end._clear()
            end._lose()

    def stall(self) -> None:
        """From now on, what this end sends vanishes."""
        self._is_stalled = True

    def _clear(self) -> None:
        self._inbox.clear()
        self._inbox_bytes = 0

    def _lose(self) -> None:
        self._is_closed = True
        self._changed.set()


def memory_links() -> tuple[MemoryLink, MemoryLink]:
    """The two ends of a new link: Alice's, which leads to Bob, and Bob's."""
    alice, bob = MemoryLink(BOB), MemoryLink(ALICE)
    alice.other, bob.other = bob, alice
    return alice, bob
