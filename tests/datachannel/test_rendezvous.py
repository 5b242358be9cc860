"""Members who meet at a real server, which comes and goes."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from datachannel import relays
from datachannel import rendezvous as module
from datachannel.credentials import Credentials, MemberCard, seal_card
from datachannel.errors import Unavailable
from datachannel.joining import WORDS, OneServer, websocket_address
from datachannel.rendezvous import (
    JoinOutcome,
    JoinRefused,
    Rendezvous,
    Unreachable,
    _pause_of,
    join_once,
)
from datachannel.twins import newer_twin
from signaling.config import Limits
from signaling.messages import FAILED_CODES, SIGNAL_BYTES_MAX, IceServer, MemberId
from signaling.turn import TurnConfig
from tests.support.members import a_member, card_of, counted_bytes
from tests.support.raw_client import member, metric, running_server

ANNA, BEN = a_member("anna"), a_member("ben")
GUESSER = a_member("eve", password="wrong")
random_bytes = counted_bytes("rendezvous")


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "RETRY_S_MIN", 0.01)
    monkeypatch.setattr(module, "RETRY_S_MAX", 0.05)


@pytest.fixture
async def url(tmp_path: Path):
    async with running_server(tmp_path) as url:
        yield url


def a_rendezvous(url: str, credentials: Credentials, *, create: bool = True) -> Rendezvous:
    return Rendezvous(
        servers=OneServer(url),
        credentials=credentials,
        card=card_of(credentials, "a name"),
        create=create,
        random_bytes=random_bytes,
        jitter=random.Random(7),
    )


@asynccontextmanager
async def running(*everybody: Rendezvous) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.create_task(one.run()) for one in everybody]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def until(rendezvous: Rendezvous, condition: Callable[[], bool]) -> None:
    changed = asyncio.Event()
    rendezvous.on_change = changed.set
    async with asyncio.timeout(10):
        while not condition():
            await changed.wait()
            changed.clear()


def sees(rendezvous: Rendezvous, credentials: Credentials, *, online: bool) -> Callable[[], bool]:
    def condition() -> bool:
        friend = rendezvous.members().get(credentials.member_id)
        return friend is not None and friend.online == online

    return condition


async def test_members_see_each_other_and_pass_signals(url: str):
    anna, ben = a_rendezvous(url, ANNA), a_rendezvous(url, BEN)
    heard: asyncio.Queue[tuple[MemberId, bytes]] = asyncio.Queue()
    ben.on_signal = lambda member, blob: heard.put_nowait((member, blob))
    assert not anna.connected
    async with running(anna, ben):
        await until(anna, sees(anna, BEN, online=True))
        await until(ben, sees(ben, ANNA, online=True))
        assert anna.connected
        assert anna.created != ben.created
        assert set(anna.members()) == {BEN.member_id}
        assert anna.members()[BEN.member_id].card == card_of(BEN, "a name")
        blob = b"x" * SIGNAL_BYTES_MAX
        await anna.send_signal(BEN.member_id, blob)
        async with asyncio.timeout(5):
            assert await heard.get() == (ANNA.member_id, blob)
        with pytest.raises(ValueError, match="signal"):
            await anna.send_signal(BEN.member_id, blob + b"x")
    assert not anna.connected


async def test_a_member_who_goes_is_offline_and_one_who_leaves_is_gone(url: str):
    anna, ben = a_rendezvous(url, ANNA), a_rendezvous(url, BEN)
    async with running(anna):
        async with running(ben):
            await until(anna, sees(anna, BEN, online=True))
        await until(anna, sees(anna, BEN, online=False))
        ben = a_rendezvous(url, BEN)
        async with running(ben) as (task,):
            await until(anna, sees(anna, BEN, online=True))
            await ben.leave()
            async with asyncio.timeout(5):
                await task
            assert not ben.connected
        await until(anna, lambda: not anna.members())


async def test_a_signal_that_does_not_arrive_tells_that_the_member_is_offline(url: str):
    anna = a_rendezvous(url, ANNA)
    async with running(anna):
        await until(anna, lambda: anna.connected)
        async with member(url, BEN):
            await until(anna, sees(anna, BEN, online=True))
        await until(anna, sees(anna, BEN, online=False))
        await anna.send_signal(BEN.member_id, b"hello?")
        await anna.send_signal(MemberId(bytes(32)), b"hello?")


async def test_the_server_counts_what_is_reported(url: str):
    anna = a_rendezvous(url, ANNA)
    await anna.report("direct")  # nobody hears it, and nothing is wrong
    async with running(anna):
        await until(anna, lambda: anna.connected)
        await anna.report("relay")
        async with asyncio.timeout(5):
            while await metric(url, "link_outcomes_total", outcome="relay") != 1:
                pass
        assert await metric(url, "link_outcomes_total", outcome="direct") == 0


@pytest.mark.parametrize(
    ("code", "asked_s", "pause_s"),
    [
        ("restarting", 3.5, 3.5),
        ("restarting", 9_999.0, 600.0),
        ("rate_limited", 3.5, 15.0),
        ("rate_limited", 50.0, 50.0),
        ("server_full", 9_999.0, 600.0),
    ],
)
def test_who_is_refused_comes_back_as_the_server_asks_within_bounds(
    code: str, asked_s: float, pause_s: float
):
    assert _pause_of(JoinRefused(code, "", asked_s)) == pause_s


async def test_a_new_card_reaches_the_others_and_outlives_the_connection(tmp_path: Path):
    port = free_port()
    news = MemberCard(BEN.identity_public_key, "another name", 5, "0.2")
    async with running_server(tmp_path, port=port) as url:
        anna, ben = a_rendezvous(url, ANNA), a_rendezvous(url, BEN)
        async with running(anna, ben):
            await until(anna, sees(anna, BEN, online=True))
            await ben.update_card(news)
            await until(anna, lambda: anna.members()[BEN.member_id].card == news)
    await ben.update_card(card_of(BEN, "while offline"))
    async with running_server(tmp_path, port=port), running(anna, ben):
        await until(anna, lambda: anna.members()[BEN.member_id].card.name == "while offline")


async def test_after_a_restart_of_the_server_everybody_comes_back(tmp_path: Path):
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    anna, ben = a_rendezvous(address, ANNA), a_rendezvous(address, BEN)
    async with running(anna, ben):
        for _ in range(2):
            async with running_server(tmp_path, port=port):
                await until(anna, lambda: anna.connected and sees(anna, BEN, online=True)())
                await until(ben, lambda: ben.connected)
            await until(anna, lambda: not anna.connected)
            with pytest.raises(Unavailable):
                await anna.send_signal(BEN.member_id, b"hello?")
            assert BEN.member_id in anna.members()  # the last picture stays


async def test_a_change_of_the_network_ends_the_pause_and_a_connection_that_may_be_dead(
    tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(module, "RETRY_S_MIN", 30.0)
    monkeypatch.setattr(module, "RETRY_S_MAX", 30.0)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    anna = a_rendezvous(f"http://127.0.0.1:{port}", ANNA)
    async with running(anna):
        await asyncio.sleep(0.2)  # nobody is there: it pauses
        async with running_server(tmp_path, port=port):
            anna.hurry()
            await until(anna, lambda: anna.connected)
            anna.hurry()
            await until(anna, lambda: not anna.connected)
            await until(anna, lambda: anna.connected)


async def test_a_server_that_lost_its_memory_learns_the_group_anew(tmp_path: Path):
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    anna, ben = a_rendezvous(address, ANNA), a_rendezvous(address, BEN)
    async with running(anna, ben):
        for folder in ("before", "after"):
            async with running_server(tmp_path / folder, port=port):
                await until(anna, lambda: anna.connected and sees(anna, BEN, online=True)())
            await until(anna, lambda: not anna.connected)


async def test_a_member_who_comes_back_with_the_same_card_changes_nothing_on_disk(tmp_path: Path):
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    anna = a_rendezvous(address, ANNA)
    async with running(anna):
        async with running_server(tmp_path, port=port):
            await until(anna, lambda: anna.connected)
        (database,) = tmp_path.glob("*.json")
        before = database.stat().st_mtime_ns
        await until(anna, lambda: not anna.connected)
        async with running_server(tmp_path, port=port):
            await until(anna, lambda: anna.connected)
        assert database.stat().st_mtime_ns == before


@pytest.mark.parametrize("code", ["unknown_group", "wrong_password"])
async def test_a_permanent_no_ends_the_run_and_everybody_who_waits(url: str, code: str):
    async with member(url, ANNA, create=True):
        who = GUESSER if code == "wrong_password" else a_member("zoe", group="nobody")
        stranger = a_rendezvous(url, who, create=False)
        async with running(stranger) as (task,), asyncio.timeout(5):
            with pytest.raises(JoinRefused) as refused:
                await stranger.joined()
            with pytest.raises(JoinRefused):
                await task
    assert (refused.value.code, refused.value.text) == (code, WORDS[code])
    assert not stranger.connected


async def test_the_second_computer_with_the_same_words_takes_over(url: str):
    first, second = a_rendezvous(url, ANNA), a_rendezvous(url, ANNA)
    async with running(first) as (task,):
        await until(first, lambda: first.connected)
        async with running(second), asyncio.timeout(5):
            with pytest.raises(JoinRefused) as refused:
                await task
            assert refused.value.code == "replaced"
            assert second.connected


async def settled(url: str, *, first: tuple[int, int], second: tuple[int, int]) -> tuple[str, str]:
    """How two computers of one person end that are there at the same time, by their cards' order:
    for each, whether it is connected or by whose card it was stopped."""

    def a_computer(order: tuple[int, int]) -> Rendezvous:
        it = a_rendezvous(url, ANNA)
        installed, started = order
        it.set_card(replace(card_of(ANNA), installed=installed, started=started))
        return it

    one, two = a_computer(first), a_computer(second)
    async with running(one) as (task_one,):
        await until(one, lambda: one.connected)
        async with running(two) as (task_two,), asyncio.timeout(10):
            (stopped,), _ = await asyncio.wait(
                [task_one, task_two], return_when=asyncio.FIRST_COMPLETED
            )
            stays = two if stopped is task_one else one
            await until(stays, lambda: stays.connected)
            error = stopped.exception()
            assert isinstance(error, JoinRefused)
            assert error.code == "replaced"
            assert error.twin is not None
            assert error.twin.order == max(first, second)
    return ("stays", "stops") if stays is one else ("stops", "stays")


async def test_of_two_computers_with_the_same_words_the_newer_one_stays(url: str):
    assert await settled(url, first=(1, 9), second=(2, 1)) == ("stops", "stays")
    assert await settled(url, first=(2, 1), second=(1, 9)) == ("stays", "stops")


async def test_of_a_copied_folder_the_computer_stays_that_started_later(url: str):
    assert await settled(url, first=(1, 4), second=(1, 3)) == ("stays", "stops")


async def test_an_older_computer_stops_also_when_the_newer_one_is_away(url: str):
    async with running(newer := a_rendezvous(url, ANNA)):
        newer.set_card(replace(card_of(ANNA), installed=2))
        await until(newer, lambda: newer.connected)
    older = a_rendezvous(url, ANNA)
    older.set_card(replace(card_of(ANNA), installed=1))
    async with running(older) as (task,), asyncio.timeout(5):
        with pytest.raises(JoinRefused) as refused:
            await task
    assert refused.value.twin is not None


async def test_a_card_of_somebody_else_stops_nobody(url: str):
    """A lying server may refuse, and prove nothing: `twin` is what is remembered."""
    it = a_rendezvous(url, ANNA)
    forged = seal_card(BEN, replace(card_of(BEN), installed=9), random_bytes(24))
    for sealed in (forged, b"", b"x" * 100):
        assert newer_twin(ANNA, card_of(ANNA), sealed) is None
    assert not it.connected


async def test_who_is_told_to_wait_waits_and_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "REFUSED_S_MIN", 0.05)
    monkeypatch.setattr(module, "REFUSED_S_MAX", 0.1)
    limits = Limits(new_groups_per_address=(5.0, 1))
    async with running_server(tmp_path, limits=limits) as url:
        async with member(url, ANNA, create=True):
            pass
        other = a_rendezvous(url, a_member("dora", group="millers"))
        async with running(other), asyncio.timeout(5):
            await other.joined()


async def test_join_once_tells_whether_this_member_was_there_before(url: str):
    card = replace(card_of(ANNA), installed=7)
    assert (await join_once(url, ANNA, card, True)).twin is None
    assert (await join_once(url, ANNA, card_of(ANNA), True)).twin == card


async def test_join_once_tells_what_it_found(url: str):
    assert await join_once(url, ANNA, card_of(ANNA), True) == JoinOutcome(True, 0)
    assert await join_once(url + "/", BEN, card_of(BEN), False) == JoinOutcome(False, 1)
    with pytest.raises(JoinRefused) as refused:
        await join_once(url, GUESSER, card_of(GUESSER), True)
    assert refused.value.text == "the password is not the one of this group"


async def test_join_once_says_when_there_is_no_server():
    with pytest.raises(Unreachable, match=r"no connection to 127\.0\.0\.1"):
        await join_once(f"http://127.0.0.1:{free_port()}", ANNA, card_of(ANNA), False)


async def test_a_busy_server_is_said_to_be_busy(tmp_path: Path):
    limits = Limits(connects_per_address=(0.001, 1))
    async with running_server(tmp_path, limits=limits) as url:
        await join_once(url, ANNA, card_of(ANNA), True)
        with pytest.raises(Unreachable, match="busy"):
            await join_once(url, ANNA, card_of(ANNA), True)


async def test_ice_servers_come_from_the_server(tmp_path: Path):
    turn = IceServer(("turn:turn.example:3478",), "user", "password")
    async with running_server(tmp_path, ice_servers=(turn,)) as url:
        anna = a_rendezvous(url, ANNA)
        async with running(anna), asyncio.timeout(5):
            await anna.joined()
            assert anna.ice_servers == (turn,)


async def test_turn_credentials_are_renewed_while_the_connection_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(relays, "RENEW_S_MIN", 0.01)
    monkeypatch.setattr(module, "RENEW_ANSWER_S", 0.01)
    turn = TurnConfig(("turn:turn.example:3478",), "s" * 32, lifetime_s=0.2)
    async with running_server(tmp_path, turn=turn) as url:
        anna = a_rendezvous(url, ANNA)
        async with running(anna), asyncio.timeout(5):
            await anna.joined()
            while await metric(url, "turn_grants_total") < 3:
                assert anna.connected
                await asyncio.sleep(0.01)
            assert anna.ice_servers


def test_there_are_words_for_every_refusal():
    assert set(FAILED_CODES) <= set(WORDS)


@pytest.mark.parametrize(
    ("url", "address", "name"),
    [
        ("http://h:8000", "ws://h:8000/v1/ws", "h:8000"),
        ("http://h:80/", "ws://h/v1/ws", "h"),
        ("https://Covey.Example:443", "wss://covey.example/v1/ws", "covey.example"),
        ("https://covey.example:80/x/", "wss://covey.example:80/x/v1/ws", "covey.example:80"),
        ("ws://h/v1/ws", "ws://h/v1/ws", "h"),
        ("http://[2001:DB8::0:1]:1", "ws://[2001:db8::1]:1/v1/ws", "[2001:db8::1]:1"),
        ("https://bücher.example", "wss://xn--bcher-kva.example/v1/ws", "xn--bcher-kva.example"),
        ("http://user:secret@h", "ws://h/v1/ws", "h"),
    ],
)
def test_a_servers_name_is_what_the_host_header_says(url: str, address: str, name: str):
    assert websocket_address(url) == (address, name)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h:8000",
        "ftp://h",
        "http://",
        "http://h:99999",
        "http://[::1",
        "http://a b",
        "http://\0",
    ],
)
def test_what_is_no_url_is_said_to_be_none(url: str):
    with pytest.raises(Unreachable):
        websocket_address(url)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
