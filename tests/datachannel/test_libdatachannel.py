"""Links of libdatachannel, with itself and with aiortc at the other end, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiortc import RTCDataChannel, RTCDataChannelParameters

from datachannel import aiortc_fixes, aiortc_fixes_send, channel_link, libdatachannel
from datachannel.engine import Engine
from datachannel.engines import BestEngine
from datachannel.errors import LinkClosed, Unavailable
from datachannel.libdatachannel import LibdatachannelEngine
from datachannel.link import Link
from datachannel.signals import Description
from datachannel.webrtc import AiortcEngine
from signaling.messages import IceServer
from tests.support.contracts import LinkContract
from tests.support.link_pairs import BEN, Pair, connected

MATCHES = {
    "libdatachannel calls libdatachannel": (LibdatachannelEngine, LibdatachannelEngine),
    "libdatachannel calls aiortc": (LibdatachannelEngine, AiortcEngine),
    "aiortc calls libdatachannel": (AiortcEngine, LibdatachannelEngine),
}


@pytest.fixture(params=list(MATCHES))
def engines(request) -> tuple[Engine, Engine]:
    annas, bens = MATCHES[request.param]
    return annas(), bens()


@pytest.fixture
def engine() -> LibdatachannelEngine:
    return LibdatachannelEngine()


class TestLinkOfLibdatachannel(LinkContract):
    @asynccontextmanager
    async def pair(self) -> AsyncIterator[tuple[Link, Link]]:
        async with connected(LibdatachannelEngine()) as pair:
            yield pair.anna, pair.ben


class TestLinkFromLibdatachannelToAiortc(LinkContract):
    @asynccontextmanager
    async def pair(self) -> AsyncIterator[tuple[Link, Link]]:
        async with connected(LibdatachannelEngine(), AiortcEngine()) as pair:
            yield pair.anna, pair.ben


class TestLinkFromAiortcToLibdatachannel(LinkContract):
    @asynccontextmanager
    async def pair(self) -> AsyncIterator[tuple[Link, Link]]:
        async with connected(AiortcEngine(), LibdatachannelEngine()) as pair:
            yield pair.anna, pair.ben


async def test_frames_of_every_size_cross_in_order_in_both_directions(engines):
    async with connected(*engines) as pair:
        frames = [bytes([size % 251]) * size for size in (1, 1160, 1161, 60_000, 65_536, 7)]
        for frame in frames:
            pair.anna.send(frame)
            pair.ben.send(frame[::-1])
        assert [await pair.ben.receive() for _ in frames] == frames
        assert [await pair.anna.receive() for _ in frames] == frames
        assert (pair.anna.engine, pair.ben.engine) == (engines[0].name, engines[1].name)


async def test_a_link_tells_of_the_path_that_it_has_now(monkeypatch):
    """libjuice opens a link over the first path that works, and moves it to a better one."""
    async with connected(LibdatachannelEngine(), LibdatachannelEngine()) as pair:
        paths = [True, False]
        monkeypatch.setattr(libdatachannel, "is_relayed", lambda *_: paths.pop(0))
        assert (pair.anna.is_relayed, pair.anna.is_relayed) == (True, False)


@pytest.mark.slow
async def test_many_megabytes_cross_whole_in_both_directions_at_once(engines):
    frames = 20_000_000 // 60_000

    def frame(number: int) -> bytes:
        return hashlib.sha256(number.to_bytes(4, "big")).digest() * (60_000 // 32)

    async def send(link: Link, first: int) -> None:
        for number in range(first, first + frames):
            link.send(frame(number))
            await link.drained()

    async def take(link: Link, first: int) -> None:
        for number in range(first, first + frames):
            assert await link.receive() == frame(number)

    async with connected(*engines) as pair, asyncio.timeout(60):
        await asyncio.gather(
            send(pair.anna, 0), send(pair.ben, 10**6), take(pair.ben, 0), take(pair.anna, 10**6)
        )


@pytest.mark.parametrize("closer", ["anna", "ben"])
async def test_the_other_end_notices_a_close_at_once(engines, closer):
    async with connected(*engines) as pair:
        one, other = (pair.anna, pair.ben) if closer == "anna" else (pair.ben, pair.anna)
        one.send(b"last words")
        assert await other.receive() == b"last words"
        waiting = asyncio.ensure_future(other.receive())
        await asyncio.sleep(0)
        await one.close()
        async with asyncio.timeout(2):
            with pytest.raises(LinkClosed):
                await waiting
        for link in (one, other):
            with pytest.raises(LinkClosed):
                link.send(b"x")
            with pytest.raises(LinkClosed):
                await link.drained()
            await link.close()


@pytest.mark.parametrize("victim", [0, 1])
async def test_another_certificate_than_the_described_one_is_refused(engines, victim):
    pair = Pair(*engines)
    wrong = b"\x66" * 32
    offer = await pair.annas.local_description()
    told = _with_fingerprint(offer, wrong) if victim == 0 else offer
    answer = await pair.bens.local_description(told)
    if victim == 1:
        answer = _with_fingerprint(answer, wrong)
    connecting = [
        asyncio.ensure_future(pair.annas.connect(answer)),
        asyncio.ensure_future(pair.bens.connect(told)),
    ]
    async with asyncio.timeout(10):
        with pytest.raises(Unavailable, match="certificate"):
            await connecting[1 - victim]
    await asyncio.sleep(0.1)
    deceived = connecting[victim]
    assert not (deceived.done() and deceived.exception() is None)
    deceived.cancel()
    await asyncio.gather(*connecting, return_exceptions=True)
    await pair.close()


def _with_fingerprint(told: Description, fingerprint: bytes) -> Description:
    return Description(told.username, told.password, fingerprint, told.setup, told.candidates)


async def test_nothing_is_dropped_while_the_loop_is_busy(engine):
    """The package's own queue would keep the last 1,024 of these."""
    count = channel_link.RECEIVED_FRAMES_MAX - 10
    async with connected(engine) as pair:
        for number in range(count):
            pair.anna.send(number.to_bytes(4, "big"))
        time.sleep(1.0)  # noqa: ASYNC251 - the library's threads go on, the loop does not
        async with asyncio.timeout(10):
            got = [int.from_bytes(await pair.ben.receive(), "big") for _ in range(count)]
        assert got == list(range(count))


