"""Ranges of packs: from the plain slices or any k shares, verified, and no more than needed."""

from __future__ import annotations

import asyncio
import itertools
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chunking.erasure import payload_length_of
from chunking.formats import BLOCK_BYTES, FormatError
from netsim.world.clock import run_at_once
from peer.restore.fetch import PackUnavailable
from peer.restore.messages import range_file
from peer.restore.ranges import columns_of, cut, slices_of
from tests.support.slow_friends import Pack, World, a_pack, slow_friends

CHANCE = random.Random(5)
DATA = CHANCE.randbytes(9 * BLOCK_BYTES)


@st.composite
def ranges(draw) -> tuple[int, int, int, int]:
    """(needed, pack length, offset, length)"""
    needed = draw(st.integers(1, 5))
    pack_length = draw(st.integers(1, len(DATA)))
    offset = draw(st.integers(0, pack_length - 1))
    return needed, pack_length, offset, draw(st.integers(1, pack_length - offset))


async def fetch(world: World, offset: int, length: int) -> bytes:
    await world.fetcher.fetch_range(world.packs[0], 0, offset, length)
    path = world.scratch / range_file(0, offset, length)
    data = path.read_bytes()
    path.unlink()
    assert list(world.scratch.iterdir()) == []
    return data


def expected_bytes(pack: Pack, offset: int, length: int, there: set[int]) -> int | None:
    """What must be fetched; None when the range cannot be had."""
    size = 0
    for column in columns_of(offset, length, pack.needed, pack.length):
        parts = len(column.wanted) if column.wanted <= there else pack.needed
        if parts > len(there):
            return None
        size += parts * column.size
    return size


@given(ranges())
def test_columns_are_whole_blocks_around_the_range_and_no_more(given_range):
    needed, pack_length, offset, length = given_range
    columns = columns_of(offset, length, needed, pack_length)
    size = payload_length_of(pack_length, needed)
    for column in columns:
        end = column.first * BLOCK_BYTES + column.size
        assert end == min((column.first + column.count) * BLOCK_BYTES, size)
    slices = [number for column in columns for number in column.wanted]
    assert sorted(slices) == list(range(offset // size, (offset + length - 1) // size + 1))
    fetched = sum(column.size * len(column.wanted) for column in columns)
    assert length <= fetched + pack_length % size  # the last slice may be filled up
    assert fetched < length + 2 * BLOCK_BYTES * len(slices)


@given(ranges(), st.randoms(use_true_random=False))
def test_any_k_shares_give_any_range(given_range, chance):
    needed, pack_length, offset, length = given_range
    pack = a_pack(DATA[:pack_length], needed, needed + 2)
    slices: dict[int, bytes] = {}
    for column in columns_of(offset, length, needed, pack_length):
        begin = column.first * BLOCK_BYTES
        there = chance.sample(range(needed + 2), needed)
        parts = {n: pack.made[n].payload[begin : begin + column.size] for n in there}
        slices |= slices_of(column, parts, needed)
    assert cut(offset, length, needed, pack_length, slices) == pack.data[offset : offset + length]


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, 101), (100, 1), (50, 51)])
def test_a_range_outside_of_its_pack_is_refused(offset, length):
    with pytest.raises(FormatError):
        columns_of(offset, length, 2, 100)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ranges(), st.data())
def test_a_range_comes_with_the_fewest_bytes_from_whoever_is_there(tmp_path, given_range, data):
    needed, pack_length, offset, length = given_range
    total = data.draw(st.integers(needed, 7))
    there = data.draw(st.sets(st.integers(0, total - 1)))
    pack = a_pack(DATA[:pack_length], needed, total)

    async def play() -> None:
        async with slow_friends(tmp_path, [pack], total) as world:
            for number, friend in enumerate(world.friends.all):
                friend.online = number in there
            expected = expected_bytes(pack, offset, length, there)
            if expected is None:
                with pytest.raises(PackUnavailable):
                    await fetch(world, offset, length)
            else:
                assert await fetch(world, offset, length) == pack.data[offset : offset + length]
                assert world.fetcher.fetched_bytes == expected
                assert sum(world.fetcher.sources.values()) >= 1

    run_at_once(play())


