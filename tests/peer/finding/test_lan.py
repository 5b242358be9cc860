"""The local network: all members come to one server, whoever begins, comes and goes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datachannel.joining import Unreachable
from peer.finding import lan_servers
from peer.finding.lan import SERVERS_MAX, LanServer, before, in_order, lan_url
from peer.finding.lan_servers import CannotHost, LanServers

some_servers = st.lists(
    st.builds(LanServer, st.text("abc", max_size=3), st.just("http://x"), st.booleans()),
    max_size=20,
    unique_by=lambda one: (one.standing, one.name),
)


@given(some_servers, st.randoms())
def test_everybody_puts_servers_in_the_same_order(servers: list[LanServer], chance: random.Random):
    shuffled = list(servers)
    chance.shuffle(shuffled)
    assert in_order(shuffled) == in_order(servers)
    assert len(in_order(servers)) <= SERVERS_MAX
    assert [one.standing for one in in_order(servers)] == sorted(
        (one.standing for one in in_order(servers)), reverse=True
    )


@given(some_servers)
def test_of_all_servers_exactly_one_stays(servers: list[LanServer]):
    staying = [one for one in servers if not before(one, servers)]
    assert len(staying) == bool(servers)


@pytest.mark.parametrize(
    ("address", "port", "url"),
    [
        ("192.168.1.7", 8000, "http://192.168.1.7:8000"),
        ("10.0.0.1", 1, "http://10.0.0.1:1"),
        ("169.254.3.4", 80, "http://169.254.3.4:80"),
        ("127.0.0.1", 8000, None),
        ("8.8.8.8", 8000, None),
        ("0.0.0.0", 8000, None),
        ("224.0.0.251", 5353, None),
        ("255.255.255.255", 8000, None),
        ("192.168.1.7", 0, None),
        ("192.168.1.7", 65_536, None),
        ("fe80::1", 8000, None),
        ("router.local", 8000, None),
        ("192.168.1.7@evil.example", 80, None),
    ],
)
def test_an_announcement_leads_nowhere_but_into_the_local_network(
    address: str, port: int, url: str | None
):
    assert lan_url(address, port) == url


# --- members in one network that is made of memory ------------------------------------------


class Wire:
    """A local network: what is announced, and which of it answers."""

    def __init__(self) -> None:
        self.announced: list[LanServer] = []
        self.dead: set[str] = set()
        self.listeners: list[Ear] = []
        self.address: str | None = "192.168.1.7"
        self.may_host = True

    def tell(self) -> None:
        for ear in self.listeners:
            ear.changed.set()

    async def is_there(self, url: str) -> bool:
        await asyncio.sleep(0)
        return url not in self.dead and any(one.url == url for one in self.announced)


class Ear:
    """One member's view of the wire."""

    def __init__(self, wire: Wire) -> None:
        self._wire, self.address = wire, wire.address or ""
        self.changed = asyncio.Event()

    def servers(self) -> list[LanServer]:
        return in_order(self._wire.announced)

    async def look(self, timeout_s: float) -> list[LanServer]:
        await asyncio.sleep(0)
        return self.servers()


def a_member(wire: Wire, name: str) -> LanServers:
    @asynccontextmanager
    async def listening(_: str) -> AsyncIterator[Ear]:
        ear = Ear(wire)
        wire.listeners.append(ear)
        yield ear
        wire.listeners.remove(ear)

    @asynccontextmanager
    async def hosting(_: object) -> AsyncIterator[LanServer]:
        if not wire.may_host:
            raise CannotHost("no server can be run here")
        server = LanServer(name, f"http://{name}", standing=False)
        wire.announced.append(server)
        wire.tell()
        yield server
        wire.announced.remove(server)
        wire.tell()

    return LanServers(
        own_address=lambda: wire.address,
        open_network=listening,
        host=hosting,
        is_there=wire.is_there,
        jitter=random.Random(name),
    )


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    monkeypatch.setattr(lan_servers, "PATIENCE_S", 0.0)
    monkeypatch.setattr(lan_servers, "CHECK_S", 0.01)
    return Wire()


