"""Sessions over a link in memory: the pump, streams as tasks use them, and how they end."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from datachannel import flow, frames, link, session
from datachannel.link import (
    Handler,
    PeerSession,
    ProtocolError,
    Refusal,
    Stream,
    Unavailable,
)
from datachannel.messages import (
    Refused,
    Request,
    RootGet,
    RootPut,
    Space,
    SpaceQuery,
    Stored,
    encode_message,
)
from signaling.messages import MemberId
from tests.support.contracts import LinkContract
from tests.support.memory_link import ALICE, BOB, BUFFERED_BYTES_LOW, MemoryLink, memory_links

SPACE = Space(3, 2, 1)


class TestMemoryLink(LinkContract):
    @asynccontextmanager
    async def pair(self) -> AsyncIterator[tuple[MemoryLink, MemoryLink]]:
        yield memory_links()


async def say_space(remote: MemberId, request: Request, stream: Stream) -> None:
    await stream.send(SPACE)


async def never(remote: MemberId, request: Request, stream: Stream) -> None:
    await asyncio.Event().wait()


async def swallow(remote: MemberId, request: Request, stream: Stream) -> None:
    while await stream.receive() is not None:
        pass
    await stream.send(Stored())


def echo_to(got: list[object]) -> Handler:
    async def handler(remote: MemberId, request: Request, stream: Stream) -> None:
        got.append((remote, request))
        while (item := await stream.receive()) is not None:
            await stream.send_data(item)

    return handler


class Pair:
    """Alice and Bob, each with a running session to the other."""

    def __init__(self, alices: Handler, bobs: Handler) -> None:
        self.links = memory_links()
        self.alice = PeerSession(self.links[0], alices, initiator=True)
        self.bob = PeerSession(self.links[1], bobs, initiator=False)
        self.runs = [asyncio.ensure_future(one.run()) for one in (self.alice, self.bob)]

    async def outcomes(self) -> list[BaseException | None]:
        """How the two `run` ended."""
        return await asyncio.gather(*self.runs, return_exceptions=True)


@asynccontextmanager
async def a_pair(bobs: Handler, alices: Handler = never) -> AsyncIterator[Pair]:
    pair = Pair(alices, bobs)
    try:
        async with asyncio.timeout(10):
            yield pair
    finally:
        await asyncio.gather(pair.alice.close(), pair.bob.close())
        await pair.outcomes()


async def settled(condition: Callable[[], bool], *, pause_s: float = 0.0) -> None:
    """Let the loop turn until it is so."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(pause_s)
    raise AssertionError("it never happened")


async def test_a_request_is_answered_and_the_stream_closes():
    async with a_pair(say_space) as pair:
        async with await pair.alice.open(SpaceQuery()) as stream:
            assert pair.alice.open_streams == 1
            await stream.finish()
            assert await stream.receive() == SPACE
            assert await stream.receive() is None
            assert await stream.receive() is None
        await settled(lambda: not pair.alice.open_streams and not pair.bob.open_streams)


async def test_data_goes_both_ways_at_once_and_whole():
    got: list[object] = []
    data = bytes(range(256)) * 20_000  # 5 MB, several windows
    async with a_pair(echo_to(got)) as pair, await pair.alice.open(RootGet()) as stream:

        async def send() -> None:
            await stream.send_data(data)
            await stream.finish()

        async with asyncio.TaskGroup() as group:
            group.create_task(send())
            parts = [part async for part in items_of(stream)]
        assert b"".join(parts) == data
        assert got == [(ALICE, RootGet())]


async def items_of(stream: Stream) -> AsyncIterator[bytes]:
    while (item := await stream.receive()) is not None:
        assert isinstance(item, bytes)
        yield item


async def test_both_sides_ask_at_once():
    async def ask(one: PeerSession) -> object:
        async with await one.open(SpaceQuery()) as stream:
            return await stream.receive()

    async with a_pair(say_space, say_space) as pair:
        answers = await asyncio.gather(*(ask(one) for one in (pair.alice, pair.bob) * 30))
        assert answers == [SPACE] * 60
        assert pair.alice.remote == BOB


async def test_a_sender_waits_for_its_receiver():
    async with a_pair(never) as pair, await pair.alice.open(RootPut(1)) as stream:
        sending = asyncio.ensure_future(stream.send_data(bytes(10 << 20)))
        for _ in range(300):
            await asyncio.sleep(0)
        assert not sending.done()
        assert pair.alice.bytes_sent < flow.WINDOW_BYTES + 10_000
        sending.cancel()


