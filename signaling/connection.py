"""One client's connection as the server writes to it: a bounded queue and the task that empties it.

Nobody waits for a slow reader. What is meant for it is queued; when that is more than its share,
the connection is cut, and the client comes back to a full picture of its group.
"""

from __future__ import annotations

import asyncio
from collections import deque
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
    """One client. `send_waiting` runs as a task of its own as long as the connection lives."""

    def __init__(
        self,
        number: int,
        socket: Socket,
        *,
        abort: Callable[[], None],
        backlog: Backlog,
        limits: Limits,
    ) -> None:
        self.number = number
        self.is_slow = False
        self._socket, self._abort, self._limits = socket, abort, limits
        self._backlog = backlog
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._wake = asyncio.Event()
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
        self._wake.set()

    def hold(self) -> None:
        """Send nothing until `release`."""
        self._held = True

    def release(self) -> None:
        """Send what was held."""
        self._held = False
        self._wake.set()

    def close(self) -> None:
        """Close it when what waits is sent."""
        self._closing = True
        self._wake.set()

    def abort(self) -> None:
        """Cut it; what waits is lost."""
        self._held = False
        self._waiting.clear()
        self._count(-self._waiting_bytes)
        self.close()
        self._abort()

    async def send_waiting(self) -> None:
        """Send until closed, from either side, or cut."""
        try:
            while True:
                while self._waiting and not self._held:
                    data = self._waiting.popleft()
                    self._count(-len(data))
                    async with asyncio.timeout(self._limits.send_timeout_s):
                        await self._socket.send_bytes(data)
                if self._closing and not self._held:
                    # aiohttp bounds the wait for an answer, not the wait for a reader.
                    async with asyncio.timeout(self._limits.send_timeout_s):
                        await self._socket.close()
                    return
                self._wake.clear()
                await self._wake.wait()
        except (ConnectionError, TimeoutError, RuntimeError):
            self.abort()

    def _count(self, size: int) -> None:
        self._waiting_bytes += size
        self._backlog.size += size
