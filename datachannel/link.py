"""What a link is, and the session that runs on it.

A `Link` carries frames to one authenticated member, in order, until it breaks; webrtc.py and
libdatachannel.py have real ones. `PeerSession` is the only pump: it moves frames between a link and
a `Session`, gives the streams to those who wait for them, and runs the handler for each request of
the other side.

All of its tasks are children of `run`, and end before `run` returns.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Protocol

from datachannel.errors import (
    LinkClosed,
    ProtocolError,
    Refusal,
    RemoteError,
    Unavailable,
)
from datachannel.events import (
    Closed,
    Event,
    Finished,
    Opened,
    PeerSilent,
    Received,
    Sendable,
    WasReset,
)
from datachannel.frames import CANCELLED
from datachannel.messages import Request
from datachannel.session import STREAMS_MAX, Session
from datachannel.streams import Stream
from datachannel.throttle import Throttle
from signaling.messages import MemberId

__all__ = [
    "Handler",
    "Link",
    "LinkClosed",
    "PeerSession",
    "ProtocolError",
    "Refusal",
    "RemoteError",
    "Stream",
    "Unavailable",
]

WAITING_MAX = 1024
"""Requests that wait for a stream. Whoever makes more has lost count."""
CHECK_S = 6.0
"""For an answer when the network may have changed: a round trip on a busy line, and some."""
HANDLERS_MAX = 2 * STREAMS_MAX
"""A handler may work on for a while after its stream has ended."""
FRAMES_AT_ONCE = 64
"""After so many frames, other tasks get their turn: some 5 ms."""

_log = logging.getLogger("covey.datachannel")

Handler = Callable[[MemberId, Request, Stream], Awaitable[None]]
"""Answers a request of that member. What it does not finish is finished for it.

