"""One client of the server: a WebSocket, and the bounded queue of what waits for it."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from aiohttp import ClientError, WSMsgType, web

from signaling.config import Limits
from signaling.messages import Failed, FromServer, encode


@dataclass(slots=True)
class Backlog:
    """What waits for all clients together."""

    bytes: int = 0


class Connection:
    """`queue` never waits. Who does not read what is sent is dropped."""

    def __init__(
        self,
        number: int,
        socket: web.WebSocketResponse,
        address: str,
        transport: asyncio.WriteTransport,
        limits: Limits,
        backlog: Backlog,
    ) -> None:
        self.number, self.address = number, address
        self.transport = transport
        self.dropped = False
        self._socket, self._limits, self._backlog = socket, limits, backlog
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._wake = asyncio.Event()
        self._ending = False

    def queue(self, message: FromServer) -> None:
        """Send this in its turn. Nothing is sent after a Failed."""
        if self._ending:
            return
        data = encode(message)
        self._waiting.append(data)
        self._count(len(data))
        limits = self._limits
        if (
            len(self._waiting) > limits.outgoing_messages_max
            or self._waiting_bytes > limits.outgoing_bytes_max
            or (self._backlog.bytes > limits.outgoing_bytes_total_max and len(self._waiting) > 1)
        ):
            self.dropped = True
            self.abort()
        elif isinstance(message, Failed):
            self.end()
        self._wake.set()

    def end(self) -> None:
        """Send what waits, then close."""
        self._ending = True
        self._wake.set()

    def abort(self) -> None:
        """Close at once."""
        self.end()
        self._waiting.clear()
        self._count(-self._waiting_bytes)
        self.transport.abort()

    async def receive(self, timeout_s: float | None = None) -> bytes | None:
        """The next frame; None at the end of the connection, or for a frame that is not binary."""
        try:
            async with asyncio.timeout(timeout_s):
                message = await self._socket.receive()
        except (TimeoutError, ClientError, OSError):
            return None
        if message.type is not WSMsgType.BINARY:
            return None
        data: bytes = message.data
        return data

    async def send_queued(self) -> None:
        """Send until `end`, or until the client does not read. One task does this."""
        try:
            while True:
                while self._waiting:
                    data = self._waiting.popleft()
                    self._count(-len(data))
                    async with asyncio.timeout(self._limits.send_timeout_s):
                        await self._socket.send_bytes(data)
                if self._ending:
                    await self._socket.close()
                    return
                self._wake.clear()
                await self._wake.wait()
        except (ClientError, OSError, RuntimeError):
            self.abort()

    def _count(self, size: int) -> None:
        self._waiting_bytes += size
        self._backlog.bytes += size
