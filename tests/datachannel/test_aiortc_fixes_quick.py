"""The quick way of SCTP: windows, batches, and that it does the same as the general way."""

from __future__ import annotations

import asyncio

from aiortc.rtcsctptransport import USERDATA_MAX_LENGTH, Chunk, SackChunk
from hypothesis import given, settings
from hypothesis import strategies as st

from datachannel import aiortc_fixes_receive as receive
from datachannel.aiortc_fixes_send import QuickSctp
from tests.support.sctp_chunks import data_chunk, numbered, packet_to, sack, tsns_of
from tests.support.sctp_harness import ONE_WAY_S, Two, run_virtual


def test_no_more_is_in_flight_than_the_peer_has_room_for():
    async def main():
        async with Two(QuickSctp) as two:
            two.left_channel.send(b"warm up")
            two.right._advertised_rwnd = 20_000
            await two.until(lambda: len(two.received) == 1)
            most = 0

            def watch(data, chunks):
                nonlocal most
                most = max(most, two.left._flight_size)
                return [ONE_WAY_S]

            await asyncio.sleep(1)
            two.left_pipe.fate = watch
            for message in numbered(200):
                two.left_channel.send(message)
            await two.until(lambda: len(two.received) == 201)
            assert 15_000 < most < 20_000 + USERDATA_MAX_LENGTH

    run_virtual(main())


def test_a_peer_without_room_is_asked_with_one_packet():
    async def main():
        async with Two(QuickSctp) as two:
            two.right._advertised_rwnd = 0
            for message in numbered(20):
                two.left_channel.send(message)
            await two.until(lambda: len(two.received) == 20)

    run_virtual(main())


def test_it_begins_with_ten_packets():
    async def main():
        async with Two(QuickSctp) as two:
            two.left_pipe.sent.clear()
            two.left._sacks = 100  # no burst limit
            two.left_channel.send(bytes(60_000))
            await asyncio.sleep(ONE_WAY_S)
            assert len(tsns_of(two.left_pipe.sent)) == 10

    run_virtual(main())


def test_a_crowd_of_packets_behind_a_gap_leads_to_few_reports_and_the_last_is_complete():
    async def main():
        async with Two(QuickSctp, 500) as two:
            two.right_pipe.sent.clear()
            for tsn in range(501, 561):
                two.right.take_packet(packet_to(two, data_chunk(tsn)))
            await asyncio.sleep(0)
            sacks = [chunk for chunk in two.right_pipe.sent if isinstance(chunk, SackChunk)]
            assert 3 <= len(sacks) <= receive.GAP_SACKS_MAX
            assert (sacks[-1].cumulative_tsn, sacks[-1].gaps) == (499, [(2, 61)])

    run_virtual(main())


@settings(max_examples=80, deadline=None)
@given(
    parts=st.lists(
        st.tuples(
            st.sampled_from([0, 0, 3, 3, 1, 7, 200]), st.integers(0, 7), st.binary(max_size=40)
        ),
        max_size=4,
    ),
    tail=st.binary(max_size=6),
)
def test_no_packet_that_is_taken_raises_into_the_loop(parts, tail):
    async def main():
        async with Two(QuickSctp, 500) as two:

            class Raw(Chunk):
                def __bytes__(self) -> bytes:
                    raw = b""
                    for kind, flags, body in parts:
                        raw += bytes((kind, flags)) + (len(body) + 4).to_bytes(2, "big") + body
                        raw += bytes(-len(body) % 4)
                    return raw + tail

            two.right.take_packet(packet_to(two, Raw()))
            await asyncio.sleep(15)

    run_virtual(main())


CHUNKS = st.one_of(
    st.tuples(st.just("data"), st.integers(495, 520), st.sampled_from([0, 1, 2, 3])),
    st.tuples(
        st.just("sack"), st.integers(495, 505), st.sampled_from([(), ((2, 2),), ((2, 3), (5, 9))])
    ),
)


@settings(max_examples=60, deadline=None)
@given(packets=st.lists(st.lists(CHUNKS, min_size=1, max_size=3), max_size=12))
def test_the_quick_way_and_the_general_one_lead_to_the_same(packets):
    def chunk_of(two, kind, number, detail):
        if kind == "data":
            return data_chunk(number, flags=detail)
        return sack(two.right._last_sacked_tsn + number - 500, detail)

    async def outcome(quick):
        async with Two(QuickSctp, 500) as two:
            for chunks in packets:

                class Raw(Chunk):
                    def __bytes__(self, chunks=chunks) -> bytes:
                        return b"".join(bytes(chunk_of(two, *one)) for one in chunks)

                packet = packet_to(two, Raw())
                if quick:
                    two.right.take_packet(packet)
                else:
                    await two.right._handle_data(packet)
                await asyncio.sleep(0.1)
            state = (two.right.state, two.right._last_received_tsn, sorted(two.right._early))
            return two.received, state if state[0] == "connected" else state[0]

    assert run_virtual(outcome(True)) == run_virtual(outcome(False))