@pytest.mark.parametrize("is_busy", [False, True], ids=["loop runs", "loop is busy"])
@pytest.mark.parametrize("size", [1, 60_000], ids=["many frames", "many bytes"])
async def test_a_peer_that_sends_more_than_is_taken_is_cut_off(
    size, is_busy, engine, monkeypatch, caplog
):
    for module in (channel_link, libdatachannel):
        monkeypatch.setattr(module, "RECEIVED_BYTES_MAX", 2_000_000)
        monkeypatch.setattr(module, "RECEIVED_FRAMES_MAX", 400)
    async with connected(engine) as pair:
        with contextlib.suppress(LinkClosed):
            for _ in range(2000):
                pair.anna.send(bytes(size))
                if not is_busy:
                    await pair.anna.drained()
                    await asyncio.sleep(0)
                if pair.ben.closed:
                    break
        if is_busy:
            time.sleep(1.0)  # noqa: ASYNC251 - the library's threads go on, the loop does not
            assert len(pair.ben._landed) <= 400
        async with asyncio.timeout(5):
            while not pair.ben.closed:  # noqa: ASYNC110 - whichever look it is
                await asyncio.sleep(0.01)
        with pytest.raises(LinkClosed):
            await pair.ben.receive()
    assert "more than it may" in caplog.text


async def test_a_message_that_is_too_long_ends_the_link_and_is_not_cut_to_a_frame(engine, caplog):
    async with connected(AiortcEngine(aiortc_fixes.STOCK_PARTS), engine) as pair:
        pair.annas._sctp._remote_max_message_size = 0  # it minds no limit
        pair.anna._channel.send(bytes(200_000))
        async with asyncio.timeout(5):
            with pytest.raises(LinkClosed):
                await pair.ben.receive()
    assert "no frame" in caplog.text


async def test_a_message_without_an_end_takes_no_memory(engine, monkeypatch):
    monkeypatch.setattr(aiortc_fixes_send, "SCTP_DATA_LAST_FRAG", 0)
    monkeypatch.setattr(aiortc_fixes_send, "uint16_add", lambda number, _: number)
    async with connected(AiortcEngine(), engine) as pair:
        pair.anna.send(bytes(60_000))
        await asyncio.sleep(0.1)
        monkeypatch.setattr(aiortc_fixes_send, "SCTP_DATA_FIRST_FRAG", 0)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(500):
            pair.anna.send(bytes(60_000))
            await pair.anna.drained()
            await asyncio.sleep(0.001)
        async with asyncio.timeout(30):
            while pair.annas._sctp._outbound_queue:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
        grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown_kb < 12_000  # of 30 MB


