"""Links over real WebRTC, both ends in this process, over this computer's own addresses."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import aioice.ice
import pytest
from aiortc.rtcsctptransport import AbortChunk

from datachannel import aiortc_fixes, channel_link
from datachannel.errors import LinkClosed, Unavailable
from datachannel.signals import Description
from datachannel.webrtc import AiortcAttempt, AiortcEngine, AiortcLink
from signaling.messages import IceServer
from tests.support import link_pairs
from tests.support.contracts import LinkContract
from tests.support.link_pairs import BEN, Pair

ENGINES = [
    pytest.param(aiortc_fixes.FIXED_PARTS, id="cured"),
    pytest.param(aiortc_fixes.STOCK_PARTS, id="stock"),
]


def connected(
    parts: aiortc_fixes.Parts | None = None,
) -> AbstractAsyncContextManager[Pair]:
    return link_pairs.connected(AiortcEngine(parts))


class TestCuredLink(LinkContract):
    @asynccontextmanager
    async def pair(self) -> AsyncIterator[tuple[AiortcLink, AiortcLink]]:
        async with connected(aiortc_fixes.FIXED_PARTS) as pair:
            yield pair.anna, pair.ben


class TestStockLink(LinkContract):
    @asynccontextmanager
    async def pair(self) -> AsyncIterator[tuple[AiortcLink, AiortcLink]]:
        async with connected(aiortc_fixes.STOCK_PARTS) as pair:
            yield pair.anna, pair.ben


@pytest.mark.parametrize("parts", ENGINES)
async def test_frames_of_every_size_cross_in_order_in_both_directions(parts):
    async with connected(parts) as pair:
        frames = [bytes([size % 251]) * size for size in (1, 1160, 1161, 60_000, 65_536, 7)]
        for frame in frames:
            pair.anna.send(frame)
            pair.ben.send(frame[::-1])
        assert [await pair.ben.receive() for _ in frames] == frames
        assert [await pair.anna.receive() for _ in frames] == frames
        assert pair.anna.remote == BEN
        assert pair.anna.engine == "aiortc"
        assert pair.anna.rtt_s is None or pair.anna.rtt_s < 1


async def test_a_link_knows_that_no_relay_is_in_between():
    async with connected(aiortc_fixes.FIXED_PARTS) as pair:
        assert (pair.anna.is_relayed, pair.ben.is_relayed) == (False, False)


async def test_frames_of_other_sizes_are_a_bug_of_the_caller():
    async with connected() as pair:
        for size in (0, 65_537):
            with pytest.raises(ValueError, match="bytes"):
                pair.anna.send(bytes(size))


@pytest.mark.parametrize("parts", ENGINES)
async def test_the_other_end_notices_a_close_at_once(parts):
    async with connected(parts) as pair:
        pair.anna.send(b"last words")
        await asyncio.sleep(0.2)
        waiting = asyncio.get_running_loop().create_task(pair.anna.receive())
        await asyncio.sleep(0)
        await pair.anna.close()
        with pytest.raises(LinkClosed):
            await waiting
        async with asyncio.timeout(1):
            assert await pair.ben.receive() == b"last words"
            with pytest.raises(LinkClosed):
                await pair.ben.receive()
        for link in (pair.anna, pair.ben):
            with pytest.raises(LinkClosed):
                link.send(b"x")
            with pytest.raises(LinkClosed):
                await link.drained()
            await link.close()
            await link.close()


async def test_drained_waits_while_much_is_queued_and_never_misses_the_end():
    async with connected() as pair:
        await pair.anna.drained()
        taken = 0

        async def take() -> None:
            nonlocal taken
            while True:
                taken += len(await pair.ben.receive())

        taking = asyncio.get_running_loop().create_task(take())
        sent = 0
        for _ in range(15):
            for _ in range(20):
                pair.anna.send(bytes(30_000))
                sent += 30_000
            async with asyncio.timeout(10):
                await asyncio.gather(*(pair.anna.drained() for _ in range(3)))
            assert pair.anna._channel.bufferedAmount <= channel_link.BUFFERED_BYTES_LOW
        async with asyncio.timeout(10):
            while taken < sent:  # noqa: ASYNC110 - the network has no event for it
                await asyncio.sleep(0.01)
        taking.cancel()


async def test_who_waits_for_drained_is_told_when_the_link_ends():
    async with connected() as pair:
        for _ in range(100):
            pair.anna.send(bytes(60_000))
        waiting = asyncio.get_running_loop().create_task(pair.anna.drained())
        await asyncio.sleep(0)
        await pair.ben.close()
        async with asyncio.timeout(5):
            with pytest.raises(LinkClosed):
                await waiting


@pytest.mark.parametrize("size", [1, 60_000], ids=["many frames", "many bytes"])
async def test_a_peer_that_sends_more_than_is_taken_is_cut_off(size, monkeypatch, caplog):
    monkeypatch.setattr(channel_link, "RECEIVED_BYTES_MAX", 2_000_000)
    monkeypatch.setattr(channel_link, "RECEIVED_FRAMES_MAX", 400)
    async with connected() as pair:
        with contextlib.suppress(LinkClosed):
            for _ in range(2000):
                pair.anna.send(bytes(size))
                await pair.anna.drained()
                if pair.ben.closed:
                    break
                await asyncio.sleep(0)
        assert pair.ben.closed
        with pytest.raises(LinkClosed):
            await pair.ben.receive()
    assert "more than it may" in caplog.text


async def test_an_abort_of_the_association_closes_the_link():
    async with connected() as pair:
        await pair.annas._sctp._send_chunk(AbortChunk())
        async with asyncio.timeout(5):
            with pytest.raises(LinkClosed):
                await pair.ben.receive()


async def test_a_frame_of_text_closes_the_link_and_nothing_else():
    async with connected(aiortc_fixes.STOCK_PARTS) as pair:
        pair.anna._channel.send("text")
        async with asyncio.timeout(5):
            with pytest.raises(LinkClosed):
                await pair.ben.receive()


@pytest.mark.parametrize("victim", [0, 1])
async def test_another_certificate_than_the_described_one_is_refused(victim):
    pair = Pair(AiortcEngine())
    descriptions = list(await pair.describe())
    told = descriptions[victim]
    descriptions[victim] = Description(
        told.username, told.password, b"\x66" * 32, told.setup, told.candidates
    )
    loop = asyncio.get_running_loop()
    connecting = [
        loop.create_task(pair.annas.connect(descriptions[1])),
        loop.create_task(pair.bens.connect(descriptions[0])),
    ]
    async with asyncio.timeout(10):
        with pytest.raises(Unavailable, match="certificate"):
            await connecting[1 - victim]
    await asyncio.sleep(0.1)
    assert not (connecting[victim].done() and connecting[victim].exception() is None)
    connecting[victim].cancel()
    await asyncio.gather(*connecting, return_exceptions=True)
    await pair.close()


async def test_without_candidates_of_the_other_end_an_attempt_fails_at_once():
    pair = Pair(AiortcEngine())
    _, answer = await pair.describe()
    empty = Description(answer.username, answer.password, answer.fingerprint, "active", ())
    async with asyncio.timeout(2):
        with pytest.raises(Unavailable, match="no path"):
            await pair.annas.connect(empty)
    await pair.close()


async def test_candidates_may_come_later():
    pair = Pair(AiortcEngine())
    offer, answer = await pair.describe()
    early = Description(answer.username, answer.password, answer.fingerprint, "active", (), False)
    connecting = asyncio.gather(pair.annas.connect(early), pair.bens.connect(offer))
    await asyncio.sleep(0.1)
    await pair.annas.add_candidates(answer.candidates, complete=True)
    async with asyncio.timeout(5):
        anna, ben = await connecting
    anna.send(b"hello")
    assert await ben.receive() == b"hello"
    await pair.close()


async def test_two_ends_of_the_same_part_do_not_connect():
    pair = Pair(AiortcEngine())
    offer, _ = await pair.describe()
    with pytest.raises(Unavailable, match="wrong part"):
        await pair.annas.connect(offer)
    await pair.close()


@pytest.mark.parametrize("moment", [0.0, 0.005, 0.02, 0.03])
async def test_an_attempt_can_be_given_up_at_any_moment(moment):
    pair = Pair(AiortcEngine())
    offer, answer = await pair.describe()
    connecting = asyncio.gather(
        pair.annas.connect(answer), pair.bens.connect(offer), return_exceptions=True
    )
    await asyncio.sleep(moment)
    connecting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await connecting
    await pair.close()


async def test_an_attempt_that_never_began_leaves_nothing():
    pair = Pair(AiortcEngine())
    await pair.annas.close()
    await pair.bens.local_description()
    await pair.close()


async def test_a_computer_without_a_network_connects_over_its_loopback(monkeypatch):
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **_: [])
    async with connected() as pair:
        pair.anna.send(b"offline")
        assert await pair.ben.receive() == b"offline"


async def test_addresses_that_cannot_be_used_are_left_out(monkeypatch):
    monkeypatch.setattr(
        aioice.ice, "get_host_addresses", lambda **_: ["203.0.113.7", "2001:db8::1"]
    )
    pair = Pair(AiortcEngine())
    offer, _ = await pair.describe()
    assert [candidate.address for candidate in offer.candidates] == ["127.0.0.1"]
    await pair.close()


async def test_no_server_is_contacted_but_those_given():
    pair = Pair(AiortcEngine())
    connection = pair.annas._gatherer._connection
    assert connection.stun_server is None
    assert connection.turn_server is None
    await pair.close()
    servers = [
        IceServer(urls=("stun:stun.example:3479",), username="", credential=""),
        IceServer(urls=("stun:", "http://x", "nonsense", "turn:a:b:c")),
        IceServer(urls=("turn:turn.example?transport=tcp",), username="u", credential="c"),
    ]
    attempt = AiortcAttempt(BEN, offerer=True, ice_servers=servers, parts=aiortc_fixes.FIXED_PARTS)
    connection = attempt._gatherer._connection
    assert connection.stun_server == ("stun.example", 3479)
    assert connection.turn_server == ("turn.example", 3478)
    assert (connection.turn_username, connection.turn_password) == ("u", "c")
    await attempt.close()


async def test_no_address_and_no_password_of_a_connection_goes_to_the_logs(caplog):
    caplog.set_level(logging.DEBUG)
    async with connected() as pair:
        pair.anna.send(b"x")
        await pair.ben.receive()
        connection = pair.annas._gatherer._connection
        secrets = [connection.local_password, connection.local_username]
        secrets += [candidate.host for candidate in connection.local_candidates]
    for secret in secrets:
        assert secret not in caplog.text
