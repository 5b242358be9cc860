"""Ports that the router opens on request, offered to friends as one more address.

An engine finds its addresses as ever; then the router is asked to open the port of the one that it
sees (UPnP or NAT-PMP, by whatever is handed in), and the outside address joins the description. It
works with any engine, since ICE takes it for an address that STUN could have found. Behind a router
that does this, a friend behind the strictest one needs no relay.

Ports are opened for a while, held open as long as their link lives, and closed with it. A router
that is slow or says no costs an attempt a second at most, and is then left in peace for a while.

Not here: talking to routers (peer/finding/routers.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

from datachannel.engine import Attempt, Engine, EngineLink
from datachannel.signals import CANDIDATES_MAX, Candidate, Description
from signaling.messages import IceServer, MemberId

LEASE_S: Final = 3600
"""A program that crashes leaves its ports open no longer than this."""
TICK_S: Final = 20.0
OPEN_S_MAX: Final = 1.0
"""Of an attempt's 15 s; a router that answers does so in a few hundredths."""
LOOK_AGAIN_S: Final = 600.0
CLOSE_S_MAX: Final = 2.0
PORTS_MAX: Final = 32
"""Routers have room for about a hundred, of all computers together."""
_PRIORITY: Final = (100 << 24) + (65535 << 8) + 255
"""RFC 8445's for an address that STUN found."""
_FOUNDATION: Final = "mapped"
_INNER = [
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8")
]

_log = logging.getLogger("covey.datachannel")


class RouterRefused(Exception):
    """The router does not do what it was asked; the text says why."""


class Router(Protocol):
    """A router that opens ports. All of it raises RouterRefused."""

    protocol: str
    """`UPnP` or `NAT-PMP`."""
    inside: str
    """Our own address, as this router sees it."""

    async def outside(self) -> str:
        """Its address outside."""
        ...

    async def open(self, port: int, lease_s: int) -> int:
        """Open a UDP port of ours for so long, or go on holding it open; the port outside."""
        ...

    async def close(self, port: int, outside: int) -> None: ...


@dataclass(slots=True)
class _Port:
    outside: int
    renew_at: float
    is_used: Callable[[], bool] = field(default=lambda: True)


class Mapper:
    """Has ports opened and held open. `run` it as one task.

    `find` looks for a router, `network` tells our address; when that changes, it is looked anew.
    """

    def __init__(
        self,
        find: Callable[[], Awaitable[Router | None]],
        network: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._find, self._network = find, network
        self._at: str | None = None
        self._router: Router | None = None
        self._outside = ""
        self._look_at = 0.0
        self._ports: dict[int, _Port] = {}

    @property
    def inside(self) -> str:
        """Our address for which ports can be opened; empty while there is no such router."""
        return self._router.inside if self._router is not None and self._outside else ""

    async def run(self) -> None:
        """Until cancelled; then all ports are closed."""
        try:
            while True:
                if self._network() != self._at:
                    self._at, self._look_at = self._network(), 0.0
                    self._ports.clear()  # they are another router's
                if _now() >= self._look_at:
                    await self._look()
                await self._tend()
                await asyncio.sleep(TICK_S)
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S_MAX):
                    for port in list(self._ports):
                        await self.close(port)

    async def open(self, port: int) -> tuple[str, int] | None:
        """(address, port) outside for a UDP port of ours, or None."""
        router = self._router
        if router is None or not self._outside or len(self._ports) >= PORTS_MAX:
            return None
        try:
            async with asyncio.timeout(OPEN_S_MAX):
                outside = await router.open(port, LEASE_S)
        except (RouterRefused, TimeoutError) as error:
            _log.info("the router opens no port: %s", error)
            self._router = None
            return None
        self._ports[port] = _Port(outside, _now() + LEASE_S / 2)
        return self._outside, outside

    def hold(self, port: int, is_used: Callable[[], bool]) -> None:
        """Hold it open for as long as that says so."""
        if port in self._ports:
            self._ports[port].is_used = is_used

    async def close(self, port: int) -> None:
        """Have it closed. Never raises for its sake: the lease ends anyway."""
        found, router = self._ports.pop(port, None), self._router
        if found is not None and router is not None:
            with contextlib.suppress(RouterRefused, TimeoutError):
                async with asyncio.timeout(CLOSE_S_MAX):
                    await router.close(port, found.outside)

    async def _look(self) -> None:
        self._look_at = _now() + LOOK_AGAIN_S
        try:
            self._router = await self._find()
            self._outside = "" if self._router is None else await self._router.outside()
        except RouterRefused as error:
            _log.info("the router opens no ports: %s", error)
            self._router = None
        except Exception as error:  # whatever is said on a local network must not end the looking
            _log.warning("what a router says is not understood", exc_info=error)
            self._router = None
        if self._outside and not is_outer(self._outside):
            self._outside = ""  # another router beyond it keeps everybody out

    async def _tend(self) -> None:
        for port, found in list(self._ports.items()):
            if not found.is_used():
                await self.close(port)
            elif _now() >= found.renew_at:
                await self._renew(port, found)

    async def _renew(self, port: int, found: _Port) -> None:
        found.renew_at = _now() + LEASE_S / 2
        if self._router is not None:
            with contextlib.suppress(RouterRefused, TimeoutError):
                async with asyncio.timeout(CLOSE_S_MAX):
                    found.outside = await self._router.open(port, LEASE_S)


