"""The limits of all links together: in virtual time, on links in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from datachannel.bandwidth import LEAST_BYTES_PER_S, Limits
from datachannel.errors import Unavailable
from datachannel.link import PeerSession
from datachannel.messages import Continue, Put, Request, Stored
from datachannel.requests import put_share, query_space, receive_body
from datachannel.streams import Stream
from datachannel.throttle import Lane, Throttle
from signaling.messages import MemberId
from tests.support.memory_link import memory_links
from tests.support.sctp_harness import run_virtual

MB = 1_000_000


async def take(remote: MemberId, request: Request, stream: Stream) -> None:
    if isinstance(request, Put):
        await stream.send(Continue(0))
        async for _ in receive_body(stream, request.length):
            pass
        await stream.send(Stored())
    else:
        await stream.reset("not_found")


async def zeros(offset: int, size: int) -> bytes:
    return bytes(size)


async def put(session: PeerSession, size: int) -> float:
    """How long it took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await put_share(session, b"n" * 32, b"", size, zeros)
    return loop.time() - began


@asynccontextmanager
async def pair(ours: Throttle, theirs: Throttle | None = None) -> AsyncIterator[PeerSession]:
    """Our session to a friend, who takes all."""
    ends = memory_links()
    ours_, theirs_ = (
        PeerSession(end, take, initiator=first, throttle=throttle)
        for end, first, throttle in zip(ends, (True, False), (ours, theirs), strict=True)
    )
    running = [asyncio.create_task(one.run()) for one in (ours_, theirs_)]
    try:
        yield ours_
    finally:
        await ours_.close()
        await asyncio.gather(*running)


def run(main: Callable[[], Awaitable[None]]) -> None:
    run_virtual(main())  # type: ignore[arg-type]


def test_all_links_together_keep_to_the_upload_limit():
    async def main() -> None:
        throttle = Throttle(Limits(up_bytes_per_s=MB))
        async with pair(throttle) as one, pair(throttle) as other:
            took = await asyncio.gather(put(one, 5 * MB), put(other, 5 * MB))
        assert 9.5 < max(took) < 10.5
        assert min(took) > 9.0  # in turns

    run(main)


def test_what_comes_keeps_to_the_download_limit():
    async def main() -> None:
        theirs = Throttle(Limits(down_bytes_per_s=MB))
        async with pair(Throttle(), theirs) as session:
            assert 9.5 < await put(session, 10 * MB) < 10.5

    run(main)


def test_a_limit_that_is_changed_holds_at_once():
    async def main() -> None:
        throttle = Throttle(Limits(up_bytes_per_s=10_000))
        async with pair(throttle) as session:
            sending = asyncio.create_task(put(session, MB))
            await asyncio.sleep(20)
            throttle.limits = Limits()
            assert await sending < 21

    run(main)


def test_a_link_lives_and_answers_below_the_lowest_limit():
    async def main() -> None:
        throttle = Throttle(Limits(up_bytes_per_s=500, down_bytes_per_s=500))
        async with pair(throttle, throttle) as session:
            sending = asyncio.create_task(put(session, MB))
            await asyncio.sleep(300)
            assert not session.closed
            async with asyncio.timeout(1):
                with pytest.raises(Exception, match="not_found"):
                    await query_space(session)
            sending.cancel()

    run(main)


def test_who_waits_for_a_limit_hears_that_the_link_is_gone():
    async def main() -> None:
        throttle = Throttle(Limits(up_bytes_per_s=1_000))
        async with pair(throttle) as session:
            sending = asyncio.create_task(put(session, MB))
            await asyncio.sleep(10)
            await session.close()
            with pytest.raises(Unavailable):
                async with asyncio.timeout(200):
                    await sending

    run(main)


class Slow:
    """A session in name, with a round trip that a test sets."""

    def __init__(self, rtt_s: float) -> None:
        self.rtt_s = rtt_s

    def probe(self) -> None:
        pass

    def take_rtt(self, now: float) -> float | None:
        return self.rtt_s


@asynccontextmanager
async def spared(throttle: Throttle) -> AsyncIterator[None]:
    running = asyncio.create_task(throttle.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_spare_yields_when_round_trips_rise_unless_the_person_waits():
    async def main() -> None:
        throttle = Throttle(Limits(spare=True))
        far = Slow(0.05)
        lane = throttle.lane(far)

        async def keep_sending() -> None:
            while True:
                await lane.up(20_000)
                await asyncio.sleep(0.001)

        async with spared(throttle):
            sending = asyncio.create_task(keep_sending())
            await asyncio.sleep(10)
            before = throttle.rates[0]
            far.rtt_s = 0.5
            await asyncio.sleep(20)
            assert before is not None
            assert before > 1 * MB
            assert throttle.rates[0] == LEAST_BYTES_PER_S
            with throttle.hurry():
                assert throttle.rates == (None, None)
            assert throttle.rates[0] == LEAST_BYTES_PER_S
            sending.cancel()

    run(main)


def test_what_was_found_while_the_line_died_does_not_hold_back_the_next_link():
    async def main() -> None:
        throttle = Throttle(Limits(spare=True))

        async def keep_sending(lane: Lane) -> None:
            while True:
                await lane.up(20_000)
                await asyncio.sleep(0.001)

        async def sent_for(seconds: float) -> None:
            sending = asyncio.create_task(keep_sending(lane))
            await asyncio.sleep(seconds)
            sending.cancel()

        async with spared(throttle):
            far = Slow(0.05)
            lane = throttle.lane(far)
            await sent_for(10)
            far.rtt_s = 20.0  # nothing comes back any more
            await sent_for(20)
            assert throttle.rates[0] == LEAST_BYTES_PER_S
            lane.close()
            lane = throttle.lane(Slow(0.05))
            await sent_for(5)
            assert (throttle.rates[0] or 0.0) > 1 * MB

    run(main)


def test_a_friend_in_the_same_house_is_served_at_full_speed():
    async def main() -> None:
        throttle = Throttle(Limits(spare=True))
        lane = throttle.lane(Slow(0.05), near=True)
        async with spared(throttle):
            await lane.up(1)
            await asyncio.sleep(1)
            began = asyncio.get_running_loop().time()
            for _ in range(1000):
                await lane.up(60_000)
            assert asyncio.get_running_loop().time() == began

    run(main)


def test_a_queue_that_only_one_friend_has_is_not_that_of_our_line():
    async def main() -> None:
        throttle = Throttle(Limits(spare=True))
        slow = Slow(0.05)
        lanes = [throttle.lane(slow), throttle.lane(Slow(0.05))]
        async with spared(throttle):
            for _ in range(200):
                for lane in lanes:
                    await lane.up(60_000)
            before = throttle.rates[0]
            slow.rtt_s = 3.0
            for _ in range(200):
                for lane in lanes:
                    await lane.up(60_000)
        assert before is not None
        assert (throttle.rates[0] or 0.0) >= before

    run(main)


def test_nothing_is_measured_while_nothing_moves():
    async def main() -> None:
        asked = []
        throttle = Throttle(Limits(spare=True), lambda: (asked.append(1), (0, 0))[1])
        async with spared(throttle):
            await throttle.lane(Slow(0.05)).up(1)
            await asyncio.sleep(3600)
        assert len(asked) == 2

    run(main)


def test_a_session_that_ended_has_no_lane():
    async def main() -> None:
        throttle = Throttle()
        async with pair(throttle) as session:
            await put(session, MB)
            assert len(throttle.lanes) == 1
        assert not throttle.lanes

    run(main)
