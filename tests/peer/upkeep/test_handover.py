"""What a friend who is leaving keeps for us goes to others, as far as there are others."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from bench.trees import compare_trees
from datachannel.errors import Refusal, Unavailable
from datachannel.messages import Put
from peer.service import Event
from peer.upkeep.handover import HandOver
from peer.upkeep.partings import forget_holder
from signaling.messages import MemberId
from tests.support.small_group import Holder, SmallGroup, small_group


@pytest.fixture
def files(tmp_path) -> Path:
    root = tmp_path / "files"
    root.mkdir()
    for number in range(4):
        (root / f"file {number}").write_bytes(random.Random(number).randbytes(150_000))
    return root


async def hand_over(group: SmallGroup, leaver: Holder) -> Event:
    leaver.store.limit_bytes = 0  # as a member does who leaves
    return await HandOver(group.member, leaver.member, lambda event: None).run()


def first(group: SmallGroup) -> Holder:
    return next(iter(group.holders.values()))


async def can_restore(group: SmallGroup, files: Path, target: Path) -> bool:
    assert (await group.restore(target))["ok"]
    return compare_trees(files, target / files.relative_to("/")).differences == ()


async def test_what_it_had_is_with_others_and_deleted_there_and_it_need_not_wait(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        leaver, other = first(group), group.add_friend(7)
        names = {path.name for path in leaver.share_files()}
        event = await hand_over(group, leaver)
        assert event["ok"]
        assert event["summary"]["moved"] == len(names) > 0
        assert leaver.share_files() == []
        assert {path.name for path in other.share_files()} == names
        assert leaver.handler.handed_over == {group.owner}
        assert leaver.member not in group.member.catalog.shares_per_holder()
        leaver.online = False
        assert group.member.catalog.thinnest()[0] == 2
        assert await can_restore(group, files, tmp_path / "back")


async def test_what_has_no_other_place_stays_and_the_friend_is_told_all_the_same(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        leaver = first(group)
        before = leaver.share_files()
        event = await hand_over(group, leaver)
        assert not event["ok"]
        assert event["summary"]["stayed"] == len(before) > 0
        assert leaver.share_files() == before
        assert leaver.handler.handed_over == {group.owner}


async def test_a_friend_who_refuses_costs_nothing_but_its_own_part(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        leaver, rude, kind = first(group), group.add_friend(7), group.add_friend(8)
        honest = rude.handler

        async def refuse(remote: MemberId, request, stream):
            if isinstance(request, Put):
                raise Refusal("internal", "no")
            await honest(remote, request, stream)

        rude.handler = refuse
        await hand_over(group, leaver)
        assert len(leaver.share_files()) + len(kind.share_files()) > 0
        assert await can_restore(group, files, tmp_path / "back")
        await hand_over(group, leaver)  # and the next attempt finds the others
        rude.handler = honest
        group._sessions.clear()
        event = await hand_over(group, leaver)
        assert event["ok"]
        assert leaver.share_files() == []


async def test_a_friend_who_is_gone_in_the_middle_leaves_everything_restorable(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        leaver = first(group)
        group.add_friend(7)
        leaver.online = False
        group._sessions.clear()
        with pytest.raises(Unavailable):
            await hand_over(group, leaver)
        assert await can_restore(group, files, tmp_path / "back")


async def test_after_a_goodbye_what_the_friend_had_counts_as_lost_and_the_rest_does(
    tmp_path, files
):
    async with small_group(tmp_path / "group", 4) as group:
        await group.backup(files)
        spare, packs = group.member.catalog.thinnest()
        gone = first(group)
        assert forget_holder(group.member.catalog, gone.member) == len(gone.share_files())
        assert group.member.catalog.thinnest() == (spare - 1, packs)
        del group.holders[gone.member]
        assert await can_restore(group, files, tmp_path / "back")
