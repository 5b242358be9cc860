"""A Link over one data channel, whatever engine carries it: the part that all engines share.

No engine has flow control of its own to the other end. So `send` never blocks, `drained` waits for
the local queue, and what is received and not taken is bounded: who overruns it violates the
session's credits and is cut off. Nothing is ever dropped from a link that lives on. Every way in
which a connection can end makes the link closed, once.

An engine subclasses `ChannelLink`, hands in what happens (`opened_now`, `drained_now`, `arrived`,
`lose`) on the loop's thread, and says how to send and how much is queued.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from datachannel.errors import LinkClosed
from signaling.messages import MemberId

MESSAGE_BYTES_MAX: Final = 64 * 1024
"""A frame. The engines would carry more; bounds are ours."""
BUFFERED_BYTES_LOW: Final = 256 * 1024
"""Enough to keep SCTP busy, little enough to stay responsive."""
RECEIVED_BYTES_MAX: Final = 20 * 1024 * 1024
"""More than the 16 streams' windows of 1 MiB each, so that no correct friend comes near it."""
RECEIVED_FRAMES_MAX: Final = 4096
"""The same windows hold at most 1,024 frames of data; the rest is for what costs no credit."""

_log = logging.getLogger("covey.datachannel")


class ChannelLink:
    """Made by an attempt, usable once that is connected."""

    engine = "none"

    def __init__(self, remote: MemberId, close: Callable[[], Awaitable[None]]) -> None:
        self.remote = remote
        self._close = close
        self._frames: deque[bytes] = deque()
        self._frames_bytes = 0
        self._lost = False
        self._opened = asyncio.Event()  # or lost
        self._low = asyncio.Event()
        self._some = asyncio.Event()

    @property
    def closed(self) -> bool:
        return self._lost

    @property
    def is_relayed(self) -> bool | None:
        """Whether it goes through a TURN server now; None when the engine does not tell."""
        return None

    @property
    def rtt_s(self) -> float | None:
        """The round trip that the transport measured, when it did."""
        return None

    def send(self, frame: bytes) -> None:
        """Queue one frame; never blocks. Raises LinkClosed."""
        if not 0 < len(frame) <= MESSAGE_BYTES_MAX:
            raise ValueError(f"a frame has 1 to {MESSAGE_BYTES_MAX} bytes, not {len(frame)}")
        if self._lost or not self._send(frame):
            self.lose()
            raise LinkClosed("the link is closed")

    async def drained(self) -> None:
        """Return when little is queued here. Raises LinkClosed."""
        # Engines tell of the crossing only. It is waited for only after a look at the amount
        # that came after the clearing, so that none can be missed: above it means one is to come.
        while not self._lost:
            self._low.clear()
            if self._queued_bytes() <= BUFFERED_BYTES_LOW:
                return
            await self._low.wait()
        raise LinkClosed("the link is closed")

    async def receive(self) -> bytes:
        """The next frame. What arrived before the link broke is still handed out."""
        while not self._frames:
            if self._lost:
                raise LinkClosed("the link is closed")
            self._some.clear()
            await self._some.wait()
        frame = self._frames.popleft()
        self._frames_bytes -= len(frame)
        return frame

    async def close(self) -> None:
        """Close for good; the other end notices at once. May be called many times."""
        self._forget_frames()
        self.lose()
        await self._close()

    async def opened(self) -> bool:
        """Wait until the channel is open, or lost; says whether it is open."""
        await self._opened.wait()
        return not self._lost

    # What an engine says. On the loop's thread only.

    def opened_now(self) -> None:
        """The channel is open."""
        self._opened.set()

    def drained_now(self) -> None:
        """What is queued has fallen to BUFFERED_BYTES_LOW."""
        self._low.set()

    def arrived(self, frame: bytes | str) -> None:
        """A message came."""
        if self._lost:
            return
        if not isinstance(frame, bytes) or len(frame) > MESSAGE_BYTES_MAX:
            _log.warning("a friend sent what is no frame, its link is closed")
            self.lose()
            return
        self._frames.append(frame)
        self._frames_bytes += len(frame)
        if self._frames_bytes > RECEIVED_BYTES_MAX or len(self._frames) > RECEIVED_FRAMES_MAX:
            self.overrun()
        self._some.set()

    def overrun(self) -> None:
        """More came than any correct friend sends."""
        _log.warning("a friend sent more than it may, its link is closed")
        self._forget_frames()
        self.lose()

    def lose(self) -> None:
        """The connection is gone, for whatever reason: everybody who waits is told."""
        self._lost = True
        for event in (self._opened, self._low, self._some):
            event.set()

    # What an engine provides.

    def _send(self, frame: bytes) -> bool:
        """Queue a frame; False when the channel is gone."""
        raise AssertionError("an engine's link says how to send")

    def _queued_bytes(self) -> int:
        """How much waits to be sent."""
        raise AssertionError("an engine's link says what is queued")

    def _forget_frames(self) -> None:
        self._frames.clear()
        self._frames_bytes = 0
