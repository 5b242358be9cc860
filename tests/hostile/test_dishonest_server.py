"""A dishonest server that passes things on, shows what is old, and does not let go."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from datachannel import rendezvous as module
from datachannel import server_socket
from datachannel.credentials import Credentials, MemberCard, seal_card
from datachannel.joining import OneServer
from datachannel.rendezvous import JoinOutcome, Rendezvous, Unreachable, join_once
from signaling.messages import (
    CARD_BYTES_MAX,
    VERSION,
    Absent,
    Arrived,
    Challenge,
    Failed,
    FromServer,
    Join,
    Joined,
    MemberId,
    Presence,
    encode,
)
from tests.support.lying_server import Visit, lying_server
from tests.support.members import a_member, card_of, counted_bytes
from tests.support.raw_client import raw_client, running_server

ANNA, BEN, CARLA = a_member("anna"), a_member("ben"), a_member("carla")
random_bytes = counted_bytes("dishonest server")


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


async def until(rendezvous: Rendezvous, condition: Callable[[], bool]) -> None:
    changed = asyncio.Event()
    rendezvous.on_change = changed.set
    async with asyncio.timeout(5):
        while not condition():
            await changed.wait()
            changed.clear()


async def ended(task: asyncio.Task[None]) -> None:
    """Cancel a run that nothing else has ended."""
    assert not task.done(), "the server ended the run"
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=5)
    assert done, "the server keeps the run from ending"
    assert task.cancelled()


def sealed(credentials: Credentials, name: str) -> bytes:
    return seal_card(credentials, card_of(credentials, name), random_bytes(24))


# --- a Join that a dishonest server was given ------------------------------------------------


@pytest.mark.parametrize("called_as", ["its own name", "the name that the member called"])
async def test_a_server_cannot_join_in_the_place_of_a_member_that_joins_it(
    tmp_path: Path, called_as: str
):
    async with running_server(tmp_path, names=("honest.example",)) as honest:
        async with raw_client(honest, {"Host": "honest.example"}) as founder:
            assert isinstance(await founder.join(BEN, create=True), Joined)
        verdicts: list[FromServer] = []

        async def pass_on(visit: Visit) -> None:
            names = {"its own name": "honest.example"}
            host = names.get(called_as, thief.removeprefix("http://"))
            async with raw_client(honest, {"Host": host}) as stolen:
                await visit.say(stolen.challenge)
                join = await visit.hear()
                assert isinstance(join, Join)
                await stolen.say(join)
                verdicts.append(await stolen.hear())
            await visit.say(Joined((), (), False))

        async with lying_server(pass_on) as thief:
            assert await join_once(thief, ANNA, card_of(ANNA), False) == JoinOutcome(False, 0)
        assert [type(one) for one in verdicts] == [Failed]
        assert verdicts[0].code == "bad_signature"  # type: ignore[union-attr]
        async with raw_client(honest, {"Host": "honest.example"}) as client:
            welcome = await client.join(CARLA)
            assert isinstance(welcome, Joined)
            assert [one.member for one in welcome.members] == [BEN.member_id]


async def test_a_join_for_the_honest_server_is_good_once(tmp_path: Path):
    async with running_server(tmp_path) as honest, raw_client(honest) as client:
        join = client.join_of(ANNA, create=True)
        await client.say(join)
        assert isinstance(await client.hear(), Joined)
        for _ in range(3):
            async with raw_client(honest) as replayed:
                await replayed.say(join)
                answer = await replayed.hear()
                assert isinstance(answer, Failed)
                assert answer.code == "bad_signature"


# --- cards -----------------------------------------------------------------------------------


async def test_swapped_cards_show_nobody_and_harm_nobody():
    bens, carlas = sealed(BEN, "ben"), sealed(CARLA, "carla")

    async def swap(visit: Visit) -> None:
        await visit.let_in(
            Presence(BEN.member_id, carlas, True), Presence(CARLA.member_id, bens, True)
        )
        await visit.say(Arrived(BEN.member_id, bens), Arrived(CARLA.member_id, bens))
        await visit.say(Arrived(BEN.member_id, carlas), Absent(BEN.member_id))
        await visit.stay()

    async with lying_server(swap) as url:
        rendezvous = a_rendezvous(url)
        task = asyncio.create_task(rendezvous.run())
        pictures: list[dict[MemberId, tuple[str, bool]]] = []

        def remember() -> bool:
            friends = rendezvous.members().values()
            pictures.append({f.member: (f.card.name, f.online) for f in friends})
            return pictures[-1] == {BEN.member_id: ("ben", False)}

        await until(rendezvous, remember)
        await ended(task)
    for picture in pictures:
        assert picture in ({}, {BEN.member_id: ("ben", True)}, {BEN.member_id: ("ben", False)})


async def test_an_old_card_is_that_members_own_and_the_next_one_replaces_it():
    old = MemberCard(BEN.identity_public_key, "ben's old name", 1, "0.1")
    replayed = seal_card(BEN, old, random_bytes(24))
    new = sealed(BEN, "ben's new name")
    go_on = asyncio.Event()

    async def replay(visit: Visit) -> None:
        await visit.let_in(Presence(BEN.member_id, new, True))
        await visit.say(Arrived(BEN.member_id, replayed))
        await go_on.wait()
        await visit.say(Arrived(BEN.member_id, new))
        await visit.stay()

    async with lying_server(replay) as url:
        rendezvous = a_rendezvous(url)
        task = asyncio.create_task(rendezvous.run())

        def is_called(name: str) -> Callable[[], bool]:
            return lambda: [f.card.name for f in rendezvous.members().values()] == [name]

        await until(rendezvous, is_called("ben's old name"))
        assert rendezvous.members()[BEN.member_id].card == old
        go_on.set()
        await until(rendezvous, is_called("ben's new name"))
        await ended(task)


# --- connections -----------------------------------------------------------------------------


async def begin_nothing(visit: Visit) -> None:
    """Close at once, as a server should."""


async def cut_at_once(visit: Visit) -> None:
    transport_of(visit).abort()


async def cut_after_the_welcome(visit: Visit) -> None:
    await visit.let_in()
    transport_of(visit).abort()


async def half_a_frame(visit: Visit) -> None:
    await visit.let_in()
    transport_of(visit).write(b"\x82\x7e\xff\xff" + b"only the beginning")
    await asyncio.sleep(0)
    transport_of(visit).close()


async def an_unknown_kind_of_frame(visit: Visit) -> None:
    await visit.let_in()
    transport_of(visit).write(b"\xf7\x00")


async def an_endless_frame(visit: Visit) -> None:
    await visit.let_in()
    transport_of(visit).write(b"\x82\x7f\x7f" + b"\xff" * 7)
    await visit.stay()


async def pieces_without_end(visit: Visit) -> None:
    await visit.let_in()
    for _ in range(64):  # 4 MiB as the beginning of one message
        transport_of(visit).write(b"\x02\x7f" + (65536).to_bytes(8, "big") + bytes(65536))
        await asyncio.sleep(0)
    await visit.stay()


async def compressed(visit: Visit) -> None:
    await visit.let_in()
    transport_of(visit).write(b"\xc2\x05hello")
    await visit.stay()


async def ten_thousand_members(visit: Visit) -> None:
    await visit.let_in(
        *(Presence(number.to_bytes(32, "big"), b"junk", True) for number in range(10_000))
    )
    await visit.stay()


async def a_welcome_of_junk_then_the_end(visit: Visit) -> None:
    await visit.let_in(
        *(
            Presence(number.to_bytes(32, "big"), bytes(CARD_BYTES_MAX), True)
            for number in range(256)
        )
    )


async def refuse_for_now(visit: Visit) -> None:
    await visit.say(Challenge(VERSION, "x", bytes(32)))
    await visit.hear()
    await visit.say(Failed("server_full", "", 0.0))


async def refuse_later(visit: Visit) -> None:
    await visit.let_in()
    await visit.say(Failed("no such code"))


def transport_of(visit: Visit) -> asyncio.Transport:
    transport = visit.socket._req.transport  # type: ignore[union-attr]
    assert isinstance(transport, asyncio.Transport)
    return transport


ENDS = [
    begin_nothing,
    cut_at_once,
    cut_after_the_welcome,
    half_a_frame,
    an_unknown_kind_of_frame,
    an_endless_frame,
    pieces_without_end,
    compressed,
    ten_thousand_members,
    a_welcome_of_junk_then_the_end,
    refuse_for_now,
    refuse_later,
]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
async def test_however_a_connection_ends_another_one_is_tried(
    end: Callable[[Visit], Awaitable[None]],
):
    visits = 0

    async def behave(visit: Visit) -> None:
        nonlocal visits
        visits += 1
        if visits < 4:
            await end(visit)
        else:
            await visit.let_in(Presence(BEN.member_id, sealed(BEN, "ben"), True))
            await visit.stay()

    async with lying_server(behave) as url:
        rendezvous = a_rendezvous(url)
        task = asyncio.create_task(rendezvous.run())
        await until(rendezvous, lambda: set(rendezvous.members()) == {BEN.member_id})
        await ended(task)
    assert visits == 4


async def talk_on(visit: Visit) -> None:
    """Say something more whenever the client could have had enough of waiting for the end."""
    try:
        while True:
            transport_of(visit).write(b"\x82" + frame_of(Absent(bytes(32))))
            await asyncio.sleep(0.05)
    except (AssertionError, AttributeError, ConnectionError):
        return  # it is gone


def frame_of(message: FromServer) -> bytes:
    data = encode(message)
    assert len(data) < 126
    return bytes([len(data)]) + data


async def test_a_server_that_goes_on_talking_holds_up_neither_an_end_nor_a_goodbye():
    async def behave(visit: Visit) -> None:
        await visit.let_in()
        await talk_on(visit)

    async with lying_server(behave) as url, asyncio.timeout(5):
        await join_once(url, ANNA, card_of(ANNA), False)
        rendezvous = a_rendezvous(url)
        task = asyncio.create_task(rendezvous.run())
        await rendezvous.joined()
        await ended(task)

        rendezvous = a_rendezvous(url)
        task = asyncio.create_task(rendezvous.run())
        await rendezvous.joined()
        await rendezvous.leave()
        await task
        assert not rendezvous.connected


async def test_a_server_that_talks_on_after_junk_is_left_behind():
    visits = 0

    async def behave(visit: Visit) -> None:
        nonlocal visits
        visits += 1
        await visit.let_in(*([Presence(BEN.member_id, sealed(BEN, "ben"), True)] * (visits > 1)))
        if visits == 1:
            await visit.say(b"junk")
        await talk_on(visit)

    async with lying_server(behave) as url:
        rendezvous = a_rendezvous(url)
        task = asyncio.create_task(rendezvous.run())
        await until(rendezvous, lambda: bool(rendezvous.members()))
        await ended(task)


async def test_a_server_that_asks_for_answers_and_reads_none_lets_the_run_end():
    stopped = asyncio.Event()

    async def behave(visit: Visit) -> None:
        await visit.let_in()
        transport = transport_of(visit)
        transport.pause_reading()
        ping = b"\x89\x7d" + bytes(125)
        sent = 0
        while not transport.is_closing() and sent < 64 << 20:
            transport.write(ping * 500)
            sent += 500 * len(ping)
            await asyncio.sleep(0)
            if transport.get_write_buffer_size() > 1 << 20:
                break  # the client reads no more, as it cannot answer
        stopped.set()
        await asyncio.sleep(5)
        transport.abort()

    async with lying_server(behave) as url:
        rendezvous = a_rendezvous(url)
        task = asyncio.create_task(rendezvous.run())
        await rendezvous.joined()
        async with asyncio.timeout(10):
            await stopped.wait()
        await ended(task)


async def test_a_server_that_cannot_be_understood_is_said_to_be_unreachable():
    async def talk_to_anyone(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n" + b"x: y\r\n" * 100_000)
        writer.close()

    server = await asyncio.start_server(talk_to_anyone, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        with pytest.raises(Unreachable):
            await join_once(f"http://{host}:{port}", ANNA, card_of(ANNA), False)
