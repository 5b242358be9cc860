"""Moving a group: who may, who is believed, and what becomes of those who are told lies."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datachannel import rendezvous as module
from datachannel.credentials import Credentials
from datachannel.joining import OneServer
from datachannel.moving import move_is_right, sign_move
from datachannel.rendezvous import Rendezvous, join_once
from peer.finding.moving import move_group
from peer.finding.servers import KnownServers, Place
from peer.service import Problem
from signaling.messages import VERSION, Challenge, Failed, Joined, Move, Moved, MoveNotice
from tests.support.lying_server import Visit, lying_server
from tests.support.members import a_member, card_of, counted_bytes
from tests.support.raw_client import free_port, member, running_server

ANNA, BEN, CARLA = a_member("anna"), a_member("ben"), a_member("carla")
MILLER = a_member("dora", group="the millers")
GUESSER = a_member("eve", password="wrong")
NEW = "https://new.example"
NOW = 1_800_000_000.0
random_bytes = counted_bytes("moves")


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "RETRY_S_MIN", 0.01)
    monkeypatch.setattr(module, "RETRY_S_MAX", 0.05)


class Mover:
    """A real client with its servers, as an agent has them."""

    def __init__(self, credentials: Credentials, place: Place) -> None:
        self.credentials, self.kept = credentials, [place]
        self.servers = KnownServers(place, save=self.save, lan=OneServer("http://nowhere"))
        self.card = card_of(credentials)
        self.rendezvous = Rendezvous(
            servers=self.servers,
            credentials=credentials,
            card=self.card,
            create=True,
            random_bytes=random_bytes,
            jitter=random.Random(1),
        )
        self.changed = asyncio.Event()
        self.rendezvous.on_change = self.changed.set

    async def save(self, place: Place) -> None:
        self.kept.append(place)

    async def move(self, url: str, *, alone: bool = False) -> None:
        await move_group(
            url,
            alone=alone,
            rendezvous=self.rendezvous,
            servers=self.servers,
            credentials=self.credentials,
            card=self.card,
            now=NOW,
            random_bytes=random_bytes,
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():  # what is kept changes without a word
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await self.changed.wait()
                self.changed.clear()

    async def sees(self, *others: Credentials) -> None:
        """Wait until exactly these are online."""
        ids = {one.member_id for one in others}
        await self.until(
            lambda: (
                {m for m, friend in self.rendezvous.members().items() if friend.online} == ids
                and self.rendezvous.connected
            )
        )


@asynccontextmanager
async def at_work(*movers: Mover) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one.rendezvous.run()) for one in movers]
    try:
        yield
        assert not any(task.done() for task in tasks), "somebody was told to stop"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


# --- the notice -----------------------------------------------------------------------------


def test_a_notice_is_the_one_of_these_bytes():
    """Kept by servers for years: its signature must stay the same."""
    notice = sign_move(ANNA, NEW, moves=0, now=NOW)
    assert (notice.version, notice.number, notice.url) == (1, 1_800_000_000, NEW)
    assert notice.signature.hex() == (
        "bddd58915735225f6628f02bbafd627d830d105f830adb16a58a7e4ad6484974"
        "fe4efeb1d317ecb07678b2b3b625639d2675345f2aba9c711e43074ab690750a"
    )
    assert move_is_right(BEN, notice)


def test_the_number_is_higher_than_all_that_were_seen():
    assert sign_move(ANNA, NEW, moves=5, now=NOW).number == 1_800_000_000
    assert sign_move(ANNA, NEW, moves=1_900_000_000, now=NOW).number == 1_900_000_001
    assert sign_move(ANNA, NEW, moves=0, now=-5.0).number == 1


@pytest.mark.parametrize("stranger", [MILLER, GUESSER])
def test_another_group_or_another_password_signs_no_move(stranger: Credentials):
    assert not move_is_right(ANNA, sign_move(stranger, NEW, moves=0, now=NOW))


@given(
    st.sampled_from(["version", "number", "url", "signature"]),
    st.integers(2, 2**31),
    st.text(max_size=30),
    st.binary(min_size=64, max_size=64),
)
def test_no_field_of_a_notice_can_be_altered(field: str, number: int, text: str, signature: bytes):
    notice = sign_move(ANNA, NEW, moves=0, now=NOW)
    value = {"version": number, "number": number, "url": text, "signature": signature}[field]
    assert not move_is_right(ANNA, msgspec.structs.replace(notice, **{field: value}))


# --- an honest move -------------------------------------------------------------------------


async def test_members_follow_without_doing_anything_and_who_was_away_follows_later(
    tmp_path: Path,
):
    async with running_server(tmp_path / "a") as old, running_server(tmp_path / "b") as new:
        anna, ben, carla = (Mover(one, Place(old)) for one in (ANNA, BEN, CARLA))
        async with at_work(carla):
            await carla.sees()
        async with at_work(anna, ben):
            await anna.sees(BEN)
            await anna.move(new)
            await anna.sees(BEN)
            await ben.sees(ANNA)
            for one in (anna, ben):
                assert one.servers.place.url == one.kept[-1].url == new
                await one.until(lambda one=one: one.kept[-1].previous == "")
            async with at_work(carla):
                await carla.sees(ANNA, BEN)
                assert carla.kept[-1].url == new


async def test_a_move_is_remembered_by_a_server_that_was_restarted(tmp_path: Path):
    port = free_port()
    async with running_server(tmp_path / "b") as new:
        anna = Mover(ANNA, Place(f"http://127.0.0.1:{port}"))
        async with running_server(tmp_path / "a", port=port), at_work(anna):
            await anna.sees()
            await anna.move(new)
        async with running_server(tmp_path / "a", port=port) as old:
            outcome = await join_once(old, BEN, card_of(BEN), False, random_bytes=random_bytes)
            assert outcome.moved is not None
            assert outcome.moved.url == new


async def test_nobody_is_moved_to_a_server_that_is_not_there(tmp_path: Path):
    async with running_server(tmp_path) as old:
        anna = Mover(ANNA, Place(old))
        async with at_work(anna):
            await anna.sees()
            with pytest.raises(Problem, match="cannot be reached"):
                await anna.move(f"http://127.0.0.1:{free_port()}")
            async with member(old, BEN) as ben:
                await anna.sees(BEN)
                del ben
            assert anna.servers.place == Place(old)


async def test_a_server_by_another_name_is_no_harm_to_who_moves_there(tmp_path: Path):
    async with running_server(tmp_path) as old:
        anna = Mover(ANNA, Place(old))
        async with at_work(anna):
            await anna.sees()
            await anna.move(old.replace("127.0.0.1", "localhost"))
            await anna.until(lambda: "localhost" in anna.kept[-1].url)
            await anna.sees()
            await anna.until(lambda: not anna.servers.place.previous)
            with pytest.raises(Problem, match="already"):
                await anna.move(anna.servers.place.url)


async def test_of_two_moves_the_later_counts_for_everybody(tmp_path: Path):
    async with (
        running_server(tmp_path / "a") as old,
        running_server(tmp_path / "b") as one,
        running_server(tmp_path / "c") as two,
    ):
        anna, ben = Mover(ANNA, Place(old)), Mover(BEN, Place(old))
        async with at_work(anna):
            await anna.sees()
            await anna.move(one)
            await anna.until(lambda: anna.kept[-1] == Place(one, "", int(NOW)))
            await anna.move(two)
        async with at_work(ben):  # the old server knows of the first move only
            await ben.until(lambda: ben.kept[-1].url == two)
            assert ben.servers.place.moves == NOW + 1


async def test_when_the_old_server_is_gone_for_good_each_member_goes_alone(tmp_path: Path):
    async with running_server(tmp_path) as new:
        anna = Mover(ANNA, Place(f"http://127.0.0.1:{free_port()}"))
        async with at_work(anna):
            await anna.move(new, alone=True)
            await anna.sees()
            assert anna.kept[-1] == Place(new)


# --- lies -----------------------------------------------------------------------------------

FORGED = sign_move(MILLER, NEW, moves=0, now=NOW + 9)
REPLAYED = sign_move(BEN, "http://127.0.0.1:9", moves=0, now=5.0)


@pytest.mark.parametrize("notice", [FORGED, REPLAYED], ids=["forged", "replayed"])
@pytest.mark.parametrize("when", ["at joining", "later"])
async def test_a_server_cannot_send_members_away(notice: MoveNotice, when: str):
    visits = 0

    async def lie(visit: Visit) -> None:
        nonlocal visits
        visits += 1
        await visit.say(Challenge(VERSION, "any name", bytes(32)))
        await visit.hear()
        await visit.say(Joined((), (), False, moved=notice if when == "at joining" else None))
        if when == "later":
            await visit.say(Moved(notice))
        await visit.say(Joined((), (), False))  # out of turn: it reconnects, having read all

    async with lying_server(lie) as url:
        anna = Mover(ANNA, Place(url, "", 7))
        async with at_work(anna):
            await anna.until(lambda: visits >= 3)
            assert anna.servers.place == Place(url, "", 7)
            assert anna.kept == [Place(url, "", 7)]


async def test_a_move_to_a_dead_server_splits_nobody_off(tmp_path: Path):
    """A member with a grudge, or a server that died: the way back is kept."""
    dead = f"http://127.0.0.1:{free_port()}"
    async with running_server(tmp_path) as old:
        anna = Mover(ANNA, Place(old))
        async with at_work(anna):
            await anna.sees()
            async with member(old, BEN) as ben:
                await ben.say(Move(sign_move(BEN, dead, moves=0, now=NOW)))
                await anna.until(lambda: anna.servers.place.url == dead)
                await anna.sees(BEN)
                assert anna.servers.place == Place(dead, old, int(NOW))


async def test_a_new_server_with_another_group_of_that_name_is_no_dead_end(tmp_path: Path):
    async with running_server(tmp_path / "a") as old, running_server(tmp_path / "b") as new:
        await join_once(new, GUESSER, card_of(GUESSER), True, random_bytes=random_bytes)
        anna = Mover(ANNA, Place(old))
        async with at_work(anna), member(old, BEN, create=True) as ben:
            await anna.sees(BEN)
            with pytest.raises(Problem, match="does not take the group"):
                await anna.move(new)
            await ben.say(Move(sign_move(BEN, new, moves=0, now=NOW)))
            await anna.until(lambda: anna.servers.place.url == new)
            await anna.sees(BEN)


async def test_a_server_refuses_a_move_that_the_group_has_not_signed(tmp_path: Path):
    async with running_server(tmp_path) as old, member(old, BEN, create=True) as ben:
        await ben.say(Move(FORGED))
        answer = await ben.hear()
        assert isinstance(answer, Failed)
        assert answer.code == "bad_signature"
