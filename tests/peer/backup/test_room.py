"""Nights for which there is not enough room: what fits goes, what does not stays as it was."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from peer.backup import tonight
from peer.backup.ignore import Ignored
from peer.backup.scan import LastNight
from peer.backup.tonight import what_waits
from peer.catalog import Catalog
from peer.service import Problem
from tests.support.small_group import SmallGroup, small_group

MB = 10**6
DAY_NS = 86_400 * 10**9


@pytest.fixture(autouse=True)
def small_things_count(monkeypatch):
    """As if this disk were full of files: else there is nothing to look at."""
    monkeypatch.setattr(tonight, "_used_bytes", lambda marks: 10**15)
    monkeypatch.setattr(tonight, "LARGE_FILE_BYTES", 300_000)


def write(path: Path, size: int, day: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))
    os.utime(path, ns=(day * DAY_NS, day * DAY_NS))
    return path


@dataclass
class Home:
    """Three marked folders, of which the letters changed last."""

    letters: Path
    photos: Path
    films: Path

    def marks(self) -> list[Path]:
        return [self.letters, self.photos, self.films]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    folder = tmp_path / "home"
    write(folder / "letters" / "dear", 200_000, day=30)
    write(folder / "photos" / "cat", 200_000, day=20)
    write(folder / "films" / "bird", 200_000, day=10)
    return Home(folder / "letters", folder / "photos", folder / "films")


async def restored(group: SmallGroup, target: Path) -> set[str]:
    assert (await group.restore(target))["ok"]
    return {path.name for path in target.rglob("*") if path.is_file()}


def may_take(group: SmallGroup, size: int) -> None:
    group.member.offer_bytes = size


async def test_the_most_recently_changed_goes_first_and_the_rest_waits(tmp_path: Path, home: Home):
    async with small_group(tmp_path / "group", 3) as group:  # k = 1, n = 3
        may_take(group, 3 * 470_000)
        night = await group.backup(*home.marks())
        assert night["ok"], night
        assert night["summary"]["waiting"] == 1
        assert "There was no room for 200 kB in 1 folder or file." in night["message"]
        assert "Give 1.0 GB more" in night["next_step"]
        assert await restored(group, tmp_path / "back") == {"dear", "cat"}
        may_take(group, 3 * 10 * MB)
        night = await group.backup()
        assert night["summary"]["waiting"] == 0
        assert await restored(group, tmp_path / "again") == {"dear", "cat", "bird"}


async def test_what_waits_stays_as_it_was_in_the_night_before(tmp_path: Path, home: Home):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(*home.marks())
        bird = (home.films / "bird").read_bytes()
        write(home.films / "bird", 900_000, day=40)
        write(home.films / "small", 100, day=40)
        may_take(group, sum(group.member.catalog.bytes_per_holder().values()) + 3 * 300_000)
        night = await group.backup()
        assert night["summary"]["waiting"] == 1
        assert await restored(group, tmp_path / "back") == {"dear", "cat", "bird", "small"}
        (back,) = (tmp_path / "back").rglob("bird")
        assert back.read_bytes() == bird
        may_take(group, 100 * MB)
        assert (await group.backup())["summary"]["waiting"] == 0
        await restored(group, tmp_path / "again")
        (back,) = (tmp_path / "again").rglob("bird")
        assert back.read_bytes() == (home.films / "bird").read_bytes()


async def test_of_one_wide_folder_the_newest_files_go_first(tmp_path: Path):
    folder = tmp_path / "photos"
    for day in range(1, 11):
        write(folder / f"photo {day}", 100_000, day)
    async with small_group(tmp_path / "group", 3) as group:
        may_take(group, 3 * 580_000)
        night = await group.backup(folder)
        assert night["ok"], night
        assert night["summary"]["waiting"] == 5
        assert await restored(group, tmp_path / "back") == {f"photo {d}" for d in range(6, 11)}
        may_take(group, 3 * 10 * MB)
        assert (await group.backup())["summary"]["waiting"] == 0
        assert len(await restored(group, tmp_path / "again")) == 10


async def test_where_nothing_fits_the_person_hears_what_to_give(tmp_path: Path, home: Home):
    async with small_group(tmp_path / "group", 3) as group:
        may_take(group, 30_000)
        with pytest.raises(Problem) as caught:
            await group.backup(*home.marks())
        assert caught.value.text == "The backup had to stop: there is no room for what is marked."
        assert caught.value.next_step.startswith("You can back up 10.0 kB more")


async def test_who_takes_all_that_it_may_hears_that_before_anything_is_read(
    tmp_path: Path, home: Home
):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(*home.marks())
        for holder in group.holders.values():
            holder.store.limit_bytes = 0
        may_take(group, 1000)
        with pytest.raises(Problem, match=r"You take 1\.8 MB of the group and give 1\.0 kB"):
            await group.backup()


async def test_a_friend_with_hardly_any_room_does_not_keep_out_what_fits_with_the_others(
    tmp_path: Path, home: Home
):
    async with small_group(tmp_path / "group", 5) as group:
        poor = next(iter(group.holders.values()))
        poor.store.limit_bytes = 20_000
        night = await group.backup(*home.marks())
        assert night["ok"], night
        assert (night["summary"]["waiting"], night["summary"]["total"]) == (0, 5)
        poor.store.limit_bytes = poor.store.used_bytes + 10_000
        others = list(group.holders.values())[1:]
        others[0].store.limit_bytes = others[0].store.used_bytes + 10_000
        write(home.films / "whale", 250_000, day=50)
        night = await group.backup()
        assert night["ok"], night
        assert (night["summary"]["waiting"], night["summary"]["total"]) == (0, 4)
        assert "whale" in await restored(group, tmp_path / "back")


async def test_of_two_friends_one_with_hardly_any_room_is_left_out(tmp_path: Path, home: Home):
    async with small_group(tmp_path / "group", 2) as group:
        next(iter(group.holders.values())).store.limit_bytes = 100_000
        night = await group.backup(*home.marks())
        assert night["ok"], night
        assert (night["summary"]["waiting"], night["summary"]["total"]) == (0, 1)
        write(home.films / "small", 100, day=50)
        assert (await group.backup())["summary"]["total"] == 2  # little is new: both take part


# --- the estimate ---------------------------------------------------------------------------


async def sizes(group: SmallGroup, marks: list[Path], room: int) -> dict[str, int]:
    last = group.member.catalog.last_tree()
    assert last is not None
    roots = LastNight.of(last[1], {}).roots
    found = what_waits(
        [os.fsencode(mark) for mark in marks],
        [],
        Ignored(["*.tmp"], []),
        group.member.catalog,
        roots,
        room,
    )
    return {os.fsdecode(os.path.basename(part.path)): part.whole_bytes() for part in found}


async def test_only_what_has_grown_counts_as_new(tmp_path: Path, home: Home):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(*home.marks())
        assert await sizes(group, home.marks(), 0) == {}
        write(home.photos / "dog", 50_000, day=31)
        write(home.photos / "thumbs.tmp", 70_000, day=31)
        write(home.films / "bird", 200_000, day=41)  # new bytes, as many as before
        write(home.letters / "novel", 400_000, day=41)
        assert await sizes(group, home.marks(), 0) == {"photos": 50_000, "novel": 400_000}
        (home.photos / "cat").rename(home.photos / "tiger")
        assert await sizes(group, home.marks(), 0) == {"photos": 50_000, "novel": 400_000}


async def test_deep_folders_count_with_the_one_above(tmp_path: Path, home: Home, monkeypatch):
    monkeypatch.setattr(tonight, "DEPTH_MAX", 1)
    async with small_group(tmp_path / "group", 3) as group:
        write(home.photos / "a" / "b" / "c" / "one", 1000, day=1)
        await group.backup(*home.marks())
        write(home.photos / "a" / "b" / "c" / "two", 500, day=1)
        write(home.photos / "a" / "b" / "three", 40, day=1)
        assert await sizes(group, home.marks(), 0) == {"b": 540}


def test_what_is_not_there_has_nothing_new(tmp_path: Path):
    catalog = Catalog(tmp_path / "catalog.sqlite")
    assert what_waits([b"/not/there"], [], Ignored([], []), catalog, {}, 0) == []
    catalog.close()
