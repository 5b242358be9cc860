"""A new catalog from friends alone, in the place of the old one or not at all."""

from __future__ import annotations

import os
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from bench.trees import compare_trees
from chunking.formats import PACK_DATA, PACK_INDEX
from datachannel.errors import Refusal
from datachannel.messages import Get
from peer.backup import settings
from peer.backup.marks import add_marks, read_looks, read_marks
from peer.catalog import Catalog, CatalogError
from peer.restore.job import RestoreJob
from peer.service import Event, Problem
from peer.upkeep.renew import open_catalog, rebuild
from peer.upkeep.retention import parse_keep
from signaling.messages import MemberId
from tests.peer.upkeep.test_check import check, share_file
from tests.support.small_group import SmallGroup, small_group


@pytest.fixture
def files(tmp_path) -> Path:
    root = tmp_path / "files"
    root.mkdir()
    for number in range(4):
        (root / f"file {number}").write_bytes(random.Random(number).randbytes(150_000))
    return root


async def renew(group: SmallGroup) -> Event:
    return await rebuild(group.member, lambda event: None)


def contents(catalog: Catalog) -> dict[bytes, Any]:
    return {
        row.id: (row.kind, row.needed, row.length, row.shares, catalog.chunks_of(row.pack))
        for row in catalog.packs()
    }


def beside(group: SmallGroup) -> list[str]:
    return sorted(p.name for p in group.member.home.iterdir() if "catalog" in p.name)


async def test_the_new_catalog_knows_what_the_old_one_did(tmp_path, files):
    async with small_group(tmp_path / "group", 5) as group:
        await group.backup(files)
        (files / "new").write_bytes(b"new")
        await group.backup()
        before, snapshots = contents(group.member.catalog), group.member.catalog.snapshots()
        add_marks(group.member.catalog, [str(tmp_path)])  # no friend knows of this one yet
        marks = read_marks(group.member.catalog)
        group.member.catalog.set_meta("drill", b"kept")
        result = await renew(group)
        assert result["ok"], result
        assert contents(group.member.catalog) == before
        assert group.member.catalog.snapshots() == snapshots
        assert read_marks(group.member.catalog) == marks
        assert group.member.catalog.get_meta("drill") == b"kept"
        assert (await check(group, 100))["ok"]
        assert (await group.restore(tmp_path / "back"))["ok"]
        assert compare_trees(files, Path(f"{tmp_path}/back{files}")).differences == ()


async def test_what_a_person_decided_since_the_last_night_is_kept(tmp_path, files):
    async with small_group(tmp_path / "group", 2) as group:
        await group.backup(files)
        await group.backup()
        catalog = group.member.catalog
        first, second = (row.id for row in catalog.snapshots())
        settings.change_keep(catalog, parse_keep("3 daily"))
        settings.confirm(catalog, second)
        settings.forget(catalog, first)
        looks = read_looks(catalog)
        assert (await renew(group))["ok"]
        catalog = group.member.catalog
        assert settings.keep_of(catalog, {}) == parse_keep("3 daily")
        assert settings.hold_of(catalog, {"hold": second.hex(), "hold_counter": 1}, 2) == b""
        assert settings.forgotten(catalog) == [first]
        assert read_looks(catalog) == looks != {}


