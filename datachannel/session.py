"""Many streams over one link: frames in, frames and events out. No input, output or clock.

Both sides open streams, one for each request (messages.py); the side that is the initiator has
the odd ids. A stream has two directions, each of which ends with FINISH; RESET ends both at once.
What one side can make the other one keep is bounded: STREAMS_MAX windows of credit (flow.py) for
each side's streams, whatever it sends.

RESET, CREDIT, PING and OPEN go before data; streams take turns, a frame each. On a slow line the
frames are small, since nothing else of a link arrives while one is under way.

The owner hands in every frame and every expired timeout with the time, and afterwards takes all
events and frames. When `receive` raises ProtocolError, the session is over and so is the link.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Literal

from datachannel import frames
from datachannel.errors import ProtocolError, Unavailable
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
from datachannel.flow import Flow
from datachannel.messages import (
    Answer,
    Listing,
    Request,
    decode_answer,
    decode_request,
    encode_message,
)

STREAMS_MAX: Final = 8
"""Opened by one side at a time: enough to hide a round trip, little enough to hold in memory."""
ANSWER_BYTES_MAX: Final = 16 * 1024
"""Any answer but a listing."""
CONTROL_FRAMES_MAX: Final = 1024
"""Who takes no frames and still makes us produce them is up to no good."""
BATCH_BYTES: Final = 64 * 1024
"""What `frames_to_send` hands out at a time. More would make no transfer faster, and on a slow line
everything would wait for longer behind it."""
DATA_BYTES_SLOW: Final = 20 * 1024
"""Of a data frame on a slow line. At 20 friends over 1 Mbit/s a link has 6 KB/s, and 60 KiB take
long enough to be near SILENT_S_MAX; these pass in time down to 1 KB/s."""
SPEED_BYTES: Final = 1 << 20
"""The speed is taken over so many bytes: more than a link buffers, so that it is the line's."""
SPEED_S_MAX: Final = 8.0
"""A line is slow that took longer for SPEED_BYTES. One that was idle counts as slow: no harm."""
PING_S: Final = 5.0
"""Of silence in either direction. NATs forget a flow after 30 s or more."""
DEAD_S_MIN: Final = 3.0
"""No queue is so long: a round trip that takes more tells of a line that is away."""
SILENT_S_MAX: Final = 20.0
"""Without any frame the other side is gone: four of its pings are missing."""