When it raises Refusal, the stream is reset with its code; for RemoteError, the link is closed;
any other exception is logged and the stream is reset with `internal`.
"""


class Link(Protocol):
    """An ordered, reliable pipe for frames to one authenticated member. May break at any time."""

    engine: str
    """Which implementation it is, for `covey status`."""
    remote: MemberId

    def send(self, frame: bytes) -> None:
        """Queue a frame of 1 to 64 KiB; never blocks. Raises LinkClosed."""
        ...

    async def drained(self) -> None:
        """Return when at most 256 KiB are queued here. Raises LinkClosed."""
        ...

    async def receive(self) -> bytes:
        """The next frame. Raises LinkClosed when nothing comes any more."""
        ...

    async def close(self) -> None:
        """Close for good. May be called many times."""
        ...


class PeerSession:
    """Requests to and from one member, over one link. `run` it once."""

    def __init__(
        self,
        link: Link,
        handler: Handler,
        *,
        initiator: bool,
        throttle: Throttle | None = None,
        near: bool = False,
    ) -> None:
        self.remote = link.remote
        self.bytes_sent = 0
        self.bytes_received = 0
        self._link = link
        self._handler = handler
        self._loop = asyncio.get_running_loop()
        self.last_used = self._loop.time()
        """When a stream last did something, in the loop's time. Heartbeats do not count."""
        self._session = Session(initiator=initiator, now=self._loop.time())
        self._lane = (throttle or Throttle()).lane(self, near=near)
        self._streams: dict[int, Stream] = {}
        self._handlers: dict[int, asyncio.Task[None]] = {}
        self._free = asyncio.Semaphore(STREAMS_MAX)
        self._ours: set[int] = set()
        self._waiting = 0
        self._wakeup = asyncio.Event()
        self._ending = asyncio.Event()
        self._ended = asyncio.Event()
        self._violation: RemoteError | None = None
        self._group: asyncio.TaskGroup | None = None

    @property
    def closed(self) -> bool:
        """Whether it is over: nothing can be opened any more."""
        return self._ending.is_set()

    @property
    def open_streams(self) -> int:
        """How many requests are under way, in both directions."""
        return len(self._streams.keys() | self._handlers.keys())

    @property
    def rtt_s(self) -> float | None:
        """The round trip of the last heartbeat that was answered."""
        return self._session.rtt_s

    def probe(self) -> None:
        """Measure the round trip now, unless that is under way."""
        self._session.probe()
        self._wakeup.set()

    def take_rtt(self, now: float) -> float | None:
        """See Session."""
        return self._session.take_rtt(now)

    async def check(self) -> None:
        """Close it unless the other side is heard from within a few seconds."""
        heard = self._session.last_received
        self.probe()
        await asyncio.sleep(CHECK_S)
        if self._session.last_received == heard and not self.closed:
            _log.info("the network has changed, and a link did not outlive it")
            await self.close()

    async def run(self) -> None:
        """Serve the link until it closes. Raises RemoteError if the other side is at fault."""
        try:
            async with asyncio.TaskGroup() as self._group:
                pumps = (self._pump_in, self._pump_out, self._watch_time)
                tasks = [self._group.create_task(self._pump(pump)) for pump in pumps]
                try:
                    await self._ending.wait()
                finally:
                    self._end()
                    for task in (*tasks, *self._handlers.values()):
                        task.cancel()
        finally:
            self._end()
            self._lane.close()
            self._ended.set()
            await self._link.close()
        if self._violation is not None:
            raise self._violation

    async def open(self, request: Request) -> Stream:
        """Send a request, as soon as there is a stream free. Raises Unavailable."""
        if self._waiting >= WAITING_MAX:
            raise Unavailable("too many requests wait for this friend")
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        if self.closed:
            self._free.release()  # so that the next one who waits is told, too
            raise Unavailable("the link is gone")
        try:
            stream_id = self._session.open(request)
        except BaseException:
            self._free.release()
            raise
        self._ours.add(stream_id)
        return self._add(stream_id)

    async def close(self) -> None:
        """Close the link and end `run`. May be called many times."""
        self._end()
        if self._group is not None:
            await self._ended.wait()
        await self._link.close()

    def _end(self) -> None:
        """Nothing comes or goes from now on; everybody who waits is told."""
        if self._ending.is_set():
            return
        self._ending.set()
        for stream in self._streams.values():
            stream.fail(Unavailable("the link is gone"))
        self._streams.clear()
        self._free.release()

    def _blame(self, error: RemoteError) -> None:
        """The other side broke the protocol: `run` is going to say so."""
        self._violation = self._violation or error
        self._end()

    # The pumps

    async def _pump(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except LinkClosed:
            pass
        except RemoteError as error:
            self._blame(error)
        finally:
            self._end()

    async def _pump_in(self) -> None:
        count = 0
        while True:
            frame = await self._link.receive()
            self.bytes_received += len(frame)
            self._session.receive(frame, self._loop.time())
            self._dispatch()
            count += 1
            if count % FRAMES_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _pump_out(self) -> None:
        try:
            while True:
                await self._wakeup.wait()
                await self._link.drained()
                for frame in self._session.frames_to_send(self._loop.time()):
                    self._link.send(frame)
                    self.bytes_sent += len(frame)
                self._wakeup.clear()
                self._dispatch()
        except LinkClosed:
            await self._ending.wait()  # what has arrived before is received still

    async def _watch_time(self) -> None:
        while (timeout := self._session.next_timeout()) is not None:
            await asyncio.sleep(max(timeout - self._loop.time(), 0.0))
            self._session.handle_timeout(self._loop.time())
            self._dispatch()

    def _wake(self) -> None:
        self.last_used = self._loop.time()
        if self._session.has_frames:
            self._wakeup.set()

    # Events

    def _dispatch(self) -> None:
        while (event := self._session.next_event()) is not None:
            self._handle(event)
        if self._session.has_frames:
            self._wakeup.set()

    def _handle(self, event: Event) -> None:
        if self.closed:
            return
        if isinstance(event, PeerSilent):
            _log.info("a friend has gone silent, its link is closed")
            self._end()
            return
        self.last_used = self._loop.time()
        if isinstance(event, Opened):
            self._serve(event)
            return
        stream = self._streams.get(event.stream_id)
        if isinstance(event, Closed):
            self._streams.pop(event.stream_id, None)
            if event.stream_id in self._ours:
                self._ours.discard(event.stream_id)
                self._free.release()
        elif stream is None:
            return
        elif isinstance(event, Received):
            stream.put(event.item, event.size)
        elif isinstance(event, Finished):
            stream.complete()
        elif isinstance(event, WasReset):
            stream.refuse(event.code)
        else:
            assert isinstance(event, Sendable)
            stream.may_send_again()

    def _add(self, stream_id: int) -> Stream:
        stream = self._streams[stream_id] = Stream(
            self._session, stream_id, lane=self._lane, wake=self._wake, blame=self._blame
        )
        self._wake()
        return stream

    def _serve(self, event: Opened) -> None:
        stream = self._add(event.stream_id)
        if len(self._handlers) >= HANDLERS_MAX or self._group is None:
            stream.end("busy")
            return
        task = self._group.create_task(self._answer(event, stream))
        self._handlers[event.stream_id] = task
        task.add_done_callback(lambda _: self._handlers.pop(event.stream_id))

    async def _answer(self, event: Opened, stream: Stream) -> None:
        code = CANCELLED
        try:
            await self._handler(self.remote, event.request, stream)
            await stream.finish()
        except Refusal as refusal:
            code = refusal.code
        except (Unavailable, LinkClosed):
            code = "internal"
        except RemoteError as error:
            self._blame(error)
        except Exception as error:
            code = "internal"
            kind = type(event.request).__name__
            _log.error("answering a %s failed: %s", kind, _place(error))
        finally:
            stream.end(code)


def _place(error: Exception) -> str:
    """An exception's type and origin, without its text, which may quote secrets."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {last.name}, {last.filename}:{last.lineno}"
