"""Ports that routers open: offered, held while they are used, closed after. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from datachannel.engine import EngineLink
from datachannel.errors import Unavailable
from datachannel.mapping import (
    LEASE_S,
    LOOK_AGAIN_S,
    OPEN_S_MAX,
    PORTS_MAX,
    TICK_S,
    Mapper,
    MappingEngine,
    RouterRefused,
    is_outer,
    with_mapped,
)
from datachannel.signals import CANDIDATES_MAX, Candidate, Description
from signaling.messages import IceServer, MemberId
from tests.support.memory_link import MemoryLink
from tests.support.sctp_harness import run_virtual

HERE, OUTSIDE = "192.168.1.2", "8.8.8.8"
BEN = MemberId(b"2" * 32)


def described(*addresses: str) -> Description:
    candidates = tuple(
        Candidate("host", address, 4000 + number, 1000, "f")
        for number, address in enumerate(addresses)
    )
    return Description("name", "p" * 22, b"f" * 32, "actpass", candidates)


class ARouter:
    protocol = "UPnP"
    inside = HERE

    def __init__(self) -> None:
        self.address = OUTSIDE
        self.ports: dict[int, float] = {}
        self.opened = 0
        self.takes_s = 0.0
        self.refuses = False

    async def outside(self) -> str:
        return self.address

    async def open(self, port: int, lease_s: int) -> int:
        await asyncio.sleep(self.takes_s)
        if self.refuses:
            raise RouterRefused("the port is taken")
        self.opened += 1
        self.ports[port] = asyncio.get_running_loop().time() + lease_s
        return port + 10_000

    async def close(self, port: int, outside: int) -> None:
        assert outside == port + 10_000
        del self.ports[port]


class AnAttempt:
    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses = addresses
        self.link = MemoryLink(BEN)
        self.fails = False

    async def local_description(self, offer: Description | None = None) -> Description:
        return described(*self.addresses)

    async def connect(self, remote: Description) -> EngineLink:
        if self.fails:
            raise Unavailable("no path")
        return self.link

    async def add_candidates(self, candidates: Sequence[Candidate], *, complete: bool) -> None:
        raise AssertionError("nobody tells more")

    async def close(self) -> None:
        await self.link.close()


class AnEngine:
    name = "any"

    def __init__(self) -> None:
        self.addresses: Sequence[str] = ("10.1.1.1", HERE)
        self.attempts: list[AnAttempt] = []

    def attempt(
        self, remote: MemberId, *, offerer: bool, ice_servers: Sequence[IceServer]
    ) -> AnAttempt:
        self.attempts.append(AnAttempt(self.addresses))
        return self.attempts[-1]


class World:
    def __init__(self) -> None:
        self.router: ARouter | None = ARouter()
        self.looks = 0
        self.is_broken = False
        self.address: str | None = HERE
        self.mapper = Mapper(self._find, lambda: self.address)
        self.inner = AnEngine()
        self.engine = MappingEngine(self.inner, self.mapper)

    async def _find(self) -> ARouter | None:
        self.looks += 1
        if self.is_broken:
            raise ZeroDivisionError
        return self.router

    def attempt(self):
        return self.engine.attempt(BEN, offerer=True, ice_servers=())


def in_world(test: Callable[[World, ARouter], Awaitable[None]], *, outside: str = OUTSIDE) -> World:
    """Run a test beside the mapper, which ends after it."""

    async def run() -> World:
        world = World()
        assert world.router is not None
        router = world.router
        router.address = outside
        running = asyncio.create_task(world.mapper.run())
        await asyncio.sleep(1)
        await test(world, router)
        running.cancel()
        await asyncio.wait([running])
        assert router.ports == {}
        return world

    return run_virtual(run())


def test_the_address_outside_is_offered_as_one_that_stun_could_have_found():
    async def test(world: World, router: ARouter) -> None:
        found = (await world.attempt().local_description()).candidates
        assert found[:2] == described(*world.inner.addresses).candidates
        (mapped,) = found[2:]
        assert (mapped.kind, mapped.address, mapped.port) == ("srflx", OUTSIDE, 14_001)
        assert list(router.ports) == [4001]

    in_world(test)


def test_a_port_is_held_open_while_its_link_lives_and_closed_soon_after():
    async def test(world: World, router: ARouter) -> None:
        attempt = world.attempt()
        await attempt.local_description()
        link = await attempt.connect(described())
        for _ in range(5):
            await asyncio.sleep(LEASE_S * 0.9)
            assert router.ports[4001] > asyncio.get_running_loop().time()
        await link.close()
        await asyncio.sleep(TICK_S)
        assert router.ports == {}

    in_world(test)


def test_an_attempt_that_is_given_up_closes_its_port_at_once():
    async def test(world: World, router: ARouter) -> None:
        attempt = world.attempt()
        await attempt.local_description()
        world.inner.attempts[0].fails = True
        with pytest.raises(Unavailable):
            await attempt.connect(described())
        await attempt.close()
        await attempt.close()
        assert router.ports == {}

    in_world(test)


def test_a_slow_router_costs_a_second_and_is_left_in_peace_for_a_while():
    async def test(world: World, router: ARouter) -> None:
        loop = asyncio.get_running_loop()
        router.takes_s = 30.0
        for expected_s in (OPEN_S_MAX, 0.0):
            began = loop.time()
            assert await world.attempt().local_description() == described("10.1.1.1", HERE)
            assert loop.time() - began == pytest.approx(expected_s)
        router.takes_s = 0.0
        await asyncio.sleep(LOOK_AGAIN_S + TICK_S)
        assert len((await world.attempt().local_description()).candidates) == 3

    in_world(test)


def test_a_router_that_refuses_changes_nothing():
    async def test(world: World, router: ARouter) -> None:
        router.refuses = True
        assert await world.attempt().local_description() == described("10.1.1.1", HERE)

    in_world(test)


@pytest.mark.parametrize("outside", ["192.168.0.2", "100.64.1.1", "0.0.0.0", "", "nonsense"])
def test_an_outside_address_that_leads_nowhere_is_not_offered(outside: str):
    async def test(world: World, router: ARouter) -> None:
        assert await world.attempt().local_description() == described("10.1.1.1", HERE)
        assert router.opened == 0

    in_world(test, outside=outside)


def test_in_another_network_another_router_is_looked_for():
    async def test(world: World, router: ARouter) -> None:
        assert world.looks == 1
        world.router, world.address = None, "192.168.9.9"
        await asyncio.sleep(TICK_S)
        assert world.looks == 2
        assert world.mapper.inside == ""

    in_world(test)


def test_nothing_that_is_said_on_a_network_ends_the_looking(caplog: pytest.LogCaptureFixture):
    async def test(world: World, router: ARouter) -> None:
        world.is_broken = True
        await asyncio.sleep(LOOK_AGAIN_S + TICK_S)
        assert world.mapper.inside == ""
        world.is_broken = False
        await asyncio.sleep(LOOK_AGAIN_S + TICK_S)
        assert world.mapper.inside == HERE

    in_world(test)
    assert "not understood" in caplog.text


def test_where_no_address_is_the_routers_nothing_is_opened():
    async def test(world: World, router: ARouter) -> None:
        world.inner.addresses = ("10.1.1.1",)
        assert await world.attempt().local_description() == described("10.1.1.1")
        assert router.opened == 0

    in_world(test)


def test_no_more_ports_are_opened_than_a_router_has_room_for():
    async def test(world: World, router: ARouter) -> None:
        for port in range(2 * PORTS_MAX):
            await world.mapper.open(port + 1)
        assert len(router.ports) == PORTS_MAX

    in_world(test)


def test_what_is_known_already_or_has_no_room_is_not_added():
    one = described(HERE)
    assert with_mapped(one, HERE, 4000) == one
    full = described(*[HERE] * CANDIDATES_MAX)
    assert with_mapped(full, OUTSIDE, 1) == full
    assert with_mapped(one, "a router's nonsense", 1) == one
    assert with_mapped(one, OUTSIDE, 70_000) == one


def test_only_addresses_that_are_good_beyond_a_home_count_as_outside():
    assert is_outer("8.8.8.8")
    assert not any(map(is_outer, ["10.0.0.1", "172.20.1.1", "169.254.1.1", "127.0.0.1", "::1"]))