class Session:
    """The state of one link. See the head of this file."""

    def __init__(self, *, initiator: bool, now: float) -> None:
        self._parity = 1 if initiator else 0
        self._next_id = 1 if initiator else 2
        self._last_remote_id = 0
        self._streams: dict[int, Flow] = {}
        self._ready: dict[int, None] = {}  # streams with queued frames, whose turn is next first
        self._grants: dict[int, None] = {}  # streams that get credit
        self._control: deque[bytes] = deque()
        self._events: deque[Event] = deque()
        self._last_received = self._last_sent = self._last_ping = now
        self._ping_number = 0
        self._ping_sent_at: float | None = None
        self._is_rtt_new = False
        self._is_ping_due = False
        self._pong: bytes | None = None
        self._is_silent = False
        self._speed_bytes = 0
        self._speed_since = now
        self.rtt_s: float | None = None
        self.data_bytes = DATA_BYTES_SLOW
        """How much data to put into a frame now; DATA_BYTES_MAX is allowed always."""

    # Frames and time

    def receive(self, frame: bytes, now: float) -> None:
        """Take a frame from the link. Raises ProtocolError: then the session is over."""
        kind, stream_id, payload = frames.decode(frame)
        self._last_received = now
        if kind == frames.PING:
            self._pong = payload  # only the last one is answered: many PINGs cost nothing
        elif kind == frames.PONG:
            self._take_pong(payload, now)
        elif kind == frames.OPEN:
            self._take_open(stream_id, payload)
        else:
            stream = self._known(stream_id)
            if stream is not None:
                self._take(stream, kind, payload)

    def frames_to_send(self, now: float, limit_bytes: int = BATCH_BYTES) -> list[bytes]:
        """Frames for the link, about `limit_bytes` of them; empty when there are none."""
        found: list[bytes] = []
        found.extend(self._control)
        self._control.clear()
        for stream_id in self._grants:
            size = self._streams[stream_id].grant()
            found.append(frames.encode_credit(stream_id, size))
        self._grants.clear()
        if self._pong is not None:
            found.append(frames.encode(frames.PONG, 0, self._pong))
            self._pong = None
        if self._is_ping_due:
            self._is_ping_due = False
            self._ping_number += 1
            self._ping_sent_at = now
            token = self._ping_number.to_bytes(frames.TOKEN_BYTES, "big")
            found.append(frames.encode(frames.PING, 0, token))
        size = sum(map(len, found))
        while self._ready and size < limit_bytes:
            frame = self._next_frame()
            size += len(frame)
            found.append(frame)
        if found:
            self._last_sent = now
            self._measure_speed(size, now)
        return found

    @property
    def last_received(self) -> float:
        """When the last frame came."""
        return self._last_received

    @property
    def has_frames(self) -> bool:
        """Whether `frames_to_send` would give any."""
        return bool(self._control or self._grants or self._ready or self._pong or self._is_ping_due)

    def next_timeout(self) -> float | None:
        """When to call `handle_timeout`; later events may move it back, never forward."""
        if self._is_silent:
            return None
        return min(self._ping_at(), self._last_received + SILENT_S_MAX)

    def handle_timeout(self, now: float) -> None:
        """It is that late. Too early does no harm."""
        if self._is_silent:
            return
        if now >= self._last_received + SILENT_S_MAX:
            self._is_silent = True
            self._events.append(PeerSilent())
        elif now >= self._ping_at():
            self._last_ping = now
            self._is_ping_due = True

    def probe(self) -> None:
        """Measure the round trip now, unless that is under way."""
        if self._ping_sent_at is None:
            self._is_ping_due = True

    def take_rtt(self, now: float) -> float | None:
        """The round trip measured since the last call, or for how long one has been under way when
        that is longer than the one before; else None."""
        if self._ping_sent_at is not None:
            age_s = now - self._ping_sent_at
            is_telling = self.rtt_s is not None and self.rtt_s < age_s < DEAD_S_MIN
            return age_s if is_telling else None
        is_new, self._is_rtt_new = self._is_rtt_new, False
        return self.rtt_s if is_new else None

    def next_event(self) -> Event | None:
        """What happened, in order; None when there is no more."""
        return self._events.popleft() if self._events else None

    # Streams

    @property
    def can_open(self) -> bool:
        """Whether one more stream is allowed now; a `Closed` event may change it."""
        return self._count(self._parity) < STREAMS_MAX

    def open(self, request: Request) -> int:
        """Ask for something, on a new stream, when `can_open`."""
        assert self.can_open, "too many streams"
        if self._next_id > frames.STREAM_ID_MAX:
            raise Unavailable("the link has served its time")
        if len(self._control) > CONTROL_FRAMES_MAX:
            raise Unavailable("the friend takes nothing from the link")
        stream_id = self._next_id
        self._next_id += 2
        self._streams[stream_id] = Flow(stream_id)
        self._control.append(frames.encode(frames.OPEN, stream_id, encode_message(request)))
        return stream_id

    def can_send(self, stream_id: int, size: int) -> bool:
        """Whether so many bytes may be sent on a stream now; if not, `Sendable` follows."""
        return self._streams[stream_id].may_send(size)

    def send_message(self, stream_id: int, message: bytes) -> None:
        """Queue an encoded answer, when `can_send`."""
        self._send(frames.MESSAGE, stream_id, message)

    def send_data(self, stream_id: int, data: bytes | memoryview) -> None:
        """Queue at most DATA_BYTES_MAX of data, when `can_send`. `data` is copied."""
        assert 0 < len(data) <= frames.DATA_BYTES_MAX
        self._send(frames.DATA, stream_id, data)

    def finish(self, stream_id: int) -> None:
        """Say that nothing more is sent. On a stream that is closed, it does nothing."""
        stream = self._streams.get(stream_id)
        if stream is not None and not stream.is_finishing:
            stream.is_finishing = True
            self._queue(stream, frames.encode(frames.FINISH, stream_id))

    def reset(self, stream_id: int, code: str) -> None:
        """End a stream. What is queued is dropped, unless it was finished: then it goes first."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.is_left:
            return
        frame = frames.encode_reset(stream_id, code)
        if stream.is_finishing and stream.has_frames:
            stream.is_left = True
            self._queue(stream, frame)
        else:
            self._control.append(frame)
            self._remove(stream)

    def consumed(self, stream_id: int, size: int) -> None:
        """The application has used up what a `Received` event of this size brought."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.state == "got_all":
            return
        if stream.consume(size):
            self._grants[stream_id] = None

    def is_open(self, stream_id: int) -> bool:
        """Whether a stream exists still."""
        return stream_id in self._streams

    # Inside

    def _ping_at(self) -> float:
        # Our silence counts as well as theirs: a sender whose line is slow hears nothing of its
        # receiver for long, and must know that it is there.
        return max(min(self._last_received, self._last_sent), self._last_ping) + PING_S

    def _measure_speed(self, size: int, now: float) -> None:
        self._speed_bytes += size
        if self._speed_bytes >= SPEED_BYTES:
            is_slow = now - self._speed_since > SPEED_S_MAX
            self.data_bytes = DATA_BYTES_SLOW if is_slow else frames.DATA_BYTES_MAX
            self._speed_bytes, self._speed_since = 0, now

    def _count(self, parity: int) -> int:
        return sum(1 for stream_id in self._streams if stream_id % 2 == parity)

    def _known(self, stream_id: int) -> Flow | None:
        """The stream; None when it was closed here already and the other side may not know."""
        stream = self._streams.get(stream_id)
        if stream is None:
            is_ours = stream_id % 2 == self._parity
            if stream_id >= self._next_id if is_ours else stream_id > self._last_remote_id:
                raise ProtocolError(f"stream {stream_id} was never opened")
        return stream

    def _take_pong(self, token: bytes, now: float) -> None:
        if self._ping_sent_at is not None and int.from_bytes(token, "big") == self._ping_number:
            self.rtt_s = max(now - self._ping_sent_at, 0.0)
            self._ping_sent_at = None
            self._is_rtt_new = True

    def _take_open(self, stream_id: int, payload: bytes) -> None:
        if stream_id % 2 == self._parity or stream_id <= self._last_remote_id:
            raise ProtocolError(f"stream {stream_id} is not theirs to open now")
        if self._count(1 - self._parity) >= STREAMS_MAX:
            raise ProtocolError("more streams than are allowed")
        if len(self._control) > CONTROL_FRAMES_MAX:
            raise ProtocolError("it asks and asks, and takes no answers")
        request = decode_request(payload)
        self._last_remote_id = stream_id
        self._streams[stream_id] = Flow(stream_id)
        self._events.append(Opened(stream_id, request))

    def _take(self, stream: Flow, kind: int, payload: bytes) -> None:
        if kind == frames.CREDIT:
            stream.take_credit(frames.decode_credit(payload))
            self._unblock(stream)
        elif kind == frames.RESET:
            if not stream.is_left:
                self._events.append(WasReset(stream.id, frames.decode_code(payload)))
            self._remove(stream)
        elif stream.state == "got_all":
            raise ProtocolError("something follows the end of a stream")
        elif kind == frames.FINISH:
            self._advance(stream, "got")
        else:
            self._take_item(stream, kind, payload)

    def _take_item(self, stream: Flow, kind: int, payload: bytes) -> None:
        size = len(payload)
        stream.charge_received(size)
        item: Answer | bytes = payload
        if kind == frames.MESSAGE:
            item = decode_answer(payload)
            if size > ANSWER_BYTES_MAX and not isinstance(item, Listing):
                raise ProtocolError(f"an answer of {size} bytes")
        if not stream.is_left:
            self._events.append(Received(stream.id, item, size))

    def _send(self, kind: int, stream_id: int, payload: bytes | memoryview) -> None:
        stream = self._streams[stream_id]
        stream.spend(len(payload))
        self._queue(stream, frames.encode(kind, stream_id, payload))

    def _queue(self, stream: Flow, frame: bytes) -> None:
        stream.push(frame)
        self._ready[stream.id] = None

    def _next_frame(self) -> bytes:
        """A frame of the stream whose turn it is."""
        stream_id = next(iter(self._ready))
        del self._ready[stream_id]
        stream = self._streams[stream_id]
        frame = stream.pop()
        if stream.has_frames:
            self._ready[stream_id] = None
        if frame[0] == frames.FINISH:
            self._advance(stream, "sent")
        elif frame[0] == frames.RESET:
            self._remove(stream)
        elif stream.is_low:
            self._unblock(stream)
        return frame

    def _unblock(self, stream: Flow) -> None:
        if stream.is_blocked:
            stream.is_blocked = False
            self._events.append(Sendable(stream.id))

    def _advance(self, stream: Flow, happened: Literal["sent", "got"]) -> None:
        stream.advance(happened)
        if happened == "got":
            self._grants.pop(stream.id, None)
            if not stream.is_left:
                self._events.append(Finished(stream.id))
        if stream.state == "closed":
            self._remove(stream)

    def _remove(self, stream: Flow) -> None:
        del self._streams[stream.id]
        self._ready.pop(stream.id, None)
        self._grants.pop(stream.id, None)
        self._events.append(Closed(stream.id))
