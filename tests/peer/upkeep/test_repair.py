"""Repair: what is lost is made anew elsewhere, what merely sleeps is left alone."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.trees import compare_trees
from chunking.formats import PACK_DATA, PackId, ShareName
from peer.catalog import PackRow
from peer.service import Event
from peer.upkeep.absence import DAY_S, note_absences
from peer.upkeep.presence import SAMPLE_S
from peer.upkeep.repair import Repaired, affordable, find_thin, repair
from peer.upkeep.scores import read_scores, write_scores
from signaling.messages import MemberId
from tests.support.small_group import Holder, SmallGroup, small_group

FRIENDS = [MemberId(bytes([number]) * 32) for number in range(8)]


def pack(number: int, needed: int, total: int) -> PackRow:
    names = tuple(ShareName(bytes([number, place]) * 16) for place in range(total))
    ident = PackId(bytes([number]) * 32)
    return PackRow(number, ident, PACK_DATA, needed, 1000, names, True, 1)


# --- the plan -------------------------------------------------------------------------------------


def test_the_pack_that_can_bear_the_fewest_losses_comes_first():
    whole = (pack(1, 2, 4), dict(enumerate(FRIENDS[:4])))
    one_less = (pack(2, 2, 4), dict(enumerate(FRIENDS[:3])))
    last = (pack(3, 2, 4), dict(enumerate(FRIENDS[:2])))
    thin = find_thin([whole, one_less, last], set(FRIENDS), set())
    assert [(one.row.pack, one.spare, one.wanted) for one in thin] == [(3, 0, 2), (2, 1, 1)]


def test_what_nobody_can_take_or_nobody_can_rebuild_is_not_tried():
    thin = pack(1, 2, 4), dict(enumerate(FRIENDS[:3]))
    assert find_thin([thin], set(FRIENDS[:3]), set()) == []
    beyond = pack(1, 2, 4), {0: FRIENDS[0]}
    assert find_thin([beyond], set(FRIENDS), set()) == []


def test_who_has_a_bad_score_is_relieved_after_all_that_is_lost_and_takes_nothing():
    bad = FRIENDS[0]
    whole = (pack(1, 2, 3), dict(enumerate(FRIENDS[:3])))
    lost = (pack(2, 2, 3), dict(enumerate(FRIENDS[:2])))
    thin = find_thin([whole, lost], {bad, FRIENDS[4]}, {bad})
    assert [(one.row.pack, one.doubted) for one in thin] == [(2, False), (1, True)]
    assert bad not in thin[1].kept.values()
    assert find_thin([whole], {bad}, {bad}) == []


def test_a_night_repairs_what_it_may_and_at_least_one_pack():
    lost = [(pack(n, 2, 4), dict(enumerate(FRIENDS[:3]))) for n in range(1, 6)]
    thin = find_thin(lost, set(FRIENDS), set())
    assert len(affordable(thin, 3 * thin[0].cost_bytes, 0)) == 3
    assert len(affordable(thin, 0, 0)) == 1


@given(st.data())
def test_no_friend_ever_gets_a_second_share_of_a_pack(data):
    total = data.draw(st.integers(2, 6))
    needed = data.draw(st.integers(1, total - 1))
    holders = data.draw(st.permutations(FRIENDS))[:total]
    kept = data.draw(st.sets(st.integers(0, total - 1)))
    placed = {number: holders[number] for number in kept}
    bad = data.draw(st.sets(st.sampled_from(FRIENDS)))
    takers = data.draw(st.sets(st.sampled_from(FRIENDS)))
    for one in find_thin([(pack(1, needed, total), placed)], takers, bad):
        assert one.wanted <= len(takers - set(one.kept.values()) - bad)
        assert len(set(one.kept.values())) == len(one.kept)
        assert one.kept.items() <= placed.items()


# --- the real thing -------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path) -> Path:
    root = tmp_path / "files"
    root.mkdir()
    for number in range(3):
        (root / f"file {number}").write_bytes(random.Random(number).randbytes(150_000))
    return root


class Watch:
    """Notes for a group's owner who is there, on a clock of its own."""

    def __init__(self, group: SmallGroup) -> None:
        self._group, self._now_s = group, 1_750_000_000.0

    def pass_days(self, days: float) -> None:
        for _ in range(round(days * DAY_S / SAMPLE_S) + 1):
            self._now_s += SAMPLE_S
            holders = self._group.holders
            online = [member for member, holder in holders.items() if holder.online]
            note_absences(self._group.member.catalog, self._now_s, online, list(holders))


async def mend(group: SmallGroup, **how: int) -> Repaired:
    events: list[Event] = []
    return await repair(group.member, events.append, **how)


def leave(group: SmallGroup, holder: Holder) -> None:
    holder.online = False
    for link in holder.links:
        link.cut()