def test_every_set_of_missing_holders_is_worked_around_as_far_as_k_are_there(tmp_path):
    pack = a_pack(DATA, 3, 5)
    offset, length = payload_length_of(len(DATA), 3) - 100, 1000  # across the first two slices

    async def play(there: tuple[int, ...]) -> None:
        async with slow_friends(tmp_path, [pack], 5) as world:
            for number, friend in enumerate(world.friends.all):
                if number not in there:
                    friend.shares.clear()  # online, and lost what it had
            if {0, 1} <= set(there) or len(there) >= 3:
                assert await fetch(world, offset, length) == DATA[offset : offset + length]
            else:
                with pytest.raises(PackUnavailable, match="of the 3 shares"):
                    await fetch(world, offset, length)

    for count in range(6):
        for there in itertools.combinations(range(5), count):
            run_at_once(play(there))


def flip(data: bytes) -> bytes:
    return data[:100] + bytes([data[100] ^ 1]) + data[101:]


LIES = {
    "wrong bytes": lambda friend: setattr(friend, "spoil", flip),
    "too few bytes": lambda friend: setattr(friend, "spoil", lambda data: data[:-1]),
    "too many bytes": lambda friend: setattr(friend, "spoil", lambda data: data + b"x"),
    "nothing": lambda friend: setattr(friend, "spoil", lambda data: b""),
    "other blocks' proof": lambda friend: setattr(friend, "spoil_proof", lambda p: p[::-1]),
    "no proof": lambda friend: setattr(friend, "spoil_proof", lambda p: ()),
    "a longer proof": lambda friend: setattr(friend, "spoil_proof", lambda p: (*p, b"h" * 32)),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_about_a_range_is_found_out_named_and_others_are_asked(tmp_path, lie, caplog):
    pack = a_pack(DATA, 2, 4)

    async def play() -> None:
        async with slow_friends(tmp_path, [pack], 4) as world:
            LIES[lie](world.friends.all[0])
            assert await fetch(world, BLOCK_BYTES + 5, 3000) == DATA[BLOCK_BYTES + 5 :][:3000]
            assert "friend 0" in caplog.text
            assert "wrong share" in caplog.text
            # From then on the liar comes last: only where nobody else has enough.
            asked = world.friends.all[0].gets
            assert await fetch(world, 2 * BLOCK_BYTES, 3000) == DATA[2 * BLOCK_BYTES :][:3000]
            assert world.friends.all[0].gets == asked

    run_at_once(play())


def test_a_share_of_another_pack_is_no_answer(tmp_path):
    packs = [a_pack(DATA, 2, 3, 1), a_pack(DATA[::-1], 2, 3, 2)]

    async def play() -> None:
        async with slow_friends(tmp_path, packs, 3) as world:
            liar = world.friends.all[0]
            liar.shares[packs[0].shares[0]] = packs[1].made[0]
            assert await fetch(world, 0, 1000) == DATA[:1000]

    run_at_once(play())


def test_many_ranges_at_once_look_their_pack_up_once(tmp_path):
    pack = a_pack(DATA, 3, 5)

    async def play() -> None:
        async with slow_friends(tmp_path, [pack], 5) as world:
            begins = [number * 2500 for number in range(200)]
            await asyncio.gather(
                *(world.fetcher.fetch_range(pack, 0, begin, 400) for begin in begins)
            )
            for begin in begins:
                path = world.scratch / range_file(0, begin, 400)
                assert path.read_bytes() == DATA[begin : begin + 400]
            assert set(world.looked_up) == {0}

    run_at_once(play())


def test_a_range_comes_together_from_friends_who_are_never_there_together(tmp_path: Path):
    pack = a_pack(DATA, 3, 5)

    async def play() -> None:
        async with slow_friends(tmp_path, [pack], 5) as world:
            for friend in world.friends.all:
                friend.online = False
            for number in (4, 3):
                world.friends.all[number].online = True
                with pytest.raises(PackUnavailable):
                    await fetch(world, 10, 1000)
                world.friends.all[number].leave()
            world.friends.all[2].online = True
            assert await fetch(world, 10, 1000) == DATA[10:1010]
            assert world.fetcher.fetched_bytes == 3 * BLOCK_BYTES

    run_at_once(play())
