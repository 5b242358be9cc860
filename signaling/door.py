"""TCP connections between being accepted and being a WebSocket.

Whoever connects and says nothing, or says it one byte at a time, holds a file of this process. So
these are counted: an address has a few, all together have what the process can bear, and each has
some seconds. Connections beyond that are cut at once, before a byte is read.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import cast

from signaling.config import Limits
from signaling.limits import address_key

LOOK_S = 1.0
SPARE = 16
"""Beyond the WebSockets that there may be: who comes then is told so."""


class Door:
    """Give `guard` to the loop's server in place of what it guards."""

    def __init__(self, limits: Limits, *, is_proxy: Callable[[str], bool]) -> None:
        self._limits, self._is_proxy = limits, is_proxy
        self._waiting: dict[asyncio.Transport, tuple[str, float]] = {}
        self._per_address: Counter[str] = Counter()
        self._inside = 0
        self.turned_away: Callable[[], None] = lambda: None

    def guard(self, inner: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """A factory of protocols that hands admitted connections to those of `inner`."""
        return lambda: _Doorman(self, inner)

    def __len__(self) -> int:
        return len(self._waiting)

    def admits(self, transport: asyncio.Transport, *, now: float) -> bool:
        """Whether this new connection may begin to speak."""
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if isinstance(peer, tuple) else ""
        key = address_key(address)
        limits = self._limits
        is_one_too_many = self._per_address[
            key
        ] >= limits.waiting_per_address_max and not self._is_proxy(address)
        if is_one_too_many or len(self) + self._inside >= limits.connections_max + SPARE:
            self.turned_away()
            return False
        self._waiting[transport] = (key, now)
        self._per_address[key] += 1
        return True

    def enter(self, transport: asyncio.Transport) -> None:
        """It is a WebSocket now, until `leave`."""
        self._forget(transport)
        self._inside += 1

    def leave(self) -> None:
        """One that was a WebSocket has gone."""
        self._inside -= 1

    async def watch(self) -> None:
        """Until cancelled: cut those that take too long, forget those that went."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(LOOK_S, self._limits.request_timeout_s / 2))
            long_ago = loop.time() - self._limits.request_timeout_s
            for transport, (_, since) in list(self._waiting.items()):
                if transport.is_closing():
                    self._forget(transport)
                elif since <= long_ago:
                    transport.abort()
                    self._forget(transport)

    def _forget(self, transport: asyncio.Transport) -> None:
        key, _ = self._waiting.pop(transport, (None, 0.0))
        if key is not None:
            self._per_address[key] -= 1
            if not self._per_address[key]:
                del self._per_address[key]


class _Doorman(asyncio.Protocol):
    """Decides, and hands the connection on: what it guards never knows of it."""

    def __init__(self, door: Door, inner: Callable[[], asyncio.Protocol]) -> None:
        self._door, self._inner = door, inner

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        tcp = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        if not self._door.admits(tcp, now=asyncio.get_running_loop().time()):
            tcp.abort()
            return
        inner = self._inner()
        tcp.set_protocol(inner)
        inner.connection_made(tcp)
