"""What every Link does, as tests. A subclass says how to get the two ends of one.

class TestMyLink(LinkContract):
    @asynccontextmanager
    async def pair(self):
        yield alices_end, bobs_end
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest

from datachannel.link import Link, LinkClosed

WAIT_S_MAX = 10.0
FRAME_BYTES_MAX = 64 * 1024


class LinkContract:
    def pair(self) -> AbstractAsyncContextManager[tuple[Link, Link]]:
        raise AssertionError("say how to make a link")

    async def test_frames_arrive_in_order_whole_and_once(self):
        sent = [bytes([number]) * size for number, size in enumerate((1, 5, 1200, 60_000, 2, 65))]
        async with self.pair() as (one, other), asyncio.timeout(WAIT_S_MAX):
            for frame in sent:
                one.send(frame)
            assert [await other.receive() for _ in sent] == sent

    async def test_both_directions_are_independent(self):
        async with self.pair() as (one, other), asyncio.timeout(WAIT_S_MAX):
            one.send(b"from one")
            other.send(b"from other")
            assert await one.receive() == b"from other"
            assert await other.receive() == b"from one"

    async def test_the_largest_frame_passes(self):
        frame = bytes(range(256)) * (FRAME_BYTES_MAX // 256)
        async with self.pair() as (one, other), asyncio.timeout(WAIT_S_MAX):
            one.send(frame)
            assert await other.receive() == frame

    @pytest.mark.parametrize("size", [0, FRAME_BYTES_MAX + 1])
    async def test_a_frame_of_a_wrong_size_is_refused_and_does_no_harm(self, size: int):
        async with self.pair() as (one, other), asyncio.timeout(WAIT_S_MAX):
            with pytest.raises(ValueError, match="frame"):
                one.send(bytes(size))
            one.send(b"still here")
            assert await other.receive() == b"still here"

    async def test_drained_waits_until_the_other_end_takes_frames(self):
        frame, count = bytes(60_000), 40
        async with self.pair() as (one, other), asyncio.timeout(WAIT_S_MAX):
            for _ in range(count):
                one.send(frame)
            waiting = asyncio.ensure_future(one.drained())
            await asyncio.sleep(0)
            assert not waiting.done()
            for _ in range(count):
                await other.receive()
            await waiting

    async def test_drained_returns_at_once_when_nothing_is_queued(self):
        async with self.pair() as (one, _), asyncio.timeout(WAIT_S_MAX):
            await one.drained()

    async def test_after_closing_nothing_works_at_this_end(self):
        async with self.pair() as (one, _), asyncio.timeout(WAIT_S_MAX):
            await one.close()
            with pytest.raises(LinkClosed):
                one.send(b"x")
            with pytest.raises(LinkClosed):
                await one.receive()
            with pytest.raises(LinkClosed):
                await one.drained()

    async def test_closing_one_end_closes_the_other(self):
        async with self.pair() as (one, other), asyncio.timeout(WAIT_S_MAX):
            await one.close()
            with pytest.raises(LinkClosed):
                await other.receive()
            with pytest.raises(LinkClosed):
                other.send(b"x")

    async def test_who_waits_is_told_of_the_end(self):
        async with self.pair() as (one, other), asyncio.timeout(WAIT_S_MAX):
            for _ in range(40):
                one.send(bytes(60_000))
            waiting = [asyncio.ensure_future(one.receive()), asyncio.ensure_future(one.drained())]
            await asyncio.sleep(0)
            await other.close()
            results = await asyncio.gather(*waiting, return_exceptions=True)
            assert [type(result) for result in results] == [LinkClosed, LinkClosed]

    async def test_closing_twice_does_no_harm(self):
        async with self.pair() as (one, other), asyncio.timeout(WAIT_S_MAX):
            await asyncio.gather(one.close(), one.close(), other.close())
            await one.close()

    async def test_a_cancelled_receive_loses_no_frame(self):
        async with self.pair() as (one, other), asyncio.timeout(WAIT_S_MAX):
            waiting = asyncio.ensure_future(other.receive())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            one.send(b"kept")
            assert await other.receive() == b"kept"

    async def test_it_says_which_engine_it_is_and_who_is_there(self):
        async with self.pair() as (one, other):
            assert other.engine
            assert one.engine
            assert len(one.remote) == len(other.remote) == 32
