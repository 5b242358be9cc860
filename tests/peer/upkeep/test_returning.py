"""A friend that comes back after months, with shares of long ago."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from bench.trees import compare_trees
from peer.upkeep.partings import forget_holder
from tests.support.small_group import Holder, SmallGroup, small_group


@pytest.fixture
def files(tmp_path) -> Path:
    root = tmp_path / "files"
    root.mkdir()
    for number in range(4):
        (root / f"file {number}").write_bytes(random.Random(number).randbytes(120_000))
    return root


def names(holder: Holder) -> set[str]:
    return {path.name for path in holder.share_files()}


def known(group: SmallGroup) -> set[str]:
    """The shares that the owner knows."""
    return {name.hex() for row in group.member.catalog.packs() for name in row.shares}


def made_anew_at(group: SmallGroup, gone: Holder, other: Holder) -> None:
    """What repair does for a friend who is away for long, as far as disks and catalog go."""
    catalog = group.member.catalog
    lost = [(p, n) for p, n, holder in catalog.each_placement() if holder == gone.member]
    for path in gone.share_files():
        target = other.folder / path.relative_to(gone.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    forget_holder(catalog, gone.member)
    catalog.record_placements([(p, n, other.member) for p, n in lost], set())


async def restores(group: SmallGroup, files: Path, target: Path) -> bool:
    assert (await group.restore(target))["ok"]
    return compare_trees(files, Path(f"{target}{files}")).differences == ()


async def test_what_was_made_anew_elsewhere_meanwhile_is_dropped_there(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        gone, *_ = group.holders.values()
        stale = names(gone)
        gone.online = False
        other = group.add_friend(7)
        made_anew_at(group, gone, other)
        assert (await group.backup())["ok"]
        gone.online = True  # months later
        assert (await group.backup())["ok"]
        assert not names(gone) & stale
        assert names(other) >= stale & known(group)  # of index packs some are merged by now
        placed = {holder for _, _, holder in group.member.catalog.each_placement()}
        assert other.member in placed
        assert await restores(group, files, tmp_path / "back")


async def test_what_nobody_else_has_is_welcome_back_and_the_catalog_learns_it(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        gone, *_ = group.holders.values()
        before = names(gone)
        gone.online = False
        forget_holder(group.member.catalog, gone.member)  # it counted as lost
        spare = group.member.catalog.thinnest()[0]
        gone.online = True
        assert (await group.backup())["ok"]
        assert names(gone) >= before
        assert group.member.catalog.thinnest()[0] == spare + 1
        assert await restores(group, files, tmp_path / "back")


async def test_shares_of_what_is_backed_up_no_more_go_when_their_holder_comes_back(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        gone, *_ = group.holders.values()
        gone.online = False
        stale = names(gone)
        rows = list(group.member.catalog.packs())
        for row in rows:
            if row.kind == 1:
                group.member.catalog.drop_pack(row.pack)  # as compaction does after months
        gone.online = True
        (files / "file 0").write_bytes(b"new")
        assert (await group.backup())["ok"]
        assert stale - known(group)
        assert not names(gone) & (stale - known(group))
        assert await restores(group, files, tmp_path / "back")
