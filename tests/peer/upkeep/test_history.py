"""Rules, holds and snapshots to forget: what a person says lies with friends, in the record."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chunking.root import open_root
from peer.service import Problem
from peer.upkeep.history import drop_snapshot, end_hold, history, hold_warning, set_keep
from tests.support.small_group import SmallGroup, small_group


@pytest.fixture
def files(tmp_path) -> Path:
    root = tmp_path / "files"
    root.mkdir()
    for number in range(12):
        (root / f"file {number}").write_bytes(os.urandom(5000))
    return root


def rewrite(files: Path) -> None:
    for path in files.iterdir():
        path.write_bytes(os.urandom(5000))


def settings_at_friends(group: SmallGroup) -> dict[str, str | int]:
    (holder, *_) = group.holders.values()
    data = holder.store.get_root(group.owner)
    assert data is not None
    return open_root(group.keys, data).settings


async def test_a_changed_rule_holds_from_the_next_night_and_lies_with_friends(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        assert set_keep(group.member, "1 daily 0 weekly 0 monthly 0 yearly")["keep"].startswith("1")
        assert len(group.member.catalog.snapshots()) == 1
        await group.backup()
        assert len(group.member.catalog.snapshots()) == 1
        assert settings_at_friends(group)["keep"] == "1 daily 0 weekly 0 monthly 0 yearly"


def test_a_rule_that_makes_no_sense_is_refused_with_an_example(tmp_path):
    with pytest.raises(Problem) as caught:
        set_keep(SmallGroup(tmp_path / "group", 0).member, "sometimes")
    assert "covey keep 7 daily" in caught.value.next_step


async def test_a_drastic_night_is_told_and_holds_until_the_person_confirms(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        member = group.member
        set_keep(member, "1 daily 0 weekly 0 monthly 0 yearly")
        await group.backup(files)
        good = member.catalog.snapshots()[0].id
        rewrite(files)
        event = await group.backup()
        assert event["ok"]
        assert "12 of 12 pieces of the last backup are gone or rewritten" in event["message"]
        assert event["summary"]["held_back"]
        assert history(member)["held"] == good.hex()
        assert "covey confirm" in hold_warning(member, str)[0]
        assert settings_at_friends(group)["hold"] == good.hex()
        await group.backup()
        assert member.catalog.snapshots()[0].id == good
        end_hold(member)
        assert hold_warning(member, str) == []
        await group.backup()
        assert len(member.catalog.snapshots()) == 1
        assert "hold" not in settings_at_friends(group)


async def test_without_a_hold_there_is_nothing_to_confirm(tmp_path, files):
    async with small_group(tmp_path / "group", 2) as group:
        await group.backup(files)
        with pytest.raises(Problem, match="nothing to confirm"):
            end_hold(group.member)


async def test_a_snapshot_that_is_to_be_forgotten_goes_with_the_next_night(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        member = group.member
        await group.backup(files)
        (files / "file 0").write_bytes(os.urandom(5000))
        await group.backup()
        first, second = member.catalog.snapshots()
        assert drop_snapshot(member, first)["forgotten"] == [first.id.hex()]
        with pytest.raises(Problem, match="newest"):
            drop_snapshot(member, second)
        await group.backup()
        assert first.id not in [row.id for row in member.catalog.snapshots()]
        assert history(member)["forgotten"] == []


async def test_what_is_pruned_is_kept_by_friends_for_two_weeks(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        set_keep(group.member, "1 daily 0 weekly 0 monthly 0 yearly")
        await group.backup(files)
        (files / "file 0").write_bytes(os.urandom(5000))
        shares = {path.name for holder in group.holders.values() for path in holder.share_files()}
        for _ in range(3):
            await group.backup()
        now = {path.name for holder in group.holders.values() for path in holder.share_files()}
        gone = shares - now
        assert gone
        trash = {path.name for path in group.folder.glob("friend */trash/*/*/*")}
        assert gone <= trash


async def test_nothing_grows_while_nothing_changes(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        set_keep(group.member, "1 daily 0 weekly 0 monthly 0 yearly")
        await group.backup(files)
        counts = []
        for _ in range(40):
            assert (await group.backup())["ok"]
            catalog = group.member.catalog
            counts.append((len(list(catalog.packs())), len(group.member.root_file.read_bytes())))
        assert max(packs for packs, _ in counts) <= 8
        assert max(size for _, size in counts) <= 3000
