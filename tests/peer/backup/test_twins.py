"""Two computers with the same recovery words: no snapshot of either is lost."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from chunking.root import seal_root
from peer.backup.marks import add_marks
from peer.backup.night import Night
from peer.catalog import Catalog
from peer.member import Member
from peer.restore.job import RestoreJob
from peer.service import Event, Problem
from peer.upkeep.renew import rebuild
from tests.support.small_group import SmallGroup, small_group


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    """What the two computers have."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for number in range(5):
            (tmp_path / name / f"{number}").write_bytes(f"{name} {number}\n".encode() * 9000)
    return tmp_path / "one", tmp_path / "two"


def nothing(event: Event) -> None:
    """Nobody looks."""


def a_copy(group: SmallGroup) -> Member:
    """Another computer that was made from the first one's folder as it is now."""
    group.member.catalog.make_durable()
    home = group.folder / "copy"
    shutil.copytree(group.member.home, home)
    catalog = Catalog(home / "catalog.sqlite")
    return dataclasses.replace(
        group.member,
        home=home,
        catalog=catalog,
        catalog_path=home / "catalog.sqlite",
        spool=home / "spool",
        root_file=home / "root",
    )


async def night(member: Member, *marks: Path) -> Event:
    add_marks(member.catalog, [str(mark) for mark in marks])
    return await Night(member, nothing).run()


async def test_the_one_that_is_behind_publishes_nothing_and_can_go_on_from_the_other(
    tmp_path, folders
):
    one, two = folders
    async with small_group(tmp_path / "group", 3) as group:
        assert (await group.backup(one))["ok"]
        other = a_copy(group)
        assert (await night(other, two))["ok"]
        theirs = other.root_file.read_bytes()
        with pytest.raises(Problem, match="newer record") as refused:
            await group.backup()
        assert "check --rebuild" in refused.value.next_step
        assert {holder.store.get_root(group.owner) for holder in group.holders.values()} == {theirs}

        assert (await rebuild(group.member, nothing))["ok"]
        assert (await group.backup())["ok"]
        assert len(group.member.catalog.snapshots()) == 3
        row = group.member.catalog.snapshots()[1]  # what the other computer backed up
        job = RestoreJob(group.member, row, str(tmp_path / "back"), [], "always", nothing)
        assert (await job.run())["ok"]
        back = tmp_path / "back" / two.relative_to("/") / "3"
        assert back.read_bytes() == (two / "3").read_bytes()
        other.catalog.close()


async def test_a_record_of_the_same_number_from_another_computer_stops_the_night_too(
    tmp_path, folders
):
    one, two = folders
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(one)
        other = a_copy(group)
        mine = group.member.read_root()
        assert mine is not None
        unheard = dataclasses.replace(mine, counter=mine.counter + 1, time_ns=mine.time_ns + 1)
        group.member.write_root(seal_root(group.keys, unheard, bytes(24)))
        await night(other, two)
        with pytest.raises(Problem, match="newer record"):
            await group.backup()
        other.catalog.close()


async def test_a_computer_that_was_stopped_in_the_middle_of_a_night_publishes_nothing(
    tmp_path, folders
):
    one, two = folders
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(one)
        before = group.member.root_file.read_bytes()
        group.member.stopped = lambda: "Another computer goes on."
        add_marks(group.member.catalog, [str(two)])
        with pytest.raises(Problem, match="Another computer goes on"):
            await group.backup()
        assert group.member.root_file.read_bytes() == before
        assert {holder.store.get_root(group.owner) for holder in group.holders.values()} == {before}
        group.member.stopped = lambda: ""
        assert (await group.backup())["ok"]
