"""One request, from either side, as a task uses it.

A stream is fed by its PeerSession and is not made by anybody else. What has arrived and was not
taken yet is bounded by the session's credit.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from datachannel.errors import Refusal, RemoteError, Unavailable
from datachannel.frames import CANCELLED, CODES
from datachannel.messages import Answer, Refused, encode_message
from datachannel.session import Session
from datachannel.throttle import Lane


class Stream:
    """Messages and data in both directions, in order.

    All methods raise `Unavailable` when the link is gone, and `Refusal` when the other side has
    reset the stream. Used as a context manager, a stream is reset unless both sides finished, and a
    RemoteError that leaves the block closes the link.
    """

    def __init__(
        self,
        session: Session,
        stream_id: int,
        *,
        lane: Lane,
        wake: Callable[[], None],
        blame: Callable[[RemoteError], None],
    ) -> None:
        self._session = session
        self._blame = blame
        self._id = stream_id
        self._lane = lane
        self._wake = wake
        self._items: deque[tuple[Answer | bytes, int]] = deque()
        self._arrived = asyncio.Event()
        self._sendable = asyncio.Event()
        self._is_allowed = False  # the first item has waited for its turn
        self._is_complete = False  # the other side finished
        self._failure: Exception | None = None
        self._refused_with: str | None = None  # by this side
        self._refusal: Refusal | None = None  # of the other side

    async def send(self, message: Answer) -> None:
        """Send a message. Returns when it is queued."""
        data = encode_message(message)
        await self._may_send(len(data))
        if isinstance(message, Refused):
            self._refused_with = message.code
        self._session.send_message(self._id, data)
        self._wake()

    async def send_data(self, data: bytes | memoryview) -> None:
        """Send data, in as many frames as it takes. Returns when the last one is queued."""
        with memoryview(data).cast("B") as view:
            start = 0
            while start < len(view):
                part = view[start : start + self._session.data_bytes]
                await self._may_send(len(part))
                await self._lane.up(len(part))
                await self._may_send(len(part))  # the stream may have ended meanwhile
                self._session.send_data(self._id, part)
                self._wake()
                start += len(part)

    async def finish(self) -> None:
        """Send nothing more. Does nothing when the stream has ended already."""
        self._session.finish(self._id)
        self._wake()

    async def receive(self) -> Answer | bytes | None:
        """The next message or piece of data; None when the other side has finished."""
        while not await self._is_next_allowed():
            if self._is_complete:
                return None
            if self._failure is not None:
                raise self._failure
            self._arrived.clear()
            await self._arrived.wait()
        item, size = self._items.popleft()
        self._is_allowed = False
        self._session.consumed(self._id, size)
        self._wake()
        return item

    async def reset(self, code: str) -> None:
        """End the stream at once; the other side gets `Refusal(code)`.

        What was sent before still goes out when this side had finished.
        """
        self.end(code)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end(CANCELLED)
        if isinstance(error, RemoteError):
            self._blame(error)

    # For the PeerSession

    def end(self, code: str) -> None:
        """`reset`, from where nothing can be awaited."""
        self._session.reset(self._id, self._refused_with or (code if code in CODES else "internal"))
        self.fail(Unavailable("the stream was ended on this side"))
        self._wake()

    def put(self, item: Answer | bytes, size: int) -> None:
        """Something came."""
        if isinstance(item, Refused):
            self._refusal = item.as_refusal()
        self._items.append((item, size))
        self._arrived.set()

    def complete(self) -> None:
        """The other side has finished."""
        self._is_complete = True
        self._arrived.set()

    def refuse(self, code: str) -> None:
        """The other side has reset the stream. What it had finished before can still be read."""
        if not self._is_complete:
            self._items.clear()
        self.fail(self._refusal or Refusal(code, f"the other side ended the request: {code}"))

    def fail(self, failure: Exception) -> None:
        """Nothing more comes or goes, for this reason, if it is the first one."""
        if self._failure is None:
            self._failure = failure
        self._arrived.set()
        self._sendable.set()

    def may_send_again(self) -> None:
        """Credit or room came free."""
        self._sendable.set()

    async def _is_next_allowed(self) -> bool:
        """Whether there is an item, which may be taken now if it is data."""
        if self._items and not self._is_allowed and isinstance(self._items[0][0], bytes):
            await self._lane.down(self._items[0][1])
            self._is_allowed = True
        return bool(self._items)

    async def _may_send(self, size: int) -> None:
        while True:
            if self._failure is not None:
                raise self._failure
            if not self._session.is_open(self._id):
                raise Unavailable("the stream has ended")
            if self._session.can_send(self._id, size):
                return
            self._sendable.clear()
            await self._sendable.wait()