async def test_the_next_night_sends_nothing_again(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        await renew(group)
        night = await group.backup()
        assert night["ok"], night
        assert night["summary"]["packed_bytes"] < 20_000


async def test_only_index_packs_are_fetched(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        index = {n for row in group.member.catalog.packs(kind=PACK_INDEX) for n in row.shares}
        asked: set[bytes] = set()
        for holder in group.holders.values():

            async def watch(remote: MemberId, request, stream, honest=holder.handler):
                if isinstance(request, Get):
                    asked.add(request.name)
                await honest(remote, request, stream)

            holder.handler = watch
        group._sessions.clear()
        assert (await renew(group))["ok"]
        assert asked
        assert asked <= index


async def test_a_rebuild_that_fails_changes_nothing(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        old, before = group.member.catalog, contents(group.member.catalog)
        for holder in group.holders.values():

            async def refuse(remote: MemberId, request, stream, honest=holder.handler):
                if isinstance(request, Get):
                    raise Refusal("internal", "no")
                await honest(remote, request, stream)

            holder.handler = refuse
        group._sessions.clear()
        with pytest.raises(Problem, match="cannot be read yet"):
            await renew(group)
        assert group.member.catalog is old
        assert contents(old) == before
        assert beside(group) == ["catalog.sqlite", "catalog.sqlite-shm", "catalog.sqlite-wal"]


async def test_until_the_last_step_the_old_catalog_is_the_one(tmp_path, files, monkeypatch):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        group.member.catalog.set_meta("only the old one has this", b"yes")

        replace = os.replace

        def fails(source: Path, target: Path) -> None:
            if target == group.member.catalog_path:
                raise OSError(5, "the disk fails")
            replace(source, target)

        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", fails)
            with pytest.raises(OSError, match="the disk fails"):
                await renew(group)
        assert group.member.catalog.get_meta("only the old one has this") == b"yes"
        assert (await check(group, 100))["ok"]
        assert (await renew(group))["ok"]
        assert group.member.catalog.get_meta("only the old one has this") is None
        assert not list(group.member.home.glob("scratch-*"))


async def test_a_pack_that_was_given_up_is_taken_back_when_its_shares_turn_up(tmp_path, files):
    async with small_group(tmp_path / "group", 5) as group:
        await group.backup(files)
        before = contents(group.member.catalog)
        data = next(iter(group.member.catalog.packs(kind=PACK_DATA)))
        kept = {}
        for number in range(4):
            _, path = share_file(group, data, number)
            kept[path] = path.read_bytes()
            path.unlink()
        assert (await check(group))["summary"]["given_up_packs"] == 1
        assert data.id not in contents(group.member.catalog)
        for path, share in kept.items():
            path.write_bytes(share)
        assert (await renew(group))["ok"]
        assert contents(group.member.catalog) == before
        assert (await check(group, 100))["ok"]


async def test_packs_that_a_lost_index_pack_listed_are_not_lost_by_a_rebuild(tmp_path, files):
    """Friends' index does not list them again before the next night has made a new one."""
    async with small_group(tmp_path / "group", 5) as group:
        await group.backup(files)
        (files / "file 0").rename(tmp_path / "only in the first snapshot")
        await group.backup()
        index = next(iter(group.member.catalog.packs(kind=PACK_INDEX)))
        for number in range(1, 5):
            share_file(group, index, number)[1].unlink()
        assert (await check(group))["summary"]["given_up_packs"] == 1
        kinds = sorted(row.kind for row in group.member.catalog.packs())
        assert (await renew(group))["ok"]
        assert sorted(row.kind for row in group.member.catalog.packs()) == kinds
        assert (await group.backup())["ok"]
        assert (await check(group, 100))["ok"]
        first = group.member.catalog.snapshots()[0]
        target = tmp_path / "back"
        job = RestoreJob(group.member, first, str(target), [], "always", lambda event: None)
        assert (await job.run())["ok"]
        back = Path(f"{target}{files}") / "file 0"
        assert back.read_bytes() == (tmp_path / "only in the first snapshot").read_bytes()


async def test_with_nobody_there_nothing_is_lost(tmp_path, files):
    async with small_group(tmp_path / "group", 2) as group:
        await group.backup(files)
        before = contents(group.member.catalog)
        for holder in group.holders.values():
            holder.online = False
        with pytest.raises(Problem):
            await renew(group)
        assert contents(group.member.catalog) == before


async def test_a_newer_record_at_friends_counts_from_then_on(tmp_path, files):
    async with small_group(tmp_path / "group", 2) as group:
        await group.backup(files)
        old = group.member.root_file.read_bytes()
        await group.backup()
        newer = group.member.root_file.read_bytes()
        group.member.root_file.write_bytes(old)
        result = await renew(group)
        assert "newer record" in result["message"]
        assert group.member.root_file.read_bytes() == newer
        assert len(group.member.catalog.snapshots()) == 2
        assert (await group.backup())["ok"]


async def test_a_root_record_here_that_is_rotten_comes_back_from_friends(tmp_path, files):
    async with small_group(tmp_path / "group", 2) as group:
        await group.backup(files)
        good = group.member.root_file.read_bytes()
        group.member.root_file.write_bytes(good[:-1])
        told = await check(group)
        assert "the root record here cannot be read" in told["message"]
        assert (await renew(group))["ok"]
        assert group.member.root_file.read_bytes() == good
        assert (await check(group))["ok"]


@pytest.mark.parametrize(
    "lie",
    [
        "UPDATE packs SET length=length+64 WHERE kind=1",
        "UPDATE packs SET shares=zeroblob(length(shares))",
        "DELETE FROM chunks",
        "DELETE FROM packs",
    ],
)
async def test_a_catalog_that_lies_is_made_true_again(tmp_path, files, lie):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        before = contents(group.member.catalog)
        group.member.catalog._db.execute(lie)
        assert (await renew(group))["ok"]
        assert contents(group.member.catalog) == before
        assert (await check(group, 100))["ok"]


# --- opening --------------------------------------------------------------------------------------


async def test_a_catalog_that_is_no_database_is_set_aside_and_filled_again(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        before, marks = contents(group.member.catalog), read_marks(group.member.catalog)
        group.member.catalog.close()
        group.member.catalog_path.write_bytes(b"no database " * 1000)
        with pytest.raises(CatalogError):
            Catalog(group.member.catalog_path)
        member = group.member
        member.catalog = open_catalog(member.catalog_path, member.keys, member.root_file)
        assert member.home.joinpath("catalog.sqlite.damaged").read_bytes()[:11] == b"no database"
        assert read_marks(member.catalog) == marks
        assert len(member.catalog.snapshots()) == 1
        told = await check(group)
        assert told["next_step"].endswith("covey check --rebuild")
        assert (await renew(group))["ok"]
        assert contents(member.catalog) == before


async def test_a_night_after_a_damaged_catalog_builds_on_what_friends_have(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        member = group.member
        member.catalog.close()
        member.catalog_path.write_bytes(b"no database " * 1000)
        member.catalog = open_catalog(member.catalog_path, member.keys, member.root_file)
        night = await group.backup()
        assert night["ok"], night
        assert night["summary"]["packed_bytes"] < 20_000
        assert (await check(group, 100))["ok"]


def test_a_catalog_of_a_newer_covey_is_left_alone(tmp_path):
    path = tmp_path / "catalog.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(CatalogError, match="newer Covey"):
        open_catalog(path, None, tmp_path / "root")  # type: ignore[arg-type]
    assert path.exists()
