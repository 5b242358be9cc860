"""The SCTP of the links: faults that aiortc has and these classes do not."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import deque
from collections.abc import Iterator

import pytest
from aiortc.rtcsctptransport import (
    USERDATA_MAX_LENGTH,
    Chunk,
    DataChunk,
    ForwardTsnChunk,
    InitChunk,
    SackChunk,
    serialize_packet,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from datachannel import aiortc_fixes_receive as receive
from datachannel.aiortc_fixes_send import QuickSctp
from tests.support.sctp_chunks import WRAP, data_chunk, numbered, packet_to, sack, tsns_of
from tests.support.sctp_harness import ONE_WAY_S, Two, run_virtual


def lose_first_copy_of(lost: set[int]):
    def fate(data, chunks):
        for tsn in tsns_of(chunks):
            if tsn in lost:
                lost.discard(tsn)
                return []
        return [ONE_WAY_S]

    return fate


@pytest.mark.parametrize("first_tsn", [1000, WRAP - 30, WRAP - 29, WRAP - 28, WRAP - 1])
def test_one_loss_is_repaired_before_at_and_after_the_wrap_of_tsns(first_tsn):
    async def main():
        async with Two(QuickSctp, first_tsn) as two:
            two.left_pipe.fate = lose_first_copy_of({(first_tsn + 28) % WRAP})
            messages = numbered(400)
            for message in messages:
                two.left_channel.send(message)
            await two.until(lambda: len(two.received) == 400)
            assert two.received == messages
            assert two.right_pipe.errors == []

    run_virtual(main())


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_messages_arrive_once_and_in_order_whatever_the_network_does(data):
    first_tsn = data.draw(st.sampled_from([7, WRAP - 1, WRAP - 40, WRAP // 2 - 20, WRAP // 2]))
    sizes = data.draw(st.lists(st.sampled_from([1, 900, 1160, 1161, 20_000, 65_536]), max_size=12))
    fates = data.draw(
        st.lists(
            st.sampled_from([[], [], [0.01], [0.01], [0.01], [0.05], [0.01, 0.04], [0.3]]),
            max_size=120,
        )
    )

    async def main():
        async with Two(QuickSctp, first_tsn) as two:
            left, right = iter(fates[::2]), iter(fates[1::2])
            two.left_pipe.fate = lambda *_: next(left, [ONE_WAY_S])
            two.right_pipe.fate = lambda *_: next(right, [ONE_WAY_S])
            messages = [bytes([number]) * size for number, size in enumerate(sizes)]
            for message in messages:
                two.left_channel.send(message)
            await two.until(lambda: len(two.received) >= len(messages), timeout_s=600)
            await asyncio.sleep(30)
            assert two.received == messages
            assert two.left_channel.bufferedAmount == 0
            assert not two.left._sent_queue
            assert two.left._flight_size == 0
            assert two.left._t3_handle is None
            assert two.left_pipe.errors == two.right_pipe.errors == []

    run_virtual(main())


def test_a_lost_chunk_is_retransmitted_fast_once_and_then_by_the_timer():
    async def main():
        async with Two(QuickSctp, 100) as two:
            two.left._cwnd = two.left._ssthresh = 200 * USERDATA_MAX_LENGTH
            lost_copies = 2  # the first, and the fast retransmission
            sent_at = []

            def fate(data, chunks):
                nonlocal lost_copies
                if 100 in tsns_of(chunks):
                    sent_at.append(asyncio.get_running_loop().time())
                    lost_copies -= 1
                    return [] if lost_copies >= 0 else [ONE_WAY_S]
                return [ONE_WAY_S]

            two.left_pipe.fate = fate
            messages = numbered(600)
            for message in messages:
                two.left_channel.send(message)
            await two.until(lambda: len(two.received) == 600)
            assert len(sent_at) == 3
            assert sent_at[1] - sent_at[0] < 0.1
            assert sent_at[2] - sent_at[1] > 0.2

    run_virtual(main())


def test_the_sent_queue_is_not_walked_while_nothing_is_lost():
    walks = 0

    class Counting(deque[DataChunk]):
        def __iter__(self) -> Iterator[DataChunk]:
            nonlocal walks
            walks += 1
            return super().__iter__()

    async def main():
        async with Two(QuickSctp) as two:
            two.left._sent_queue = Counting()
            for message in numbered(300):
                two.left_channel.send(message)
            await two.until(lambda: len(two.received) == 300)

    run_virtual(main())
    assert walks == 0


def test_every_second_packet_is_acknowledged_and_a_single_one_after_20_ms():
    async def main():
        async with Two(QuickSctp) as two:
            two.right_pipe.sent.clear()
            for message in numbered(300):
                two.left_channel.send(message)
            await two.until(lambda: len(two.received) == 300)
            sacks = [chunk for chunk in two.right_pipe.sent if isinstance(chunk, SackChunk)]
            assert 140 <= len(sacks) <= 170
            await asyncio.sleep(1)

            two.right_pipe.sent.clear()
            started = asyncio.get_running_loop().time()
            two.left_channel.send(b"one")
            await two.until(lambda: bool(two.left._sent_queue))
            await two.until(lambda: not two.left._sent_queue)
            took = asyncio.get_running_loop().time() - started
            assert took == pytest.approx(2 * ONE_WAY_S + receive.SACK_DELAY_S, abs=0.01)

    run_virtual(main())


def test_a_gap_is_reported_at_once_and_so_is_its_end():
    async def main():
        async with Two(QuickSctp, 500) as two:
            two.right_pipe.sent.clear()
            for tsn in (501, 502, 500):
                two.left_pipe.peer.arrive(packet_to(two, data_chunk(tsn)))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            sacks = [chunk for chunk in two.right_pipe.sent if isinstance(chunk, SackChunk)]
            assert [(sack.cumulative_tsn, sack.gaps) for sack in sacks] == [
                (499, [(2, 2)]),
                (499, [(2, 3)]),
                (502, []),
            ]

    run_virtual(main())


def test_the_timer_backs_off_and_recovers():
    async def main():
        async with Two(QuickSctp) as two:
            two.left_channel.send(b"warm up")
            await two.until(lambda: len(two.received) == 1)
            await asyncio.sleep(1)
            times = []

            def blackhole(data, chunks):
                if tsns_of(chunks):
                    times.append(asyncio.get_running_loop().time())
                return []

            two.left_pipe.fate = blackhole
            two.left_channel.send(b"lost")
            await asyncio.sleep(8)
            waits = [after - before for before, after in itertools.pairwise(times)]
            assert waits[0] == pytest.approx(0.3, abs=0.05)
            assert all(1.9 < b / a < 2.1 for a, b in itertools.pairwise(waits))

            two.left_pipe.fate = lose_first_copy_of(set())
            await two.until(lambda: len(two.received) == 2)
            await asyncio.sleep(1)
            assert two.left._rto == pytest.approx(0.3, abs=0.05)

    run_virtual(main())


async def throw(two: Two, *chunks: Chunk) -> None:
    for chunk in chunks:
        await two.right._handle_data(packet_to(two, chunk))


def forward_tsn() -> ForwardTsnChunk:
    chunk = ForwardTsnChunk()
    chunk.cumulative_tsn = 600
    return chunk


def text_chunk(tsn: int) -> DataChunk:
    chunk = data_chunk(tsn)
    chunk.protocol = 51
    return chunk


VIOLATIONS = {
    "a channel opened on another stream": lambda _: [data_chunk(500, stream=1)],
    "unordered data": lambda _: [data_chunk(500, flags=7)],
    "text": lambda _: [text_chunk(500)],
    "a middle without a start": lambda _: [data_chunk(500, flags=0)],
    "a start within a message": lambda _: [data_chunk(500, flags=2), data_chunk(501, flags=2)],
    "an empty chunk": lambda _: [data_chunk(500, payload=b"")],
    "a forward TSN": lambda _: [forward_tsn()],
    "an acknowledgement of what was never sent": lambda two: [sack(two.right._local_tsn)],
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_ends_the_association_and_raises_nothing(name):
    async def main():
        async with Two(QuickSctp, 500) as two:
            await throw(two, *VIOLATIONS[name](two))
            assert two.right.state == "closed"
            assert two.right_channel.readyState == "closed"
            await two.until(lambda: two.left_channel.readyState == "closed")
            await throw(two, data_chunk(500), sack(7))  # and what follows is ignored

    run_virtual(main())


@settings(max_examples=80, deadline=None)
@given(body=st.binary(max_size=60), kind=st.integers(0, 255), flags=st.integers(0, 255))
def test_no_packet_of_a_peer_raises_into_the_loop(body, kind, flags):
    async def main():
        async with Two(QuickSctp, 500) as two:
            await two.right._handle_data(body)
            head = kind.to_bytes(1, "big") + flags.to_bytes(1, "big")
            raw = head + (len(body) + 4).to_bytes(2, "big") + body

            class Raw(Chunk):
                def __bytes__(self) -> bytes:
                    return raw

            await throw(two, Raw())
            await asyncio.sleep(70)

    run_virtual(main())


def test_a_message_without_an_end_is_cut_off():
    async def main():
        async with Two(QuickSctp, 500) as two:
            piece = b"x" * 1160
            await throw(two, data_chunk(500, flags=2, payload=piece))
            for tsn in range(501, 800):
                await throw(two, data_chunk(tsn, flags=0, payload=piece))
                assert two.right._fragments_bytes <= receive.MESSAGE_BYTES_MAX + len(piece)
            assert two.right.state == "closed"
            assert two.received == []

    run_virtual(main())


def test_data_out_of_order_is_held_within_a_bound_and_acknowledged_within_a_packet(monkeypatch):
    monkeypatch.setattr(receive, "HELD_BYTES_MAX", 200_000)

    async def main():
        async with Two(QuickSctp, 500) as two:
            for tsn in range(502, 502 + 2 * 2000, 2):
                await throw(two, data_chunk(tsn, payload=b"x" * 1000))
            assert two.right._early_bytes == 200_000
            await asyncio.sleep(0)
            last = [chunk for chunk in two.right_pipe.sent if isinstance(chunk, SackChunk)][-1]
            assert len(bytes(last)) < 1189
            assert two.right.state == "connected"
            await throw(two, data_chunk(500 + receive.TSNS_AHEAD_MAX + 2))
            assert two.right._early_bytes == 200_000

    run_virtual(main())


def test_a_late_duplicate_of_an_init_changes_nothing():
    async def main():
        async with Two(QuickSctp, 500) as two:
            two.left_channel.send(b"before")
            await two.until(lambda: two.received == [b"before"])
            init = InitChunk()
            init.initiate_tag = two.left._local_verification_tag
            init.advertised_rwnd, init.outbound_streams, init.inbound_streams = 1 << 20, 1, 1
            init.initial_tsn = 500
            await two.right._handle_data(serialize_packet(5000, 5000, 0, init))
            two.left_channel.send(b"after")
            await two.until(lambda: two.received == [b"before", b"after"])

    run_virtual(main())


@pytest.mark.parametrize("gaps", [[(5, 2)], [(0, 1)], [(2, 4), (3, 5)], [(1, 65535)]])
def test_senseless_gap_blocks_are_ignored(gaps):
    async def main():
        async with Two(QuickSctp) as two:
            two.right_pipe.peer.arrive(
                serialize_packet(
                    5000,
                    5000,
                    two.left._local_verification_tag,
                    sack(two.left._last_sacked_tsn, gaps),
                )
            )
            messages = numbered(50)
            for message in messages:
                two.left_channel.send(message)
            await two.until(lambda: two.received == messages)

    run_virtual(main())


def test_the_window_grows_to_its_maximum_and_no_further():
    async def main():
        async with Two(QuickSctp) as two:
            two.left._cwnd = two.left._ssthresh = 4 * 1024 * 1024
            for _ in range(200):
                two.left_channel.send(os.urandom(60_000))
            await two.until(lambda: len(two.received) == 200)
            assert two.left._cwnd <= 4 * 1024 * 1024 + 2 * USERDATA_MAX_LENGTH

    run_virtual(main())


def test_a_handler_that_fails_does_not_end_the_association():
    async def main():
        async with Two(QuickSctp) as two:
            failures = []
            two.right_channel.on("error", failures.append)

            def fail(message):
                raise ZeroDivisionError

            two.right_channel.on("message", fail)
            two.left_channel.send(b"one")
            two.left_channel.send(b"two")
            await two.until(lambda: two.received == [b"one", b"two"])
            assert two.right.state == "connected"
            assert len(failures) == 2

    run_virtual(main())
