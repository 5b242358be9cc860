"""A group with a known address: staying, moving, going back, asking its domain again."""

from __future__ import annotations

import asyncio

import pytest

from datachannel.joining import OneServer, Unreachable
from peer.finding import servers as module
from peer.finding.order import LAN, NotFound
from peer.finding.servers import ASK_AFTER_FAILURES, KnownServers, Place
from signaling.messages import MoveNotice

ON_LAN = "http://192.168.1.7:8123"
OLD, NEW, NEWER = "https://old.example", "https://new.example", "https://newer.example"


class Kept:
    """Where a place is kept, and how often it was written."""

    def __init__(self, place: Place) -> None:
        self.places = [place]

    async def save(self, place: Place) -> None:
        self.places.append(place)


class Lan(OneServer):
    """A local network with one server."""

    def __init__(self) -> None:
        super().__init__(ON_LAN)
        self.changes = asyncio.Event()

    def failed(self, url: str) -> bool:
        return True

    async def better(self, url: str) -> None:
        await self.changes.wait()


def some_servers(place: Place, kept: Kept | None = None, ask=None, lan=None) -> KnownServers:
    return KnownServers(place, save=(kept or Kept(place)).save, lan=lan or Lan(), ask=ask)


def move(to: str, number: int) -> MoveNotice:
    """As a Rendezvous hands it on: its signature was right."""
    return MoveNotice(1, number, to, bytes(64))


async def addresses(servers: KnownServers, count: int) -> list[str]:
    """The next ones, when none of them can be reached."""
    found = []
    for _ in range(count):
        found.append(await servers.address())
        servers.failed(found[-1])
    return found


async def test_one_address_is_tried_for_ever():
    servers = some_servers(Place(OLD))
    assert await addresses(servers, 5) == [OLD] * 5
    assert not servers.failed(OLD)


async def test_a_move_is_kept_before_the_new_server_is_called():
    kept = Kept(Place(OLD))
    servers = some_servers(Place(OLD), kept)
    servers.joined(OLD)
    servers.moved(OLD, move(NEW, 7))
    assert await servers.address() == NEW
    assert kept.places[-1] == Place(NEW, OLD, 7)


async def test_the_way_back_is_there_until_the_new_server_has_let_us_in():
    kept = Kept(Place(OLD))
    servers = some_servers(Place(OLD), kept)
    servers.moved(OLD, move(NEW, 7))
    assert await addresses(servers, 4) == [NEW, OLD, NEW, OLD]
    assert servers.failed(NEW)
    servers.joined(NEW)
    assert await addresses(servers, 3) == [NEW] * 3
    assert kept.places[-1] == Place(NEW, "", 7)
    assert not servers.failed(NEW)


async def test_after_a_restart_both_addresses_are_still_known():
    assert await addresses(some_servers(Place(NEW, OLD, 7)), 3) == [NEW, OLD, NEW]


@pytest.mark.parametrize("number", [0, 6, 7])
async def test_old_news_moves_nobody(number: int):
    servers = some_servers(Place(NEW, "", 7))
    servers.moved(NEW, move(OLD, number))
    assert servers.place == Place(NEW, "", 7)


async def test_later_news_moves_on_and_the_way_back_is_where_it_was_heard():
    servers = some_servers(Place(NEW, OLD, 7))
    servers.moved(OLD, move(NEWER, 8))
    assert servers.place == Place(NEWER, OLD, 8)


async def test_news_of_the_server_at_which_we_are_leaves_no_way_back():
    servers = some_servers(Place(OLD))
    servers.moved(OLD, move(OLD, 9))
    assert servers.place == Place(OLD, "", 9)


async def test_a_move_ends_the_stay_and_nothing_else_does():
    servers = some_servers(Place(OLD))
    servers.joined(await servers.address())
    staying = asyncio.create_task(servers.better(OLD))
    await asyncio.sleep(0)
    assert not staying.done()
    servers.moved(OLD, move(NEW, 1))
    async with asyncio.timeout(5):
        await staying


