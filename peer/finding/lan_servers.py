"""The server of a group on the local network: somebody's, or else our own.

Looks for what is announced and takes the first that answers; if there is none, runs one and
announces it. Meanwhile it watches for a server that comes before ours (lan.py) and ends ours when
it is really there, so that all members come to the same one. When the network changes, it all
begins anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Protocol

from datachannel.joining import Unreachable
from peer.finding.lan import LanServer, before
from signaling.messages import MoveNotice

LOOK_S = 3.0
"""For the first announcement: devices answer within a second, a sleepy WLAN within three."""
PATIENCE_S = 3.0
"""Of so much a random part passes before a server is run, so that not all begin at once."""
CHECK_S = 30.0
SHUN_S = 300.0
"""A server that did not let us in is not tried for so long: it has been announced, no more."""

log = logging.getLogger("covey.finding")


class Network(Protocol):
    """What is used of a local network (mdns.LocalNetwork)."""

    changed: asyncio.Event

    @property
    def address(self) -> str: ...
    def servers(self) -> list[LanServer]: ...
    async def look(self, timeout_s: float) -> list[LanServer]: ...


class CannotHost(Exception):
    """No local network can be used, or no server can be run; the text says why."""


OpenNetwork = Callable[[str], AbstractAsyncContextManager[Network]]
"""Of this address. Raises CannotHost."""
Host = Callable[[Network], AbstractAsyncContextManager[LanServer]]
"""Runs and announces a server. Raises CannotHost."""


class LanServers:
    """Implements `datachannel.joining.Servers`. `close` it at the end."""

    def __init__(
        self,
        *,
        own_address: Callable[[], str | None],
        open_network: OpenNetwork,
        host: Host,
        is_there: Callable[[str], Awaitable[bool]],
        jitter: random.Random,
    ) -> None:
        self._own_address, self._open_network = own_address, open_network
        self._host, self._is_there, self._jitter = host, is_there, jitter
        self._network: Network | None = None
        self._networks, self._hosting = AsyncExitStack(), AsyncExitStack()
        self._own: LanServer | None = None
        self._shunned: dict[str, float] = {}
        self._let_in_by = ""

    async def address(self) -> str:
        """See Servers."""
        try:
            network = await self._at_network()
            if self._own is not None:
                if await self._is_there(self._own.url):
                    return self._own.url
                await self._end_own()
            found = await self._first(await network.look(LOOK_S))
            if found is None:
                await asyncio.sleep(self._jitter.random() * PATIENCE_S)
                found = await self._first(network.servers())
            if found is None:
                found = self._own = await self._hosting.enter_async_context(self._host(network))
                log.info("there is no server on the local network: one runs here")
        except CannotHost as error:
            raise Unreachable(str(error)) from error
        return found.url

    def joined(self, url: str) -> None:
        """See Servers."""
        self._let_in_by = url

    def failed(self, url: str) -> bool:
        """See Servers."""
        is_own = self._own is not None and url == self._own.url
        if not is_own and url != self._let_in_by:  # one that breaks off is tried once more
            self._shunned[url] = _now() + SHUN_S
        self._let_in_by = ""
        return True

    def moved(self, url: str, notice: MoveNotice) -> None:
        """See Servers: KnownServers knows what to do."""

    async def better(self, url: str) -> None:
        """See Servers: returns when our server has ended for the sake of another."""
        network = self._network
        while network is not None:
            network.changed.clear()
            if self._own_address() != network.address:
                return
            if self._own is not None and await self._first(before(self._own, network.servers())):
                log.info("another server runs on the local network: ours ends")
                await self._end_own()
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_S):
                    await network.changed.wait()

    def knows_all(self, url: str) -> bool:
        """See Servers: whoever is there is all that the group has."""
        return True

    async def close(self) -> None:
        """End what runs here. It may be used again."""
        await self._end_own()
        self._network = None
        await self._networks.aclose()

    async def _at_network(self) -> Network:
        address = self._own_address()
        if self._network is not None and self._network.address != address:
            await self.close()
        if address is None:
            raise CannotHost("this computer is in no local network")
        if self._network is None:
            opened = self._open_network(address)
            self._network = await self._networks.enter_async_context(opened)
        return self._network

    async def _first(self, servers: list[LanServer]) -> LanServer | None:
        """The first that answers."""
        now = _now()
        self._shunned = {url: until for url, until in self._shunned.items() if until > now}
        for server in servers:
            if server.url not in self._shunned and await self._is_there(server.url):
                return server
        return None

    async def _end_own(self) -> None:
        self._own = None
        await self._hosting.aclose()


def _now() -> float:
    return asyncio.get_running_loop().time()
