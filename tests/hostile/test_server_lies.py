"""A dishonest server: what it can do is keep quiet, and nothing that it says is believed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from datachannel import rendezvous as module
from datachannel import server_socket
from datachannel.credentials import seal_card
from datachannel.joining import OneServer, signed_join
from datachannel.relays import usable_ice_servers
from datachannel.rendezvous import JoinRefused, Rendezvous, Unreachable, join_once
from datachannel.roster import Roster
from signaling.messages import (
    CARD_BYTES_MAX,
    MEMBERS_MAX,
    SERVER_MESSAGE_BYTES_MAX,
    VERSION,
    Absent,
    Arrived,
    Challenge,
    Departed,
    Failed,
    IceServer,
    Joined,
    MemberId,
    Presence,
    Removed,
    Signal,
    encode,
)
from tests.support.lying_server import Frame, Visit, lying_server, running_app
from tests.support.members import a_member, card_of, counted_bytes

ANNA, BEN, CARLA = a_member("anna"), a_member("ben"), a_member("carla")
EVE = a_member("eve", password="guessed")
random_bytes = counted_bytes("server lies")


def sealed(member=BEN, name="ben") -> bytes:
    return seal_card(member, card_of(member, name), random_bytes(24))


BENS = sealed()


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "RETRY_S_MIN", 0.01)
    monkeypatch.setattr(module, "RETRY_S_MAX", 0.02)
    monkeypatch.setattr(module, "REFUSED_S_MIN", 0.01)
    monkeypatch.setattr(server_socket, "CLOSE_TIMEOUT_S", 0.2)


def a_rendezvous(url: str) -> Rendezvous:
    return Rendezvous(
        servers=OneServer(url),
        credentials=ANNA,
        card=card_of(ANNA, "anna"),
        create=False,
        random_bytes=random_bytes,
        jitter=random.Random(1),
    )


@asynccontextmanager
async def running(rendezvous: Rendezvous) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(rendezvous.run())
    try:
        yield task
        assert not task.done(), "a server ended the rendezvous"
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(condition: Callable[[], bool], rendezvous: Rendezvous) -> None:
    changed = asyncio.Event()
    rendezvous.on_change = changed.set
    async with asyncio.timeout(5):
        while not condition():
            await changed.wait()
            changed.clear()


LIES: dict[str, Presence] = {
    "an invented member": Presence(bytes(32), b"a card out of thin air", True),
    "a card without a seal": Presence(CARLA.member_id, b"", True),
    "another member's card": Presence(CARLA.member_id, BENS, True),
    "a card of another group": Presence(
        CARLA.member_id, sealed(a_member("carla", group="others")), True
    ),
    "a card sealed with another password": Presence(EVE.member_id, sealed(EVE), True),
    "a card with a flipped bit": Presence(BEN.member_id, BENS[:-1] + bytes([BENS[-1] ^ 1]), True),
    "a card that is cut": Presence(BEN.member_id, BENS[:-1], True),
    "the longest card": Presence(BEN.member_id, b"x" * CARD_BYTES_MAX, True),
    "oneself": Presence(ANNA.member_id, sealed(ANNA), True),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
async def test_members_who_do_not_prove_themselves_are_not_there(lie: Presence):
    async def behave(visit: Visit) -> None:
        await visit.let_in(lie)
        await visit.say(Arrived(lie.member, lie.card), Departed(lie.member), Removed(lie.member))
        await visit.say(Arrived(lie.member, lie.card), Arrived(BEN.member_id, sealed()))
        await visit.stay()

    async with lying_server(behave) as url:
        rendezvous = a_rendezvous(url)
        async with running(rendezvous):
            await until(lambda: bool(rendezvous.members()), rendezvous)
            assert set(rendezvous.members()) == {BEN.member_id}
            assert rendezvous.members()[BEN.member_id].card == card_of(BEN, "ben")


async def test_signals_of_strangers_are_not_heard():
    async def behave(visit: Visit) -> None:
        await visit.let_in(Presence(BEN.member_id, BENS, True))
        await visit.say(Signal(CARLA.member_id, b"no"), Signal(ANNA.member_id, b"no"))
        await visit.say(Signal(BEN.member_id, b"yes"))
        await visit.stay()

    heard: asyncio.Queue[tuple[MemberId, bytes]] = asyncio.Queue()
    async with lying_server(behave) as url:
        rendezvous = a_rendezvous(url)
        rendezvous.on_signal = lambda member, blob: heard.put_nowait((member, blob))
        async with running(rendezvous), asyncio.timeout(5):
            assert await heard.get() == (BEN.member_id, b"yes")


JUNK: dict[str, Frame] = {
    "nothing": b"",
    "no MessagePack": b"\xc1\xc1",
    "deep nesting": b"\x91" * 50_000,
    "a map of the wrong kind": encode(IceServer(("stun:x",))),  # type: ignore[arg-type]
    "text": "hello",
    "a client's message": encode(Signal(b"", b"")),
    "too many members": encode(
        Joined((Presence(bytes(32), b"", True),) * (MEMBERS_MAX + 1), (), False)
    ),
    "more than a message may have": bytes(SERVER_MESSAGE_BYTES_MAX + 1),
    "a second challenge": Challenge(VERSION, "x", bytes(32)),
    "a second welcome": Joined((), (), False),
    "a card that is too long": Arrived(bytes(32), bytes(CARD_BYTES_MAX + 1)),
}


IN_ORDER = {("a second challenge", "first"), ("a second welcome", "instead of a welcome")}


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        (name, moment)
        for name in JUNK
        for moment in ("first", "instead of a welcome", "later")
        if (name, moment) not in IN_ORDER
    ],
)
async def test_junk_ends_the_connection_and_another_one_is_tried(name: str, moment: str):
    visits, junk = 0, JUNK[name]

    async def behave(visit: Visit) -> None:
        nonlocal visits
        visits += 1
        if visits < 3 and moment == "first":
            await visit.say(junk)
        elif visits < 3 and moment == "instead of a welcome":
            await visit.say(Challenge(VERSION, "x", bytes(32)))
            await visit.hear()
            await visit.say(junk)
        elif visits < 3:
            await visit.let_in()
            await visit.say(junk)
        else:
            await visit.let_in(Presence(BEN.member_id, BENS, True))
        await visit.stay()

    async with lying_server(behave) as url:
        rendezvous = a_rendezvous(url)
        async with running(rendezvous):
            await until(lambda: bool(rendezvous.members()), rendezvous)
    assert visits == 3


async def test_a_flood_ends_the_connection(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MESSAGES_BURST_MAX", 50)
    monkeypatch.setattr(module, "MESSAGES_PER_S_MAX", 1)
    visits = 0

    async def behave(visit: Visit) -> None:
        nonlocal visits
        visits += 1
        await visit.let_in(*([Presence(BEN.member_id, BENS, True)] if visits > 1 else []))
        if visits == 1:
            await visit.say(*[Absent(bytes(32))] * 100)
        await visit.stay()

    async with lying_server(behave) as url:
        rendezvous = a_rendezvous(url)
        async with running(rendezvous):
            await until(lambda: bool(rendezvous.members()), rendezvous)
    assert visits == 2


async def test_the_servers_words_never_reach_a_person():
    async def behave(visit: Visit) -> None:
        await visit.say(Failed("\x1b[2Jcode", "\x1b]0;click here\x07 and pay"))
        await visit.stay()

    async with lying_server(behave) as url:
        with pytest.raises(JoinRefused) as refused:
            await join_once(url, ANNA, card_of(ANNA), False)
    assert refused.value.code == "internal"
    assert refused.value.text.isprintable()
    assert "pay" not in refused.value.text


async def test_the_signatures_are_for_the_server_that_was_called():
    joins = []

    async def behave(visit: Visit) -> None:
        await visit.say(Challenge(VERSION, "another.example", bytes(32)))
        joins.append(await visit.hear())
        await visit.say(Joined((), (), True))

    async with lying_server(behave) as url:
        await join_once(url, ANNA, card_of(ANNA), False)
    name = url.removeprefix("http://")
    challenge = Challenge(VERSION, "another.example", bytes(32))
    assert joins == [signed_join(ANNA, joins[0].card, name, challenge, False)]


async def test_a_server_does_not_send_us_elsewhere():
    visited = []

    async def elsewhere(_: web.Request) -> web.Response:
        visited.append("elsewhere")
        return web.Response()

    async def redirect(_: web.Request) -> web.Response:
        raise web.HTTPFound("/elsewhere")

    app = web.Application()
    app.router.add_get("/v1/ws", redirect)
    app.router.add_get("/elsewhere", elsewhere)
    async with running_app(app) as url:
        with pytest.raises(Unreachable):
            await join_once(url, ANNA, card_of(ANNA), False)
    assert visited == []


@pytest.mark.parametrize("silent", ["before the challenge", "after the join"])
async def test_a_server_that_keeps_quiet_is_given_up(silent: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server_socket, "JOIN_TIMEOUT_S", 0.05)

    async def behave(visit: Visit) -> None:
        if silent == "after the join":
            await visit.say(Challenge(VERSION, "x", bytes(32)))
        await visit.stay()

    async with lying_server(behave) as url:
        with pytest.raises(Unreachable):
            await join_once(url, ANNA, card_of(ANNA), False)


async def test_what_is_no_server_of_ours_is_said_to_be_none():
    async with running_app(web.Application()) as url:
        with pytest.raises(Unreachable, match="no signaling server"):
            await join_once(url, ANNA, card_of(ANNA), False)


async def test_a_fault_of_the_listener_does_not_end_the_listening():
    async def behave(visit: Visit) -> None:
        await visit.let_in(Presence(BEN.member_id, BENS, True))
        await visit.say(Signal(BEN.member_id, b"1"), Signal(BEN.member_id, b"2"))
        await visit.stay()

    heard: asyncio.Queue[bytes] = asyncio.Queue()

    def listen(_: MemberId, blob: bytes) -> None:
        heard.put_nowait(blob)
        raise RuntimeError("a fault")

    async with lying_server(behave) as url:
        rendezvous = a_rendezvous(url)
        rendezvous.on_signal = listen
        async with running(rendezvous), asyncio.timeout(5):
            assert [await heard.get(), await heard.get()] == [b"1", b"2"]


members = st.sampled_from([ANNA.member_id, BEN.member_id, CARLA.member_id, bytes(32)])
cards = st.one_of(st.just(BENS), st.just(sealed(CARLA, "carla")), st.binary(max_size=200))
changes = st.one_of(
    st.builds(Arrived, members, cards),
    st.builds(Departed, members),
    st.builds(Absent, members),
    st.builds(Removed, members),
    st.builds(
        Joined,
        st.lists(st.builds(Presence, members, cards, st.booleans()), max_size=5).map(tuple),
        st.just(()),
        st.booleans(),
    ),
)


@given(st.lists(changes, max_size=30))
def test_whatever_is_said_the_roster_holds_only_proven_friends(said: list[object]):
    roster = Roster(ANNA)
    for message in said:
        if isinstance(message, Joined):
            roster.welcome(message)
        else:
            roster.take(message)  # type: ignore[arg-type]
        proven = {BEN.member_id: "ben", CARLA.member_id: "carla"}
        for member, friend in roster.friends.items():
            assert friend.member == member == friend.card.member_id
            assert friend.card.name == proven[member]


def test_a_roster_is_never_longer_than_a_group(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("datachannel.roster.MEMBERS_MAX", 3)
    roster = Roster(ANNA)
    many = [a_member(f"member {number}") for number in range(5)]
    for one in many:
        roster.take(Arrived(one.member_id, sealed(one)))
    assert set(roster.friends) == {one.member_id for one in many[:3]}
    roster.take(Removed(many[0].member_id))
    roster.take(Arrived(many[4].member_id, sealed(many[4])))
    assert many[4].member_id in roster.friends


@pytest.mark.parametrize(
    "url", ["", "http://169.254.169.254/", "stun:", "stun:a b", "turn:x?transport=x", "stun:\n"]
)
def test_ice_servers_that_make_no_sense_are_left_out(url: str):
    good = IceServer(("stun:stun.example:3478", "turns:[2001:db8::1]:443?transport=tcp"))
    assert usable_ice_servers((IceServer((url,)), IceServer(()), good)) == (good,)