@asynccontextmanager
async def members(wire: Wire, *names: str) -> AsyncIterator[list[LanServers]]:
    async with AsyncExitStack() as stack, asyncio.timeout(10):
        made = [a_member(wire, name) for name in names]
        for one in made:
            stack.push_async_callback(one.close)
        yield made


async def test_the_first_runs_a_server_and_the_others_come_to_it(wire: Wire):
    async with members(wire, "b", "a", "c") as (first, second, third):
        assert await first.address() == "http://b"
        assert await second.address() == await third.address() == "http://b"
        assert await first.address() == "http://b"
    assert not wire.announced


async def test_of_two_that_began_at_once_one_stops_and_comes_to_the_other(wire: Wire):
    async with members(wire, "a", "b") as (a, b):
        await a.address()
        mine, wire.announced = wire.announced, []  # their first packets have crossed
        await b.address()
        wire.announced = mine + wire.announced
        wire.tell()
        staying = asyncio.create_task(a.better("http://a"))
        await b.better("http://b")
        assert await b.address() == await a.address() == "http://a"
        assert not staying.done()
        staying.cancel()


async def test_a_server_that_is_run_on_purpose_comes_first(wire: Wire):
    async with members(wire, "a") as (a,):
        await a.address()
        wire.announced.append(LanServer("z", "http://nas", standing=True))
        wire.tell()
        await a.better("http://a")
        assert await a.address() == "http://nas"


async def test_an_announcement_alone_ends_no_server(wire: Wire):
    async with members(wire, "b") as (b,):
        await b.address()
        wire.announced.append(LanServer("a", "http://liar", standing=True))
        wire.dead.add("http://liar")
        wire.tell()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await b.better("http://b")
        assert await b.address() == "http://b"


async def test_when_the_host_goes_another_takes_its_place(wire: Wire):
    async with members(wire, "a", "b") as (a, b):
        await a.address()
        assert await b.address() == "http://a"
        await a.close()
        b.failed("http://a")
        assert await b.address() == "http://b"


async def test_a_server_that_lets_nobody_in_is_passed_over_for_a_while(wire: Wire):
    async with members(wire, "b") as (b,):
        wire.announced.append(LanServer("a", "http://rude", standing=True))
        assert await b.address() == "http://rude"
        assert b.failed("http://rude")
        assert await b.address() == "http://b"


async def test_a_server_that_breaks_off_is_tried_once_more(wire: Wire):
    async with members(wire, "b") as (b,):
        wire.announced.append(LanServer("a", "http://shaky", standing=True))
        b.joined(await b.address())
        b.failed("http://shaky")
        assert await b.address() == "http://shaky"
        b.failed("http://shaky")
        assert await b.address() == "http://b"


async def test_an_own_server_that_died_is_run_anew(wire: Wire):
    async with members(wire, "a") as (a,):
        await a.address()
        (before_,) = wire.announced
        wire.dead.add("http://a")
        assert await a.address() == "http://a"
        (after,) = wire.announced
        assert after is not before_


async def test_another_network_is_another_beginning(wire: Wire):
    async with members(wire, "a") as (a,):
        await a.address()
        wire.address = "192.168.2.9"
        await a.better("http://a")
        assert await a.address() == "http://a"
        assert len(wire.listeners) == len(wire.announced) == 1


async def test_without_a_network_it_says_so_and_tries_again(wire: Wire):
    async with members(wire, "a") as (a,):
        wire.address = None
        with pytest.raises(Unreachable, match="in no local network"):
            await a.address()
        wire.address, wire.may_host = "192.168.1.7", False
        with pytest.raises(Unreachable, match="no server can be run"):
            await a.address()
        wire.may_host = True
        assert await a.address() == "http://a"
