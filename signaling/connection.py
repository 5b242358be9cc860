"""One client's connection as the server writes to it: a bounded queue, and who empties it.

Nobody waits for a slow reader. What is meant for it is queued; when that is more than its share,
the connection is cut, and the client comes back to a full picture of its group.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from signaling.config import Limits


class Socket(Protocol):
    """What is used of a WebSocket."""

    async def send_bytes(self, data: bytes) -> None: ...
    async def close(self) -> bool: ...


class Backlog:
    """What waits for all clients together, in bytes."""

    def __init__(self) -> None:
        self.size = 0


class Connection:
    """One client. There is a task as long as something is to be sent, and none else: most clients
    are silent most of the time, and there may be many of them."""

    __slots__ = (
        "_abort",
        "_backlog",
        "_closing",
        "_held",
        "_limits",
        "_sending",
        "_socket",
        "_waiting",
        "_waiting_bytes",
        "address",
        "is_slow",
        "number",
    )

    def __init__(
        self,
        number: int,
        socket: Socket,
        *,
        address: str,
        abort: Callable[[], None],
        backlog: Backlog,
        limits: Limits,
    ) -> None:
        self.number, self.address = number, address
        self.is_slow = False
        self._socket, self._abort, self._limits = socket, abort, limits
        self._backlog = backlog
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._sending: asyncio.Task[None] | None = None
        self._closing = self._held = False

    @property
    def is_closing(self) -> bool:
        """Whether nothing more can be said."""
        return self._closing

    def queue(self, data: bytes, *, last: bool = False) -> None:
        """Send this soon; after the last one the connection is closed."""
        if self._closing:
            return
        self._waiting.append(data)
        self._count(len(data))
        limits = self._limits
        if (
            len(self._waiting) > limits.outgoing_messages_max
            or self._waiting_bytes > limits.outgoing_bytes_max
            or (self._backlog.size > limits.outgoing_bytes_total_max and len(self._waiting) > 1)
        ):
            self.is_slow = True
            self.abort()
        elif last:
            self.close()
        else:
            self._send_soon()

    def hold(self) -> None:
        """Send nothing until `release`."""
        self._held = True

    def release(self) -> None:
        """Send what was held."""
        self._held = False
        self._send_soon()

    def close(self) -> None:
        """Close it when what waits is sent."""
        self._closing = True
        self._send_soon()

    def abort(self) -> None:
        """Cut it; what waits is lost."""
        self._held = False
        self._waiting.clear()
        self._count(-self._waiting_bytes)
        self._abort()
        self.close()

    async def ended(self) -> None:
        """Wait until it is closed, or cut. To be called after one of them."""
        self._held = False
        self._send_soon()
        while self._sending is not None:
            await asyncio.wait([self._sending])

    def _send_soon(self) -> None:
        if self._sending is None and not self._held:
            self._sending = asyncio.create_task(self._send_waiting())

    async def _send_waiting(self) -> None:
        timeout_s = self._limits.send_timeout_s
        try:
            while self._waiting:
                data = self._waiting.pop(0)
                self._count(-len(data))
                async with asyncio.timeout(timeout_s):
                    await self._socket.send_bytes(data)
            if self._closing:
                # aiohttp bounds the wait for an answer, not the wait for a reader.
                async with asyncio.timeout(timeout_s):
                    await self._socket.close()
        except (ConnectionError, TimeoutError, RuntimeError):
            self._closing = True
            self._waiting.clear()
            self._count(-self._waiting_bytes)
            self._abort()
        finally:
            self._sending = None

    def _count(self, size: int) -> None:
        self._waiting_bytes += size
        self._backlog.size += size