async def test_nothing_is_sent_faster_than_the_link_takes_it():
    async with a_pair(swallow) as pair:
        streams = [await pair.alice.open(RootPut(1)) for _ in range(8)]
        pair.runs[1].cancel()  # from now on nobody takes frames from the link
        pair.links[0]._lose = pair.links[1]._lose = lambda: None  # type: ignore[method-assign]
        sending = [asyncio.ensure_future(one.send_data(bytes(1 << 20))) for one in streams]
        for _ in range(300):
            await asyncio.sleep(0)
        allowed = BUFFERED_BYTES_LOW + session.BATCH_BYTES + frames.FRAME_BYTES_MAX
        assert BUFFERED_BYTES_LOW < pair.links[0].sent_bytes <= allowed
        for task in sending:
            task.cancel()


async def test_a_ninth_request_waits_for_its_turn():
    started: list[Request] = []
    go = asyncio.Event()

    async def slow(remote: MemberId, request: Request, stream: Stream) -> None:
        started.append(request)
        await go.wait()
        await stream.send(SPACE)

    async def ask(one: PeerSession) -> object:
        async with await one.open(SpaceQuery()) as stream:
            await stream.finish()
            return await stream.receive()

    async with a_pair(slow) as pair:
        asking = [asyncio.ensure_future(ask(pair.alice)) for _ in range(20)]
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(started) == session.STREAMS_MAX
        asking[8].cancel()  # one that waits; nobody else loses a turn by it
        go.set()
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert answers.count(SPACE) == 19


async def test_too_many_that_wait_are_told_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(link, "WAITING_MAX", 2)
    async with a_pair(never) as pair:
        for _ in range(session.STREAMS_MAX):
            await pair.alice.open(RootGet())
        waiting = [asyncio.ensure_future(pair.alice.open(RootGet())) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="too many"):
            await pair.alice.open(RootGet())
        await pair.alice.close()
        for one in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(one, Unavailable)


# How a request ends early


async def outcome(awaitable: Awaitable[object]) -> object:
    try:
        return await awaitable
    except Exception as error:
        return type(error), getattr(error, "code", None)


async def test_cancelling_the_user_of_a_stream_resets_it():
    seen: list[object] = []

    async def handler(remote: MemberId, request: Request, stream: Stream) -> None:
        await stream.send(SPACE)
        seen.append(await outcome(stream.receive()))
        seen.append(await outcome(stream.send_data(b"x")))
        await stream.finish()

    async def use(pair: Pair) -> None:
        async with await pair.alice.open(SpaceQuery()) as stream:
            await stream.receive()
            await stream.receive()

    async with a_pair(handler) as pair:
        using = asyncio.ensure_future(use(pair))
        await settled(lambda: pair.bob.open_streams == 1)
        await asyncio.sleep(0)
        using.cancel()
        await settled(lambda: len(seen) == 2)
        assert seen == [(Refusal, "cancelled")] * 2
        await settled(lambda: not pair.alice.open_streams and not pair.bob.open_streams)
        async with await pair.alice.open(SpaceQuery()) as stream:  # the link stays
            assert await stream.receive() == SPACE


async def test_a_handler_that_fails_resets_its_stream_and_its_secrets_are_not_logged(
    caplog: pytest.LogCaptureFixture,
):
    async def handler(remote: MemberId, request: Request, stream: Stream) -> None:
        if isinstance(request, SpaceQuery):
            await stream.send(SPACE)
        else:
            raise KeyError("a secret")

    async with a_pair(handler) as pair:
        with caplog.at_level(logging.DEBUG, "covey"):
            async with await pair.alice.open(RootGet()) as stream:
                assert await outcome(stream.receive()) == (Refusal, "internal")
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        assert "KeyError in handler" in caplog.text
        assert "secret" not in caplog.text
        async with await pair.alice.open(SpaceQuery()) as stream:
            assert await stream.receive() == SPACE


async def test_a_refusal_that_leaves_a_handler_reaches_the_other_side():
    async def handler(remote: MemberId, request: Request, stream: Stream) -> None:
        raise Refusal("full")

    async with a_pair(handler) as pair, await pair.alice.open(RootPut(5)) as stream:
        assert await outcome(stream.receive()) == (Refusal, "full")
        assert await outcome(stream.send_data(b"x")) == (Refusal, "full")
        await stream.finish()


async def test_who_is_refused_while_it_sends_stops_and_can_read_why():
    async def handler(remote: MemberId, request: Request, stream: Stream) -> None:
        await stream.receive()
        await stream.send(Refused("full", "no room"))

    async with a_pair(handler) as pair, await pair.alice.open(RootPut(5)) as stream:
        assert await outcome(stream.send_data(bytes(5 << 20))) == (Refusal, "full")
        assert await stream.receive() == Refused("full", "no room")
        assert await stream.receive() is None