async def test_who_had_to_go_back_tries_the_new_server_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "TRY_NEW_EVERY_S", 0.01)
    servers = some_servers(Place(NEW, OLD, 1))
    servers.failed(await servers.address())
    assert await servers.address() == OLD
    servers.joined(OLD)
    async with asyncio.timeout(5):
        await servers.better(OLD)
    assert await servers.address() == NEW


async def test_a_domain_is_asked_again_when_its_server_is_away_and_not_all_the_time():
    asked = 0

    async def ask() -> str:
        nonlocal asked
        asked += 1
        return NEW

    kept = Kept(Place(OLD))
    servers = some_servers(Place(OLD), kept, ask)
    tried = await addresses(servers, ASK_AFTER_FAILURES + 6)
    assert tried[:ASK_AFTER_FAILURES] == [OLD] * ASK_AFTER_FAILURES
    assert set(tried[ASK_AFTER_FAILURES:]) == {OLD, NEW}
    assert asked == 1
    servers.joined(NEW)
    assert await servers.address() == NEW
    assert kept.places[-1] == Place(NEW)


async def test_a_domain_that_does_not_answer_changes_nothing():
    async def ask() -> str:
        raise NotFound("example.org does not answer.")

    assert set(await addresses(some_servers(Place(OLD), ask=ask), 9)) == {OLD}


# --- with the local network -----------------------------------------------------------------


async def test_on_the_local_network_the_server_is_whatever_is_there():
    kept = Kept(Place(LAN))
    servers = some_servers(Place(LAN), kept)
    assert await servers.address() == ON_LAN
    servers.joined(ON_LAN)
    assert servers.failed(ON_LAN)
    assert await servers.address() == ON_LAN
    assert servers.place == Place(LAN)
    assert kept.places == [Place(LAN)]


async def test_when_the_local_network_has_a_better_server_the_stay_ends():
    lan = Lan()
    servers = some_servers(Place(LAN), lan=lan)
    servers.joined(await servers.address())
    staying = asyncio.create_task(servers.better(ON_LAN))
    await asyncio.sleep(0)
    lan.changes.set()
    async with asyncio.timeout(5):
        await staying


async def test_a_group_moves_from_the_local_network_to_a_server_and_back():
    kept = Kept(Place(LAN))
    servers = some_servers(Place(LAN), kept)
    servers.joined(await servers.address())
    servers.moved(ON_LAN, move(NEW, 1))
    assert await addresses(servers, 2) == [NEW, ON_LAN]
    assert kept.places[-1] == Place(NEW, LAN, 1)
    servers.joined(NEW)
    servers.moved(NEW, move(LAN, 2))
    assert await servers.address() == ON_LAN
    servers.joined(ON_LAN)
    assert servers.place == Place(LAN, "", 2)


async def test_without_a_local_network_the_way_back_is_tried_all_the_same():
    class NoLan(Lan):
        async def address(self) -> str:
            raise Unreachable("this computer is in no local network")

    servers = some_servers(Place(LAN, OLD, 1), lan=NoLan())
    with pytest.raises(Unreachable):
        await servers.address()
    assert await servers.address() == OLD


@pytest.mark.parametrize("to", ["", "new.example", "file:///etc/passwd", "https://", "Lan"])
async def test_a_move_to_what_is_no_server_is_not_followed(to: str):
    servers = some_servers(Place(OLD))
    servers.moved(OLD, move(to, 9))
    assert servers.place == Place(OLD)


async def test_who_is_told_by_its_owner_goes_at_once_and_follows_later_moves():
    kept = Kept(Place(OLD, "", 4))
    servers = some_servers(Place(OLD, "", 4), kept)
    await servers.go(NEW)
    assert kept.places[-1] == Place(NEW, "", 4)
    servers.moved(NEW, move(NEWER, 5))
    assert servers.place == Place(NEWER, NEW, 5)


async def test_a_full_disk_keeps_nobody_from_moving():
    async def save(_: Place) -> None:
        raise OSError("no space left")

    servers = KnownServers(Place(OLD), save=save, lan=Lan())
    servers.moved(OLD, move(NEW, 1))
    assert await servers.address() == NEW
