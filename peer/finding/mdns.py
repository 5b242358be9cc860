"""The local network by mDNS: who announces a signaling server there, and announcing one.

The service is `_covey._tcp.local.`; its TXT record has `v=1`, and `standing=1` when the server is
run on purpose. Nothing in it tells of groups. What is meant for one group alone, while its own
server is away, is `_covey-group._tcp.local.` with a tag (beacon.py) that tells strangers nothing.
Only IPv4: what has a local network has that.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from zeroconf import Error, IPVersion, ServiceInfo, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from peer.finding.beacon import Beacon
from peer.finding.lan import SERVERS_MAX, LanServer, in_order, lan_url

SERVICE = "_covey._tcp.local."
GROUP_SERVICE = "_covey-group._tcp.local."
VERSION = b"1"
RESOLVE_S = 3.0
NAMES_MAX = 4 * SERVERS_MAX
"""Names that are remembered: some of them are gone, or nonsense."""
_MULTICAST = ("224.0.0.251", 5353)

log = logging.getLogger("covey.finding")


class NoLan(Exception):
    """There is no local network that can be used."""


def own_address() -> str | None:
    """This computer's address in its local network. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(_MULTICAST)
        address: str = probe.getsockname()[0]
        ip = ipaddress.ip_address(address)
        if ip.is_private and not ip.is_loopback:
            return address
    return None


def is_ours(address: str) -> bool:
    """Whether this computer has this address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


class LocalNetwork:
    """What is announced now. Made by `local_network`."""

    def __init__(self, zeroconf: AsyncZeroconf, address: str, beacon: Beacon | None = None) -> None:
        self._zeroconf, self.address, self._beacon = zeroconf, address, beacon
        self.service = SERVICE if beacon is None else GROUP_SERVICE
        self._loopback = ipaddress.ip_address(address).is_loopback
        self._found: dict[str, LanServer | None] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self.changed = asyncio.Event()
        """Set whenever `servers` may be other than before; cleared by who waits for it."""

    def servers(self) -> list[LanServer]:
        """All that are announced, in the order in which members try them."""
        return in_order([one for one in self._found.values() if one is not None])

    async def look(self, timeout_s: float) -> list[LanServer]:
        """As `servers`; waits for the first one."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not self.servers():
                    self.changed.clear()
                    await self.changed.wait()
        return self.servers()

    @asynccontextmanager
    async def announced(self, name: str, port: int, *, standing: bool) -> AsyncIterator[None]:
        """Announce a server at this computer's address as long as the context lasts."""
        properties = {"v": VERSION, "standing": b"1" if standing else b"0"}
        if self._beacon is not None:
            properties["g"] = self._beacon.tag(name, self.address, port)
        info = ServiceInfo(
            self.service,
            f"{name}.{self.service}",
            addresses=[ipaddress.IPv4Address(self.address).packed],
            port=port,
            properties=properties,
            server=f"{name}.local.",
        )
        try:
            await (await self._zeroconf.async_register_service(info))
        except Error as error:
            raise NoLan(f"nothing can be announced here: {type(error).__name__}") from error
        try:
            yield
        finally:
            with suppress(Error):
                await (await self._zeroconf.async_unregister_service(info))

    def heard(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        """Something is announced, or withdrawn."""
        if state_change is ServiceStateChange.Removed:
            self._found.pop(name, None)
            self.changed.set()
        elif name not in self._asking and (name in self._found or len(self._found) < NAMES_MAX):
            self._found.setdefault(name, None)
            task = asyncio.get_running_loop().create_task(self._resolve(name))
            self._asking[name] = task
            task.add_done_callback(lambda _: self._asking.pop(name, None))

    async def _resolve(self, name: str) -> None:
        info = AsyncServiceInfo(self.service, name)
        try:
            is_there = await info.async_request(self._zeroconf.zeroconf, RESOLVE_S * 1000)
        except (Error, OSError) as error:
            log.info("an announcement cannot be read: %s", type(error).__name__)
            return
        if name not in self._found or not is_there:
            return
        self._found[name] = self._server_of(name, info)
        self.changed.set()

    def _server_of(self, name: str, info: ServiceInfo) -> LanServer | None:
        if info.properties.get(b"v") != VERSION or info.port is None:
            return None
        short = name.removesuffix(f".{self.service}")
        urls = (
            lan_url(address, info.port, loopback=self._loopback)
            for address in info.parsed_addresses(IPVersion.V4Only)
            if self._is_ours(info, short, address)
        )
        url = next((url for url in urls if url is not None), None)
        if url is None:
            return None
        is_standing = info.properties.get(b"standing") == b"1"
        return LanServer(short, url, is_standing)

    def _is_ours(self, info: ServiceInfo, name: str, address: str) -> bool:
        if self._beacon is None:
            return True
        return self._beacon.is_ours(info.properties.get(b"g"), name, address, info.port or 0)

    async def close(self) -> None:
        """Ask nobody any more."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def local_network(
    address: str | None = None, beacon: Beacon | None = None
) -> AsyncIterator[LocalNetwork]:
    """Listen to the local network of this address, or of the usual one. Raises NoLan.

    With a beacon, only to what members of its group announce for each other.
    """
    address = address or own_address()
    if address is None or not is_ours(address):
        raise NoLan("this computer is in no local network")
    try:
        zeroconf = AsyncZeroconf(interfaces=[address], ip_version=IPVersion.V4Only)
    except (Error, OSError) as error:
        raise NoLan("the local network cannot be listened to") from error
    network = LocalNetwork(zeroconf, address, beacon)
    browser = AsyncServiceBrowser(zeroconf.zeroconf, network.service, handlers=[network.heard])
    try:
        yield network
    finally:
        await browser.async_cancel()
        await network.close()
        await zeroconf.async_close()
