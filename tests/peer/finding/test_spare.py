"""While the group's server is away: who stands in, from when, and until when. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from datachannel.joining import OneServer, Unreachable
from peer.finding.spare import AWAY_S, LOOK_BACK_S, SpareServers
from signaling.messages import MoveNotice
from tests.support.sctp_harness import run_virtual

MAIN, NEAR = "https://main.example", "http://192.168.1.7:8123"


class MainServers(OneServer):
    def __init__(self) -> None:
        super().__init__(MAIN)
        self.notices: list[tuple[str, MoveNotice]] = []
        self.goes = asyncio.Event()

    @property
    def url_now(self) -> str:
        return MAIN

    def moved(self, url: str, notice: MoveNotice) -> None:
        self.notices.append((url, notice))

    async def better(self, url: str) -> None:
        await self.goes.wait()


class NearServers(OneServer):
    def __init__(self) -> None:
        super().__init__(NEAR)
        self.closed = 0
        self.is_possible = True
        self.ends = asyncio.Event()

    async def address(self) -> str:
        if not self.is_possible:
            raise Unreachable("this computer is in no local network")
        return await super().address()

    async def better(self, url: str) -> None:
        await self.ends.wait()

    async def close(self) -> None:
        self.closed += 1


class World:
    def __init__(self) -> None:
        self.main, self.near = MainServers(), NearServers()
        self.main_answers = False
        self.servers = SpareServers(self.main, self.near, is_there=self._is_there)

    async def _is_there(self, url: str) -> bool:
        assert url == MAIN
        return self.main_answers

    async def fail(self) -> str:
        """The next address, which cannot be reached."""
        url = await self.servers.address()
        self.servers.failed(url)
        return url

    async def enter(self) -> str:
        """The next address, which lets us in."""
        url = await self.servers.address()
        self.servers.joined(url)
        return url


def in_world(test: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        await test(World())

    run_virtual(run())


def test_who_has_not_been_in_yet_looks_near_after_one_failure():
    async def test(world: World) -> None:
        assert [await world.fail() for _ in range(4)] == [MAIN, NEAR, MAIN, NEAR]

    in_world(test)


def test_a_server_that_restarts_is_waited_for():
    async def test(world: World) -> None:
        assert await world.enter() == MAIN
        world.servers.failed(MAIN)  # it broke off
        for _ in range(5):
            await asyncio.sleep(AWAY_S / 6)
            assert await world.fail() == MAIN
        await asyncio.sleep(AWAY_S / 3)
        assert await world.fail() == MAIN
        assert await world.enter() == NEAR
        assert world.servers.is_near_only

    in_world(test)


def test_a_server_that_came_back_in_time_is_waited_for_anew_the_next_time():
    async def test(world: World) -> None:
        await world.enter()
        world.servers.failed(MAIN)
        await asyncio.sleep(AWAY_S * 0.9)
        assert await world.enter() == MAIN
        await asyncio.sleep(AWAY_S)
        world.servers.failed(MAIN)
        assert await world.fail() == MAIN
        assert await world.enter() == MAIN
        assert not world.servers.is_near_only

    in_world(test)


def test_where_nothing_can_stand_in_the_server_has_its_turn_again():
    async def test(world: World) -> None:
        world.near.is_possible = False
        await world.fail()
        with pytest.raises(Unreachable):
            await world.servers.address()
        assert await world.fail() == MAIN

    in_world(test)


def test_it_goes_back_when_the_server_answers_and_ends_what_ran_here():
    async def test(world: World) -> None:
        await world.fail()
        assert await world.enter() == NEAR
        leaving = asyncio.ensure_future(world.servers.better(NEAR))
        await asyncio.sleep(LOOK_BACK_S * 5.5)
        assert not leaving.done()
        world.main_answers = True
        await asyncio.sleep(LOOK_BACK_S)
        assert leaving.done()
        assert await world.enter() == MAIN
        staying = asyncio.ensure_future(world.servers.better(MAIN))
        await asyncio.sleep(1)
        assert world.near.closed == 1
        world.main.goes.set()
        await staying

    in_world(test)


@pytest.mark.parametrize("why", ["the near server ends for another", "the group moves"])
def test_it_leaves_the_near_server_also_when(why):
    async def test(world: World) -> None:
        await world.fail()
        await world.enter()
        (world.main.goes if "moves" in why else world.near.ends).set()
        async with asyncio.timeout(1):
            await world.servers.better(NEAR)

    in_world(test)


def test_the_near_server_knows_only_who_is_near_and_its_news_counts_as_the_servers():
    async def test(world: World) -> None:
        await world.fail()
        await world.enter()
        assert not world.servers.knows_all(NEAR)
        assert world.servers.knows_all(MAIN)
        notice = MoveNotice(1, 7, "https://new.example", bytes(64))
        world.servers.moved(NEAR, notice)
        assert world.main.notices == [(MAIN, notice)]

    in_world(test)
