"""Finding put together with the real network: for joining, and for a member at work."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from peer.finding.beacon import Beacon
from peer.finding.embedded import NAME_BYTES, embedded_server, is_there
from peer.finding.lan import LanServer
from peer.finding.lan_servers import LOOK_S, CannotHost, LanServers, Network
from peer.finding.mdns import LocalNetwork, NoLan, local_network, own_address
from peer.finding.order import LAN, Asking, At, NotFound, OnLan, domain_of, source_of
from peer.finding.servers import KnownServers, Place
from peer.finding.spare import SpareServers
from peer.finding.wellknown import ask_domain
from peer.ports import RandomBytes
from signaling.config import ServerConfig
from signaling.main import serve
from signaling.stores import StoreError

LOOPBACK = "127.0.0.1"
ADDRESS_VARIABLE = "COVEY_LAN_ADDRESS"
"""This computer's address in the local network that is meant, where it has several."""
SPARE_VARIABLE = "COVEY_LAN"
"""`off`: nothing stands in on the local network for a group's server that is away."""


def lan_address() -> str | None:
    """This computer's address in its local network, as the person or the system says."""
    return os.environ.get(ADDRESS_VARIABLE) or own_address()


async def find_for_joining(group: str, address: str | None) -> tuple[str, list[str]]:
    """(what to remember as the group's server, the URLs to try now). Raises NotFound.

    On the local network there may be none: then this member's agent will run one.
    """
    match source_of(group, address):
        case At(url):
            return url, [url]
        case Asking(domain):
            url = await ask_domain(domain)
            return url, [url]
        case OnLan():
            try:
                async with local_network(lan_address()) as network:
                    found = await network.look(LOOK_S)
                    there = [one.url for one in found if await is_there(one.url)]
            except NoLan as error:
                step = "Name a server with --server, or connect to a network first."
                raise NotFound(f"No server can be found: {error}.", step) from error
            return LAN, there


@asynccontextmanager
async def servers_of(
    group: str,
    place: Place,
    *,
    save: Callable[[Place], Awaitable[None]],
    data: Path,
    group_key: bytes,
    random_bytes: RandomBytes,
    jitter: random.Random,
) -> AsyncIterator[tuple[KnownServers, SpareServers]]:
    """The servers of a member at work, and the same with those that stand in for them.

    `data` is for one that it runs itself, `group_key` a secret of the group.
    """

    def host(network: Network) -> AbstractAsyncContextManager[LanServer]:
        return _hosted(cast("LocalNetwork", network), data, random_bytes)

    def lan_servers(beacon: Beacon | None) -> LanServers:
        return LanServers(
            own_address=lan_address if beacon is None else spare_address,
            open_network=partial(_opened, beacon=beacon),
            host=host,
            is_there=is_there,
            jitter=jitter,
        )

    def spare_address() -> str | None:
        """While the group's place is the local network itself, nothing else stands in for it."""
        return lan_address() if uses_lan() and known.place.url != LAN else None

    lan, spare = lan_servers(None), lan_servers(Beacon(group_key))
    domain = domain_of(group)
    ask = None if domain is None else lambda: ask_domain(domain)
    known = KnownServers(place, save=save, lan=lan, ask=ask)
    try:
        yield known, SpareServers(known, spare, is_there=is_there)
    finally:
        await spare.close()
        await lan.close()


def uses_lan() -> bool:
    """Whether a member may look for its friends on the local network while the server is away."""
    return os.environ.get(SPARE_VARIABLE, "") != "off"


async def find_near(group_key: bytes) -> list[str]:
    """The servers that friends of this group run on the local network now."""
    if not uses_lan():
        return []
    try:
        async with local_network(lan_address(), Beacon(group_key)) as network:
            return [one.url for one in await network.look(LOOK_S) if await is_there(one.url)]
    except NoLan:
        return []


@asynccontextmanager
async def _opened(address: str, beacon: Beacon | None) -> AsyncIterator[Network]:
    try:
        async with local_network(address, beacon) as network:
            yield network
    except NoLan as error:
        raise CannotHost(str(error)) from error


@asynccontextmanager
async def _hosted(
    network: LocalNetwork, data: Path, random_bytes: RandomBytes
) -> AsyncIterator[LanServer]:
    try:
        async with embedded_server(network, data, random_bytes) as server:
            yield server
    except (NoLan, StoreError, OSError) as error:
        raise CannotHost(f"no server can be run here: {error}") from error


async def serve_on_lan(
    config: ServerConfig, *, ready: Callable[[str], None], random_bytes: RandomBytes
) -> None:
    """Run a server that is announced on the local network. Raises NotFound, StoreError, OSError."""
    listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    try:
        async with local_network(lan_address()) as network, asyncio.TaskGroup() as tasks:
            if config.host == LOOPBACK:  # nobody has said where; not there, in any case
                config = replace(config, host=network.address)
            tasks.create_task(serve(config, ready=listening.set_result))
            url = await listening
            name = f"covey-{random_bytes(NAME_BYTES).hex()}"
            async with network.announced(name, urlsplit(url).port or 0, standing=True):
                ready(url)
                await asyncio.Event().wait()
    except* NoLan as errors:
        raise NotFound(
            f"The server cannot be announced: {errors.exceptions[0]}.", "Leave out --announce."
        ) from errors
