"""Looking into snapshots: what is shown, and how little is fetched for it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from chunking.formats import PackId
from datachannel.messages import Get
from peer.restore.browse import Browser
from peer.restore.job import new_fetcher, remembered, scratch_folder
from peer.restore.metadata import SealedPieces
from peer.service import Answer, Problem
from tests.support.small_group import SmallGroup, small_group

FOLDERS = 300


@pytest.fixture
def files(tmp_path) -> Path:
    chance = random.Random(8)
    root = tmp_path / "files"
    for number in range(FOLDERS):
        folder = root / f"{number % 10}" / f"folder {number}"
        folder.mkdir(parents=True)
        (folder / f"letter {number}.txt").write_bytes(chance.randbytes(40))
        (folder / "Photo.JPG").write_bytes(chance.randbytes(40))
        (folder / "link").symlink_to("Photo.JPG")
    return root


class Looking:
    """Browses as a node does, one scratch folder and fetcher for each command."""

    def __init__(self, group: SmallGroup, pieces: SealedPieces | None = None) -> None:
        self.group, self.pieces = group, pieces or SealedPieces()
        self.fetched: list[int] = []
        self.gets = 0
        for holder in group.holders.values():
            holder.handler = self._counting(holder.handler)
        group._sessions.clear()

    def _counting(self, handler):
        async def count(remote, request, stream):
            self.gets += isinstance(request, Get)
            await handler(remote, request, stream)

        return count

    async def ls(self, path: Path | str = "", *, snapshot: int = -1) -> list[Answer]:
        row = self.group.member.catalog.snapshots()[snapshot]
        return await self._do(lambda browser: browser.ls(row, str(path)))

    async def find(self, pattern: str) -> list[Answer]:
        rows = self.group.member.catalog.snapshots()

        async def all_of(browser: Browser) -> list[Answer]:
            return [found async for found in browser.find(rows, pattern)]

        return await self._do(all_of)

    async def _do(self, what) -> list[Answer]:
        member = self.group.member
        async with scratch_folder(member) as scratch:
            fetcher = new_fetcher(member, scratch, remembered(member))
            try:
                return await what(Browser(member, fetcher, scratch, self.pieces))
            finally:
                self.fetched.append(fetcher.fetched_bytes)
                assert list(scratch.iterdir()) == []


def names(entries: list[Answer]) -> list[str]:
    return [entry["name"] for entry in entries]


async def test_folders_files_links_and_what_is_above_the_marks_are_listed(files, tmp_path):
    async with small_group(tmp_path / "group", 3) as group:
        assert (await group.backup(files / "1", files / "2" / "folder 2"))["ok"]
        looking = Looking(group)
        assert names(await looking.ls()) == [files.parts[1]]
        assert names(await looking.ls(files)) == ["1", "2"]
        assert names(await looking.ls(files / "2")) == ["folder 2"]
        entries = await looking.ls(files / "1" / "folder 11")
        assert names(entries) == ["Photo.JPG", "letter 11.txt", "link"]
        assert [entry["kind"] for entry in entries] == ["file", "file", "link"]
        assert entries[2]["target"] == "Photo.JPG"
        (letter,) = await looking.ls(files / "1" / "folder 11" / "letter 11.txt")
        assert (letter["size"], letter["kind"]) == (40, "file")
        for absent in (files / "3", files / "1" / "none", files / "1" / "folder 11" / "link" / "x"):
            with pytest.raises(Problem, match="is not in that snapshot"):
                await looking.ls(absent)


async def test_a_name_is_found_in_every_folder_whatever_its_case(files, tmp_path):
    async with small_group(tmp_path / "group", 3) as group:
        assert (await group.backup(files))["ok"]
        looking = Looking(group)
        assert len(await looking.find("*.jpg")) == FOLDERS
        assert names(await looking.find("letter 7.txt")) == ["letter 7.txt"]
        assert len(await looking.find("letter 1")) == 111  # 1, 10 to 19, 100 to 199
        assert sorted(names(await looking.find("[0-2]"))) == ["0", "1", "2"]
        assert await looking.find("nothing of the kind") == []


async def test_each_version_of_a_file_is_found_once_with_the_newest_snapshot_that_has_it(
    files, tmp_path
):
    letter, photo = files / "1" / "folder 1" / "letter 1.txt", files / "1" / "folder 1"
    async with small_group(tmp_path / "group", 3) as group:
        assert (await group.backup(files))["ok"]
        letter.write_bytes(b"second")
        assert (await group.backup())["ok"]
        assert (await group.backup())["ok"]
        letter.write_bytes(b"the third")
        (photo / "Photo.JPG").unlink()
        assert (await group.backup())["ok"]
        ids = [row.id.hex() for row in group.member.catalog.snapshots()]
        looking = Looking(group)
        found = await looking.find("letter 1.txt")
        assert [(f["size"], f["snapshot"]) for f in found] == [
            (9, ids[3]),
            (6, ids[2]),
            (40, ids[0]),
        ]
        (gone,) = [f for f in await looking.find("photo.jpg") if "/folder 1/" in f["path"]]
        assert gone["snapshot"] == ids[2]
        (folder,) = await looking.find("folder [1]")  # changed twice, and told once
        assert (folder["kind"], folder["snapshot"]) == ("folder", ids[3])


async def test_finding_asks_for_many_folders_together(files, tmp_path):
    async with small_group(tmp_path / "group", 3) as group:
        assert (await group.backup(files))["ok"]
        looking = Looking(group)
        assert len(await looking.find("letter")) == FOLDERS
        assert looking.gets < 20
        assert looking.fetched[0] < 500_000


async def test_what_was_fetched_serves_the_next_command_and_the_neighbours(files, tmp_path):
    async with small_group(tmp_path / "group", 3) as group:
        assert (await group.backup(files))["ok"]
        looking = Looking(group)
        await looking.ls(files / "1")
        await looking.ls(files / "1")
        await looking.ls(files / "1" / "folder 1")
        await looking.ls(files / "1" / "folder 11")
        assert looking.fetched[0] > 0
        assert looking.fetched[1:] == [0, 0, 0]


async def test_little_memory_costs_only_time(files, tmp_path):
    async with small_group(tmp_path / "group", 3) as group:
        assert (await group.backup(files))["ok"]
        looking = Looking(group, SealedPieces(bytes_max=1))
        assert len(await looking.find("letter")) == FOLDERS
        assert names(await looking.ls(files / "1" / "folder 11"))[0] == "Photo.JPG"


async def test_without_enough_friends_it_is_said_that_nothing_can_be_read_now(files, tmp_path):
    async with small_group(tmp_path / "group", 3) as group:
        assert (await group.backup(files))["ok"]
        for holder in group.holders.values():
            holder.online = False
        with pytest.raises(Problem, match="cannot be read now: only 0 of the"):
            await Looking(group).ls()


def test_pieces_are_bounded_and_the_least_recently_used_goes_first():
    one, two = PackId(b"1" * 32), PackId(b"2" * 32)
    pieces = SealedPieces(bytes_max=100)
    pieces.add(one, 0, b"a" * 40)
    pieces.add(one, 100, b"b" * 40)
    assert pieces.read(one, 10, 30) == b"a" * 30
    assert pieces.read(one, 10, 31) is None
    assert pieces.read(two, 0, 1) is None
    pieces.add(two, 0, b"c" * 40)
    assert pieces.read(one, 100, 1) is None
    assert pieces.read(one, 0, 40) == b"a" * 40
    pieces.add(two, 0, b"d" * 400)
    assert pieces.read(two, 399, 1) == b"d"
    assert pieces.read(one, 0, 1) is None
