"""The restore drill: it really restores, it compares, it leaves nothing behind, and it warns."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from chunking.formats import PACK_DATA
from peer.service import done
from peer.upkeep import drill
from peer.upkeep.drill import Drill, DrillResult, drill_after, is_due, last_drill
from tests.peer.upkeep.test_check import rot, share_file
from tests.support.small_group import SmallGroup, small_group


@pytest.fixture
def files(tmp_path) -> Path:
    root = tmp_path / "files"
    chance = random.Random(1)
    for number in range(30):
        folder = root / f"folder {number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file {number}").write_bytes(chance.randbytes(chance.choice([0, 10, 60_000])))
    (root / os.fsdecode(b"odd \xff")).write_bytes(b"odd")
    (root / "link").symlink_to("folder 0")
    return root


async def run_drill(group: SmallGroup, seed: int = 1) -> DrillResult:
    snapshots = group.member.catalog.snapshots()
    return await Drill(group.member, snapshots[-1], lambda event: None, seed=seed).run()


def left_behind(group: SmallGroup) -> list[str]:
    return [p.name for p in group.member.home.iterdir() if p.name.startswith(("drill", "scratch"))]


async def test_some_files_come_back_and_are_the_same(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        result = await run_drill(group)
        assert result.ok, result
        assert result.files == result.compared == drill.FILES_MAX
        assert result.friends
        assert left_behind(group) == []
        assert last_drill(group.member.catalog) == result
        assert drill.sentence(result) == (
            "The restore drill brought back 20 files; 20 could be compared and are the same."
        )


async def test_another_seed_draws_other_files_big_and_small(tmp_path, files, monkeypatch):
    monkeypatch.setattr(drill, "FILES_MAX", 5)
    async with small_group(tmp_path / "group", 2) as group:
        await group.backup(files)
        drawn = [(await run_drill(group, seed)).bytes for seed in range(5)]
    assert len(set(drawn)) > 2
    assert max(drawn) >= 120_000


async def test_a_drill_stays_within_its_bytes(tmp_path, files, monkeypatch):
    monkeypatch.setattr(drill, "BYTES_MAX", 130_000)
    async with small_group(tmp_path / "group", 2) as group:
        await group.backup(files)
        result = await run_drill(group)
        assert result.ok
        assert 0 < result.bytes <= 130_000


async def test_a_file_that_changed_here_since_is_restored_and_not_compared(tmp_path, files):
    async with small_group(tmp_path / "group", 2) as group:
        await group.backup(files)
        for path in files.rglob("file *"):
            path.write_bytes(b"another text")
        (files / "folder 0" / "file 0").unlink()
        result = await run_drill(group)
        assert result.ok
        assert result.files == drill.FILES_MAX
        assert result.compared <= 1  # the odd one


async def test_a_file_that_changed_without_a_trace_is_told(tmp_path, files):
    async with small_group(tmp_path / "group", 2) as group:
        await group.backup(files)
        for path in files.rglob("file *"):
            before = path.stat()
            path.write_bytes(bytes(before.st_size))
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        result = await run_drill(group)
        assert not result.ok
        assert result.different > 0
        assert len(result.different_paths) <= drill.NAMED_MAX
        assert "other than here" in drill.sentence(result)
        (warning,) = drill.warning(result)
        assert "covey restore" in warning


async def test_damage_at_friends_is_found_and_the_way_out_is_told(tmp_path, files):
    async with small_group(tmp_path / "group", 5) as group:
        await group.backup(files)
        row = next(iter(group.member.catalog.packs(kind=PACK_DATA)))
        for number in range(4):
            rot(share_file(group, row, number)[1])
        result = await run_drill(group)
        assert not result.ok
        assert result.lost > 0
        assert "could not bring back" in drill.sentence(result)
        (warning,) = drill.warning(result)
        assert "covey check --read-data" in warning
        assert left_behind(group) == []


async def test_without_friends_the_drill_says_why_it_could_not_be_done(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        for holder in group.holders.values():
            holder.online = False
        result = await run_drill(group)
        assert not result.ok
        assert "could not be done: The list of files cannot be read now" in drill.sentence(result)
        assert left_behind(group) == []


async def test_what_is_kept_can_be_shown_whatever_the_names_are(tmp_path, files, monkeypatch):
    monkeypatch.setattr(drill, "WALKS_MAX", 400)
    monkeypatch.setattr(drill, "FILES_MAX", 31)
    async with small_group(tmp_path / "group", 2) as group:
        await group.backup(files)
        odd = files / os.fsdecode(b"odd \xff")
        before = odd.stat()
        odd.write_bytes(b"ODD")
        os.utime(odd, ns=(before.st_atime_ns, before.st_mtime_ns))
        result = await run_drill(group)
        assert result.different_paths == (f"{files}/odd \\udcff",)
        assert last_drill(group.member.catalog) == result


# --- when -----------------------------------------------------------------------------------------


@pytest.fixture
async def group(tmp_path):
    async with small_group(tmp_path / "group", 1) as made:
        made.wall_s = 1_000_000.0
        made.member.wall_clock = lambda: int(made.wall_s * 1e9)
        yield made


def days_until_due(group: Any, day_s: float, days: int) -> int:
    for day in range(1, days + 1):
        group.wall_s += day_s
        if is_due(group.member):
            return day
    return 0


def keep(group: Any, result: DrillResult) -> None:
    import msgspec

    group.member.catalog.set_meta("drill", msgspec.json.encode(result))


async def test_the_first_drill_is_due_after_seven_days(group):
    assert not is_due(group.member)
    assert days_until_due(group, 86_400, 10) == 7


async def test_a_clock_that_jumps_a_year_brings_the_drill_one_day_nearer(group):
    assert not is_due(group.member)
    assert days_until_due(group, 365 * 86_400, 10) == 7


async def test_a_clock_that_goes_back_does_no_harm(group):
    assert not is_due(group.member)
    group.wall_s -= 400 * 86_400
    assert not is_due(group.member)
    assert days_until_due(group, 86_400, 10) == 7


async def test_many_nights_in_one_day_make_no_drill(group):
    assert days_until_due(group, 3600, 100) == 0


async def test_after_a_drill_that_failed_the_next_one_is_due_the_next_day(group):
    keep(group, DrillResult(1, 0, failed="no friend"))
    assert not is_due(group.member)
    assert days_until_due(group, 86_400, 10) == 1


async def test_what_cannot_be_read_of_the_last_drill_counts_as_none(group):
    group.member.catalog.set_meta("drill", b"{")
    assert last_drill(group.member.catalog) is None


async def test_a_night_ends_with_a_drill_when_one_is_due(tmp_path, files):
    async with small_group(tmp_path / "group", 2) as group:
        night = await group.backup(files)
        days = 0
        while "drill" not in night["summary"]:
            night = await drill_after(
                await group.backup(), group.member, lambda event: None, seed=days
            )
            days += 1
            assert days <= 8
        assert days == 8  # the clock of these groups jumps by weeks at each look
        assert night["ok"]
        assert "any 1 can vanish. The restore drill brought back 20 files" in night["message"]
        assert night["summary"]["drill"]["ok"]


async def test_a_night_that_failed_has_no_drill(group):
    night = done(ok=False, message="Too few friends.")
    assert await drill_after(night, group.member, lambda event: None, seed=1) is night