class MappingEngine:
    """Any engine, with ports that the router opens."""

    def __init__(self, engine: Engine, mapper: Mapper) -> None:
        self._engine, self._mapper = engine, mapper

    @property
    def name(self) -> str:
        return self._engine.name

    def attempt(
        self, remote: MemberId, *, offerer: bool, ice_servers: Sequence[IceServer]
    ) -> Attempt:
        """A new try to connect. `close` it, or the link that it became."""
        inner = self._engine.attempt(remote, offerer=offerer, ice_servers=ice_servers)
        return MappingAttempt(inner, self._mapper)


class MappingAttempt:
    """One try to connect, with a port that the router has opened, if it does."""

    def __init__(self, inner: Attempt, mapper: Mapper) -> None:
        self._inner, self._mapper = inner, mapper
        self._port: int | None = None

    async def local_description(self, offer: Description | None = None) -> Description:
        """See Attempt."""
        described = await self._inner.local_description(offer)
        port = port_at(described, self._mapper.inside)
        if port is None:
            return described
        outside = await self._mapper.open(port)
        if outside is None:
            return described
        self._port = port
        return with_mapped(described, *outside)

    async def connect(self, remote: Description) -> EngineLink:
        """See Attempt."""
        link = await self._inner.connect(remote)
        if self._port is not None:
            self._mapper.hold(self._port, lambda: not link.closed)
        return link

    async def add_candidates(self, candidates: Sequence[Candidate], *, complete: bool) -> None:
        """See Attempt."""
        await self._inner.add_candidates(candidates, complete=complete)

    async def close(self) -> None:
        """See Attempt."""
        await self._inner.close()
        if self._port is not None:
            await self._mapper.close(self._port)


def port_at(described: Description, inside: str) -> int | None:
    """The port that the engine listens at at this address."""
    return next(
        (
            one.port
            for one in described.candidates
            if inside and one.kind == "host" and one.address == inside
        ),
        None,
    )


def with_mapped(described: Description, address: str, port: int) -> Description:
    """The same with one more address, unless it is there already or there is no room."""
    if len(described.candidates) >= CANDIDATES_MAX or any(
        (one.address, one.port) == (address, port) for one in described.candidates
    ):
        return described
    try:
        found = Candidate("srflx", address, port, _PRIORITY, _FOUNDATION)
    except ValueError:  # a router's word
        return described
    return msgspec.structs.replace(described, candidates=(*described.candidates, found))


def is_outer(address: str) -> bool:
    """Whether an address may be known beyond a home. Carriers' shared ones are of no use either."""
    try:
        ip = ipaddress.IPv4Address(address)
    except ValueError:
        return False
    shared = ipaddress.ip_network("100.64.0.0/10")
    return not (ip.is_unspecified or ip.is_multicast) and not any(
        ip in one for one in (*_INNER, shared)
    )


def _now() -> float:
    return asyncio.get_running_loop().time()