async def test_a_peer_that_opens_another_channel_is_cut_off(engine):
    async with connected(AiortcEngine(aiortc_fixes.STOCK_PARTS), engine) as pair:
        RTCDataChannel(pair.annas._sctp, RTCDataChannelParameters(label="another"))
        async with asyncio.timeout(5):
            with pytest.raises(LinkClosed):
                await pair.ben.receive()


async def test_what_arrived_before_a_close_is_still_handed_out(engine):
    async with connected(engine) as pair:
        pair.anna.send(b"last words")
        await asyncio.sleep(0.3)
        await pair.anna.close()
        async with asyncio.timeout(2):
            assert await pair.ben.receive() == b"last words"
            with pytest.raises(LinkClosed):
                await pair.ben.receive()


async def test_who_waits_for_drained_is_told_when_the_link_ends(engine):
    async with connected(engine) as pair:
        for _ in range(300):
            pair.anna.send(bytes(60_000))
        waiting = asyncio.ensure_future(pair.anna.drained())
        await asyncio.sleep(0)
        await pair.ben.close()
        async with asyncio.timeout(5):
            with pytest.raises(LinkClosed):
                await waiting


async def test_candidates_may_come_later(engines):
    pair = Pair(*engines)
    offer, answer = await pair.describe()
    early = Description(
        answer.username, answer.password, answer.fingerprint, answer.setup, (), False
    )
    connecting = asyncio.gather(pair.annas.connect(early), pair.bens.connect(offer))
    await asyncio.sleep(0.1)
    await pair.annas.add_candidates(answer.candidates, complete=True)
    async with asyncio.timeout(10):
        anna, ben = await connecting
    anna.send(b"hello")
    assert await ben.receive() == b"hello"
    await pair.close()


async def test_without_candidates_of_the_other_end_an_attempt_fails_at_once(engine):
    pair = Pair(engine)
    _, answer = await pair.describe()
    empty = Description(answer.username, answer.password, answer.fingerprint, "active", ())
    async with asyncio.timeout(2):
        with pytest.raises(Unavailable, match="no path"):
            await pair.annas.connect(empty)
    await pair.close()


async def test_two_ends_of_the_same_part_do_not_connect(engine):
    pair = Pair(engine)
    offer, answer = await pair.describe()
    with pytest.raises(Unavailable, match="wrong part"):
        await pair.annas.connect(offer)
    await pair.close()
    late = engine.attempt(BEN, offerer=False, ice_servers=[])
    with pytest.raises(Unavailable, match="wrong part"):
        await late.local_description(answer)
    await late.close()


@pytest.mark.parametrize("moment", [0.0, 0.005, 0.02, 0.05])
async def test_an_attempt_can_be_given_up_at_any_moment(engines, moment):
    pair = Pair(*engines)
    offer, answer = await pair.describe()
    connecting = asyncio.gather(
        pair.annas.connect(answer), pair.bens.connect(offer), return_exceptions=True
    )
    await asyncio.sleep(moment)
    connecting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await connecting
    await pair.close()


async def test_an_attempt_that_never_began_leaves_nothing(engine):
    pair = Pair(engine)
    await pair.annas.close()
    await pair.close()


async def test_no_server_is_contacted_but_those_it_understands():
    servers = [
        IceServer(urls=("stun:stun.example:3479",), username="", credential=""),
        IceServer(urls=("stun:", "http://x", "nonsense", "turn:a:b:c", "stun:[::1]:3478")),
        IceServer(
            urls=("turn:turn.example", "turn:turn.example?transport=tcp", "turns:turn.example"),
            username="17:ann@home",
            credential="a/b+c=",
        ),
    ]
    assert libdatachannel.server_urls(servers) == [
        "stun:stun.example:3479",
        "turn:17%3Aann%40home:a%2Fb%2Bc%3D@turn.example",
    ]


async def test_it_passes_its_trial_here_and_makes_the_links():
    """Guards what we use of the package: an upgrade that changes it fails here."""
    best = BestEngine()
    assert isinstance(await best.fast(), LibdatachannelEngine)
    async with connected(best) as pair:
        assert (pair.anna.engine, pair.ben.engine) == ("libdatachannel", "libdatachannel")
        pair.anna.send(b"hello")
        assert await pair.ben.receive() == b"hello"
