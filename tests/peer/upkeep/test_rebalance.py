"""Rebalancing: little moves, nothing is lost on the way, and it comes to rest."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.trees import compare_trees
from chunking.formats import PACK_DATA, PackId, ShareName
from datachannel.errors import Refusal
from datachannel.messages import Put
from peer.catalog import PackRow
from peer.upkeep.rebalance import (
    NIGHT_BYTES,
    Level,
    Move,
    Plan,
    Rebalanced,
    band_of,
    is_even,
    rebalance,
)
from signaling.messages import MemberId
from tests.support.small_group import SmallGroup, small_group

FRIENDS = [MemberId(bytes([number]) * 32) for number in range(9)]
SHARE = 500
Placed = list[tuple[PackRow, Mapping[int, MemberId]]]


def packs_at(holders: list[list[MemberId]]) -> Placed:
    """Packs of which any 2 shares are enough, each SHARE bytes."""
    made: Placed = []
    for number, some in enumerate(holders):
        names = tuple(ShareName(bytes([place]) * 32) for place in range(len(some)))
        ident = PackId(number.to_bytes(32, "big"))
        row = PackRow(number, ident, PACK_DATA, 2, 2 * SHARE, names, True, 1)
        made.append((row, dict(enumerate(some))))
    return made


def levels_of(packs: Placed, there: list[MemberId], free: int = 1 << 40) -> dict[MemberId, Level]:
    fills = dict.fromkeys(there, 0)
    for _, placed in packs:
        for holder in placed.values():
            if holder in fills:
                fills[holder] += SHARE
    return {one: Level(fill, free) for one, fill in fills.items()}


def carried_out(packs: Placed, moves: list[Move]) -> Placed:
    after = {row.pack: (row, dict(placed)) for row, placed in packs}
    for move in moves:
        _, placed = after[move.piece.row.pack]
        assert placed[move.piece.number] == move.piece.holder
        assert move.target not in placed.values()
        placed[move.piece.number] = move.target
    return list(after.values())


# --- the plan -------------------------------------------------------------------------------------


def test_a_friend_who_joins_gets_what_it_lacks_and_nothing_else_moves():
    packs = packs_at([FRIENDS[:4]] * 100)
    levels = levels_of(packs, FRIENDS[:5])
    moves = list(Plan(packs, levels, NIGHT_BYTES).moves())
    assert {move.target for move in moves} == {FRIENDS[4]}
    assert 60 <= len(moves) <= 80  # 80 is the mean
    after = levels_of(carried_out(packs, moves), FRIENDS[:5])
    assert is_even(after)


def test_an_even_group_moves_nothing_and_neither_does_one_that_was_just_evened_out():
    packs = packs_at([FRIENDS[:4]] * 50)
    assert is_even(levels_of(packs, FRIENDS[:4]))
    moves = list(Plan(packs, levels_of(packs, FRIENDS[:6]), NIGHT_BYTES).moves())
    again = carried_out(packs, moves)
    assert list(Plan(again, levels_of(again, FRIENDS[:6]), NIGHT_BYTES).moves()) == []


def test_a_night_moves_no_more_than_it_may_and_the_next_ones_the_rest():
    packs = packs_at([FRIENDS[:4]] * 100)
    nights = 0
    while moves := list(Plan(packs, levels_of(packs, FRIENDS[:5]), 10 * SHARE).moves()):
        assert len(moves) <= 10
        packs, nights = carried_out(packs, moves), nights + 1
    assert 6 <= nights <= 8


def test_who_gives_less_than_it_keeps_is_relieved_of_its_surplus_only():
    packs = packs_at([FRIENDS[:4]] * 40)
    levels = levels_of(packs, FRIENDS[:6])
    for friend in FRIENDS[4:6]:
        levels[friend].fill_bytes = 34 * SHARE  # they have as much in other packs
    levels[FRIENDS[0]] = Level(40 * SHARE, free_bytes=0, surplus_bytes=10 * SHARE)
    moves = list(Plan(packs, levels, NIGHT_BYTES).moves())
    assert [move.piece.holder for move in moves[:10]] == [FRIENDS[0]] * 10
    assert len(moves) == 10


@given(st.data())
def test_a_plan_moves_little_never_doubles_up_and_comes_to_rest(data):
    friends = FRIENDS[: data.draw(st.integers(2, 9))]
    packs = packs_at(
        data.draw(st.lists(st.sets(st.sampled_from(friends), min_size=1).map(sorted), max_size=40))
    )
    levels = levels_of(packs, friends, free=data.draw(st.sampled_from([0, 5 * SHARE, 1 << 40])))
    before = {friend: level.fill_bytes for friend, level in levels.items()}
    mean = sum(before.values()) / len(before)
    lacking = sum(max(0, mean - fill) for fill in before.values())
    surplus = sum(max(0, fill - mean) for fill in before.values())
    moves = list(Plan(packs, levels, NIGHT_BYTES).moves())
    after = carried_out(packs, moves)
    assert len({(move.piece.row.pack, move.piece.number) for move in moves}) == len(moves)
    # Rounded up to whole shares, and friends who cannot give to the emptiest one give to others.
    assert len(moves) * SHARE <= lacking + surplus + len(friends) * SHARE
    fills = levels_of(after, friends)
    assert {friend: level.fill_bytes for friend, level in levels.items()} == {
        friend: level.fill_bytes for friend, level in fills.items()
    }
    assert band_of(fills.values(), SHARE) >= 2 * SHARE
    free = {friend: level.free_bytes for friend, level in levels.items()}
    for friend, level in fills.items():
        level.free_bytes = free[friend]
    assert len(list(Plan(after, fills, NIGHT_BYTES).moves())) <= 1


# --- the real thing -------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path) -> Path:
    root = tmp_path / "files"
    root.mkdir()
    return root


async def nights(group: SmallGroup, files: Path, count: int) -> None:
    for number in range(count):
        (files / f"file {number}").write_bytes(random.Random(number).randbytes(100_000))
        assert (await group.backup(files))["ok"]


async def even_out(group: SmallGroup) -> Rebalanced:
    return await rebalance(group.member, lambda event: None)


async def can_restore(group: SmallGroup, files: Path, target: Path) -> bool:
    assert (await group.restore(target))["ok"]
    return compare_trees(files, target / files.relative_to("/")).differences == ()


async def test_after_somebody_joined_the_others_have_less_and_everything_comes_back(
    tmp_path, files
):
    async with small_group(tmp_path / "group", 3) as group:
        await nights(group, files, 5)
        before = group.member.catalog.bytes_per_holder()
        new = group.add_friend(7)
        result = await even_out(group)
        assert result.moved == result.planned == len(new.share_files()) > 0
        after = group.member.catalog.bytes_per_holder()
        assert sum(after.values()) == sum(before.values())
        for holder in group.holders.values():
            listed = {
                row.shares[number].hex()
                for row in group.member.catalog.packs()
                for number, member in group.member.catalog.placements(row.pack).items()
                if member == holder.member
            }
            assert {path.name for path in holder.share_files()} == listed
        assert (await even_out(group)).planned == 0
        assert await can_restore(group, files, tmp_path / "back")


async def test_who_lowers_its_offer_is_relieved_and_no_byte_is_lost(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await nights(group, files, 3)
        group.add_friend(7)
        await even_out(group)
        less = next(iter(group.holders.values()))
        less.store.limit_bytes = less.store.kept_bytes // 2
        result = await even_out(group)
        assert result.relieved == ["friend 0"]
        assert result.moved > 0
        assert less.store.kept_bytes <= less.store.limit_bytes
        assert (await even_out(group)).relieved == []  # the trash there is no surplus
        assert await can_restore(group, files, tmp_path / "back")


async def test_who_does_not_take_it_leaves_everything_where_it_was(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await nights(group, files, 3)
        before = group.member.catalog.bytes_per_holder()
        rude = group.add_friend(7)
        honest = rude.handler

        async def refuse(remote: MemberId, request, stream):
            if isinstance(request, Put):
                raise Refusal("internal", "no")
            await honest(remote, request, stream)

        rude.handler = refuse
        assert (await even_out(group)).moved == 0
        assert group.member.catalog.bytes_per_holder() == before
        assert await can_restore(group, files, tmp_path / "back")