async def test_the_reason_of_a_refusal_reaches_who_is_still_sending():
    async def handler(remote: MemberId, request: Request, stream: Stream) -> None:
        await stream.receive()
        await stream.send(Refused("full", "the disk of this friend is full"))

    async with a_pair(handler) as pair, await pair.alice.open(RootPut(5)) as stream:
        with pytest.raises(Refusal, match="the disk of this friend is full"):
            await stream.send_data(bytes(5 << 20))


async def test_a_stream_number_too_many_is_no_loss_of_a_turn(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(frames, "STREAM_ID_MAX", 1)
    async with a_pair(say_space) as pair:
        async with await pair.alice.open(SpaceQuery()) as stream:
            assert await stream.receive() == SPACE
        for _ in range(2 * session.STREAMS_MAX):
            assert await outcome(pair.alice.open(SpaceQuery())) == (Unavailable, None)


async def test_a_handler_that_cannot_reach_another_friend_ends_only_its_stream():
    async def handler(remote: MemberId, request: Request, stream: Stream) -> None:
        raise Unavailable("of another link")

    async with a_pair(handler) as pair, await pair.alice.open(RootGet()) as stream:
        assert await outcome(stream.receive()) == (Refusal, "internal")
        assert not pair.bob.closed


async def test_a_handler_need_not_finish_nor_read_to_the_end():
    async with a_pair(say_space) as pair:
        stream = await pair.alice.open(SpaceQuery())
        assert await stream.receive() == SPACE
        assert await stream.receive() is None
        await settled(lambda: not pair.alice.open_streams and not pair.bob.open_streams)
        await stream.finish()
        await stream.reset("busy")


async def test_after_a_reset_on_this_side_the_stream_is_gone():
    async with a_pair(never) as pair:
        stream = await pair.alice.open(RootGet())
        await stream.reset("not one of ours")
        assert await outcome(stream.receive()) == (Unavailable, None)
        assert await outcome(stream.send_data(b"x")) == (Unavailable, None)


async def test_handlers_that_outlive_their_streams_are_bounded():
    async with a_pair(never) as pair:
        for _ in range(link.HANDLERS_MAX):
            stream = await pair.alice.open(RootGet())
            await stream.reset("cancelled")
        await settled(lambda: pair.bob.open_streams == link.HANDLERS_MAX)
        async with await pair.alice.open(RootGet()) as stream:
            assert await outcome(stream.receive()) == (Refusal, "busy")


# How a session ends


async def test_when_the_link_breaks_everybody_who_waits_is_told():
    async with a_pair(never) as pair:
        streams = [await pair.alice.open(RootGet()) for _ in range(session.STREAMS_MAX)]
        waiting = [
            asyncio.ensure_future(outcome(one))
            for one in (
                streams[0].receive(),
                streams[1].send_data(bytes(5 << 20)),
                pair.alice.open(RootGet()),
                pair.alice.open(RootGet()),
            )
        ]
        await settled(lambda: pair.bob.open_streams == session.STREAMS_MAX)
        pair.links[1].cut()
        assert await pair.outcomes() == [None, None]
        assert await asyncio.gather(*waiting) == [(Unavailable, None)] * 4
        assert pair.alice.closed
        assert pair.bob.closed
        assert pair.alice.open_streams == pair.bob.open_streams == 0
        assert await outcome(pair.alice.open(RootGet())) == (Unavailable, None)
        assert await outcome(streams[2].receive()) == (Unavailable, None)


async def test_closing_ends_run_and_handlers_on_both_sides():
    ended = asyncio.Event()

    async def handler(remote: MemberId, request: Request, stream: Stream) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with a_pair(handler) as pair:
        await pair.alice.open(RootGet())
        await settled(lambda: pair.bob.open_streams == 1)
        await pair.alice.close()
        assert pair.runs[0].done()
        assert await pair.outcomes() == [None, None]
        assert ended.is_set()
        await pair.alice.close()


async def test_cancelling_run_closes_the_link():
    async with a_pair(never) as pair:
        stream = await pair.alice.open(RootGet())
        await settled(lambda: pair.bob.open_streams == 1)
        pair.runs[0].cancel()
        first, second = await pair.outcomes()
        assert isinstance(first, asyncio.CancelledError)
        assert second is None
        assert pair.links[0].closed
        assert await outcome(stream.receive()) == (Unavailable, None)


async def test_closing_what_never_ran_closes_the_link():
    one, _ = memory_links()
    unused = PeerSession(one, never, initiator=True)
    await unused.close()
    assert unused.closed
    assert one.closed
    await unused.run()


async def test_an_answer_that_arrived_before_the_end_is_still_read():
    async with a_pair(say_space) as pair:
        stream = await pair.alice.open(SpaceQuery())
        await settled(lambda: pair.bob.bytes_sent > 0)
        await pair.links[1].close()
        await pair.outcomes()
        assert await stream.receive() == SPACE


async def test_a_violation_closes_the_link_and_is_what_run_raises():
    async with a_pair(never) as pair:
        stream = await pair.alice.open(RootGet())
        pair.links[0].arrive(b"\x00" * 9)
        first, second = await pair.outcomes()
        assert isinstance(first, ProtocolError)
        assert second is None
        assert await outcome(stream.receive()) == (Unavailable, None)


async def test_a_violation_that_a_handler_finds_closes_the_link():
    async def handler(remote: MemberId, request: Request, stream: Stream) -> None:
        raise ProtocolError("more than was announced")

    async with a_pair(handler) as pair:
        await pair.alice.open(RootGet())
        first, second = await pair.outcomes()
        assert first is None
        assert isinstance(second, ProtocolError)


async def test_a_violation_that_the_asker_finds_closes_the_link():
    async def ask(pair: Pair) -> None:
        async with await pair.alice.open(SpaceQuery()):
            raise ProtocolError("that is no answer")

    async with a_pair(never) as pair:
        with pytest.raises(ProtocolError):
            await ask(pair)
        first, second = await pair.outcomes()
        assert isinstance(first, ProtocolError)
        assert second is None


async def test_a_silent_link_is_closed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(session, "PING_S", 0.005)
    monkeypatch.setattr(session, "SILENT_S_MAX", 0.02)
    async with a_pair(never) as pair:
        stream = await pair.alice.open(RootGet())
        pair.links[1].stall()
        assert await outcome(stream.receive()) == (Unavailable, None)
        assert await pair.outcomes() == [None, None]


async def test_an_idle_link_that_answers_is_kept_and_measured(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(session, "PING_S", 0.002)
    monkeypatch.setattr(session, "SILENT_S_MAX", 1.0)
    async with a_pair(never) as pair:
        before = pair.alice.last_used
        await settled(lambda: pair.alice.rtt_s is not None, pause_s=0.002)
        assert pair.alice.last_used == before  # heartbeats are no use
        assert not pair.alice.closed


class Attacker:
    """Asks and sends and gives up at random, and breaks the rules only now and then."""

    def __init__(self, chance: random.Random) -> None:
        self.chance, self.last_id = chance, 0
        self.open_ids: list[int] = []

    def frame(self) -> bytes:
        chance = self.chance
        if chance.random() < 0.01:
            payload = chance.choice((b"", b"busy", bytes(8), b"\x00\x10\x00\x00"))
            return frames.encode(chance.randrange(10), chance.randrange(9), payload)
        if not self.open_ids or (len(self.open_ids) < 8 and chance.random() < 0.4):
            self.last_id += 2
            self.open_ids.append(self.last_id)
            request = chance.choice((RootGet(), RootPut(100_000), SpaceQuery()))
            return frames.encode(frames.OPEN, self.last_id, encode_message(request))
        stream_id = chance.choice(self.open_ids)
        if chance.random() < 0.5:
            return frames.encode(frames.DATA, stream_id, bytes(chance.choice((1, 9_000))))
        self.open_ids.remove(stream_id)
        return frames.encode_reset(stream_id, "busy")


@pytest.mark.parametrize("seed", range(40))
async def test_a_hostile_member_can_only_end_its_own_link(
    seed: int, caplog: pytest.LogCaptureFixture
):
    async def handler(remote: MemberId, request: Request, stream: Stream) -> None:
        if isinstance(request, RootPut):
            await swallow(remote, request, stream)
        else:
            await stream.send_data(bytes(3 << 20))

    attacker = Attacker(random.Random(seed))
    near, _ = memory_links()
    attacked = PeerSession(near, handler, initiator=True)
    running = asyncio.ensure_future(attacked.run())
    asking = [asyncio.ensure_future(outcome(attacked.open(RootGet()))) for _ in range(20)]
    for _ in range(1000):
        near.arrive(attacker.frame())
        await asyncio.sleep(0)
        assert attacked.open_streams <= 2 * session.STREAMS_MAX + link.HANDLERS_MAX
    await attacked.close()
    [ended] = await asyncio.gather(running, return_exceptions=True)
    assert ended is None or isinstance(ended, ProtocolError)
    await asyncio.gather(*asking)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_frames_that_keep_coming_leave_time_for_others():
    one, other = memory_links()
    flooded = PeerSession(one, never, initiator=True)
    ping = frames.encode(frames.PING, 0, bytes(8))
    for _ in range(1000):
        one.arrive(ping)
    running = asyncio.ensure_future(flooded.run())
    for _ in range(6):
        await asyncio.sleep(0)
    assert 0 < flooded.bytes_received <= 6 * link.FRAMES_AT_ONCE * len(ping)
    await flooded.close()
    await running
    assert other.closed
