"""Packs get another code when it pays or when safety demands it, and never to and fro."""

from __future__ import annotations

import random
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bench.trees import compare_trees
from peer.upkeep.partings import forget_holder
from peer.upkeep.recode import choose_recodes, is_unsafe, loss_of, saves_space
from peer.upkeep.redundancy import LOSS_AIM_YEARLY, Code, choose_code
from peer.upkeep.sweep import Use
from tests.support.small_group import small_group

PACK = 1 << 20
SEEN = 0.99


def use(pack: int, size: int = PACK) -> Use:
    return Use(pack, 1, size, size, 1)


def code_for(friends: int) -> Code:
    return choose_code([SEEN] * friends)


def test_what_was_made_for_two_friends_is_unsafe_once_there_are_ten():
    assert is_unsafe(Code(1, 2), code_for(10))
    assert not is_unsafe(code_for(10), code_for(12))


def test_a_group_that_became_small_codes_anew_what_can_bear_little_more():
    """Of shares that were at friends who left for good, nobody can take another one."""
    assert is_unsafe(Code(14, 20), code_for(17), friends=17)
    assert is_unsafe(Code(4, 8), code_for(5), friends=5)
    assert is_unsafe(Code(4, 8), code_for(3), friends=3)
    assert not is_unsafe(Code(4, 8), code_for(7), friends=7)  # until somebody joins
    assert not is_unsafe(Code(1, 3), code_for(2), friends=2)  # nothing would be better
    assert not is_unsafe(Code(4, 8), code_for(5), friends=8)  # three are asleep


def test_packs_that_hang_on_the_fewest_friends_come_first():
    codes = {1: Code(2, 4), 2: Code(4, 8)}
    uses = [use(1), use(2)]
    assert choose_recodes(uses, codes, code_for(5), PACK, friends=5) == [2]


def test_what_is_three_times_the_size_is_written_anew_once_the_group_is_large():
    assert saves_space(Code(2, 6), code_for(20))
    assert not saves_space(code_for(10), code_for(12))


def test_a_night_on_which_friends_sleep_changes_nothing():
    for friends in range(2, 20):
        for asleep in range(1, friends):
            old, tonight = code_for(friends), code_for(friends - asleep)
            assert not is_unsafe(old, tonight)
            assert not saves_space(old, tonight)


@given(st.lists(st.integers(1, 20), min_size=2, max_size=60))
def test_no_pack_is_written_to_and_fro_however_the_group_changes(sizes):
    code, rewritten = code_for(sizes[0]), 0
    for friends in sizes[1:]:
        tonight = code_for(friends)
        if is_unsafe(code, tonight) or saves_space(code, tonight):
            assert loss_of(tonight) <= max(LOSS_AIM_YEARLY, loss_of(code))
            code, rewritten = tonight, rewritten + 1
    assert rewritten <= 4


def test_the_least_safe_come_first_and_a_night_does_a_part_of_it():
    codes = {number: Code(1, 2) for number in range(64)} | {64: Code(1, 1)}
    chosen = choose_recodes([use(number) for number in range(65)], codes, code_for(10), PACK)
    assert 64 in chosen
    assert len(chosen) == 4


def test_a_single_large_pack_is_not_too_large_for_a_night():
    assert choose_recodes([use(1, 9 * PACK)], {1: Code(1, 2)}, code_for(10), PACK) == [1]


async def test_after_friends_left_for_good_what_needs_many_of_them_needs_fewer(tmp_path: Path):
    files = tmp_path / "files"
    files.mkdir()
    (files / "one").write_bytes(random.Random(1).randbytes(200_000))
    async with small_group(tmp_path / "group", 8) as group:
        assert (await group.backup(files))["ok"]
        catalog = group.member.catalog
        assert set(catalog.codes().values()) == {(4, 8)}
        for member in list(group.holders)[:3]:
            for link in group.holders.pop(member).links:
                link.cut()
            assert forget_holder(catalog, member)
        for night in range(5):
            (files / "new").write_bytes(random.Random(night).randbytes(2_000))
            assert (await group.backup())["ok"]
        assert {catalog.codes()[row.pack] for row in catalog.packs()} == {(2, 5)}
        assert catalog.thinnest()[0] == 3
        assert (await group.restore(tmp_path / "back"))["ok"]
        back = tmp_path / "back" / files.relative_to("/")
        assert compare_trees(files, back).differences == ()


async def test_after_friends_joined_old_packs_get_a_better_code_by_and_by(tmp_path: Path):
    files = tmp_path / "files"
    files.mkdir()
    (files / "one").write_bytes(random.Random(1).randbytes(200_000))
    async with small_group(tmp_path / "group", 1) as group:
        assert (await group.backup(files))["ok"]
        catalog = group.member.catalog
        assert set(catalog.codes().values()) == {(1, 1)}
        for number in (1, 2):
            group.add_friend(number)
        for night in range(4):
            (files / "new").write_bytes(random.Random(night).randbytes(2_000))
            assert (await group.backup())["ok"]
        codes = {catalog.codes()[row.pack] for row in catalog.packs()}
        assert codes == {(1, 3)}  # index packs too
        assert catalog.thinnest()[0] == 2
        assert (await group.restore(tmp_path / "back"))["ok"]
        back = tmp_path / "back" / files.relative_to("/")
        assert compare_trees(files, back).differences == ()