async def restores(group: SmallGroup, files: Path, target: Path) -> bool:
    assert (await group.restore(target))["ok"]
    return compare_trees(files, target / files.relative_to("/")).differences == ()


def thin_packs(group: SmallGroup) -> int:
    catalog = group.member.catalog
    return sum(len(catalog.placements(row.pack)) < row.total for row in catalog.packs())


async def test_after_its_grace_a_friends_shares_are_made_anew_byte_by_byte(tmp_path, files):
    async with small_group(tmp_path / "group", 4) as group:
        await group.backup(files)
        gone, other = next(iter(group.holders.values())), group.add_friend(7)
        leave(group, gone)
        Watch(group).pass_days(3)
        result = await mend(group)
        assert result.given_up == result.made == len(gone.share_files()) > 0
        assert {path.name: path.read_bytes() for path in other.share_files()} == {
            path.name: path.read_bytes() for path in gone.share_files()
        }
        assert thin_packs(group) == 0
        assert list(group.member.spool.iterdir()) == []
        assert "made anew at other friends" in result.sentence
        for holder in list(group.holders.values())[1:3]:
            leave(group, holder)
        assert await restores(group, files, tmp_path / "back")


async def test_a_friend_that_blinks_causes_no_traffic(tmp_path, files):
    chance = random.Random(4)
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        friend = next(iter(group.holders.values()))
        group.add_friend(7)
        watch = Watch(group)
        watch.pass_days(0)
        before = friend.share_files()
        for _ in range(20):
            friend.online = False
            watch.pass_days(chance.uniform(0.01, 2.9))
            result = await mend(group)
            assert (result.given_up, result.fetched_bytes, result.shipped_bytes) == (0, 0, 0)
            friend.online = True
            watch.pass_days(0)
        assert friend.share_files() == before
        assert thin_packs(group) == 0


async def test_who_comes_back_in_time_is_believed_before_anything_is_made_anew(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        friend = next(iter(group.holders.values()))
        leave(group, friend)
        watch = Watch(group)
        watch.pass_days(4)
        result = await mend(group)
        assert (result.given_up, result.made, result.lacking) == (len(friend.share_files()), 0, 3)
        friend.online = True
        watch.pass_days(0)
        group.add_friend(7)
        result = await mend(group)
        assert (result.made, result.fetched_bytes, result.lacking) == (0, 0, 0)


async def test_who_comes_back_late_has_surplus_which_goes(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        friend, other = next(iter(group.holders.values())), group.add_friend(7)
        leave(group, friend)
        Watch(group).pass_days(4)
        assert (await mend(group)).made == len(friend.share_files())
        friend.online = True
        assert (await group.backup())["ok"]
        held = {path.name for path in friend.share_files()}
        assert not held & {path.name for path in other.share_files()}
        assert await restores(group, files, tmp_path / "back")


async def test_a_night_that_may_do_little_does_the_rest_in_the_next_ones(tmp_path, files):
    async with small_group(tmp_path / "group", 4) as group:
        await group.backup(files)
        gone = next(iter(group.holders.values()))
        group.add_friend(7)
        leave(group, gone)
        Watch(group).pass_days(3)
        for waiting in range(len(gone.share_files()) - 1, -1, -1):
            result = await mend(group, night_bytes=1)
            assert (result.packs, result.waiting) == (1, waiting)
        assert thin_packs(group) == 0


async def test_a_rotten_share_is_not_what_others_are_made_from(tmp_path, files):
    async with small_group(tmp_path / "group", 4) as group:
        await group.backup(files)
        gone, rotten, *_ = group.holders.values()
        other = group.add_friend(7)
        for path in rotten.share_files():
            path.write_bytes(path.read_bytes()[:-1] + b"?")
        leave(group, gone)
        Watch(group).pass_days(3)
        await mend(group)
        assert {path.name: path.read_bytes() for path in other.share_files()} == {
            path.name: path.read_bytes() for path in gone.share_files()
        }


async def test_a_friend_with_a_bad_score_is_relieved_and_nothing_new_goes_there(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        bad, other = next(iter(group.holders.values())), group.add_friend(7)
        scores = read_scores(group.member.catalog)
        for number in range(20):
            scores.failed(bad.member, ShareName(bytes([number]) * 32), 1)
        write_scores(group.member.catalog, scores)
        before = len(bad.share_files())
        result = await mend(group)
        assert result.made == before == len(other.share_files())
        assert bad.member not in group.member.catalog.shares_per_holder()
        (files / "new").write_bytes(random.Random(9).randbytes(100_000))
        assert (await group.backup())["ok"]
        assert bad.share_files() == []  # what was surplus there went as well
        assert await restores(group, files, tmp_path / "back")
