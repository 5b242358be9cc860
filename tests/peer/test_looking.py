"""What a person looks at: folders page by page, versions, previews, marks and what is left out."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from peer.backup.ignore import change_ignored
from peer.backup.suggest import CACHE_SIGNATURE, suggestions
from peer.looking import Looking
from peer.restore.preview import describe_preview, is_text
from peer.service import Problem
from tests.support.small_group import SmallGroup, small_group

PNG = b"\x89PNG\r\n\x1a\n" + bytes(200)


class Waits:
    """Counts how often friends were waited for, and refuses when there are none."""

    def __init__(self) -> None:
        self.times, self.alone = 0, False

    async def __call__(self) -> None:
        self.times += 1
        if self.alone:
            raise Problem("The server cannot be reached.", code="unreachable")


def looking(group: SmallGroup) -> tuple[Looking, Waits]:
    waits = Waits()
    return Looking(group.member, waits), waits


@pytest.fixture
def files(tmp_path) -> Path:
    root = tmp_path / "files"
    (root / "Zoo").mkdir(parents=True)
    (root / "ape").mkdir()
    for name in ("b.txt", "A.txt", "c.png"):
        (root / name).write_bytes(PNG if name == "c.png" else f"words of {name}\n".encode())
    (root / "Zoo" / "lion.txt").write_text("roar\n")
    return root


async def test_a_folder_is_told_page_by_page_folders_first_whatever_the_case(files, tmp_path):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        look, _ = looking(group)
        page = await look.tree("latest", str(files), 0, 3)
        assert (page["total"], page["folders"]) == (5, 2)
        assert [entry["name"] for entry in page["entries"]] == ["ape", "Zoo", "A.txt"]
        rest = await look.tree("latest", str(files), 3, 3)
        assert [entry["name"] for entry in rest["entries"]] == ["b.txt", "c.png"]
        assert (await look.tree("latest", str(files), 99, 3))["entries"] == []
        with pytest.raises(Problem):
            await look.tree("latest", str(files), 0, 100_000)


async def test_typing_ahead_finds_the_next_name_round_and_round(files, tmp_path):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        look, _ = looking(group)

        async def place(begins: str, offset: int = 0) -> int | None:
            return (await look.tree("latest", str(files), offset, 1, begins))["at"]

        assert [await place("z"), await place("a"), await place("x")] == [1, 0, None]
        assert [await place("a", 1), await place("a", 3)] == [2, 0]


async def test_above_the_marks_the_way_to_them_is_told(files, tmp_path):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files / "Zoo", files / "b.txt")
        look, _ = looking(group)
        top = await look.tree("latest")
        assert [entry["path"] for entry in top["entries"]] == ["/" + files.parts[1]]
        above = await look.tree("latest", str(files))
        assert [(e["name"], e["kind"]) for e in above["entries"]] == [
            ("Zoo", "folder"),
            ("b.txt", "file"),
        ]
        with pytest.raises(Problem, match="not in that snapshot"):
            await look.tree("latest", "/nowhere")


async def test_the_newest_snapshot_opens_with_no_friend_and_older_ones_are_remembered(
    files, tmp_path
):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        (files / "Zoo" / "lion.txt").write_text("meow\n")
        await group.backup(files)
        look, waits = looking(group)
        waits.alone = True
        assert (await look.tree("latest", str(files / "Zoo")))["total"] == 1
        assert waits.times == 0
        old = group.member.catalog.snapshots()[0].id.hex()
        with pytest.raises(Problem, match="reached"):
            await look.tree(old, str(files))
        waits.alone = False
        assert (await look.tree(old, str(files / "Zoo")))["total"] == 1
        waits.alone = True
        assert (await look.tree(old, str(files / "Zoo")))["entries"][0]["size"] == 5


async def test_each_version_of_a_file_is_told_once_newest_first(files, tmp_path):
    async with small_group(tmp_path / "group", 3) as group:
        lion = files / "Zoo" / "lion.txt"
        for text in ("roar\n", None, "meow, meow\n", None):
            if text is not None:
                lion.write_text(text)
            (files / "b.txt").write_text(f"now {text}")
            await group.backup(files)
        look, _ = looking(group)
        rows = group.member.catalog.snapshots()
        found = await look.versions(str(lion))
        assert [one["size"] for one in found] == [11, 5]
        assert found[0]["snapshot"] == rows[-1].id.hex()
        assert await look.versions(str(files / "nothing")) == []


async def test_previews_are_texts_and_pictures_with_their_bytes(files, tmp_path):
    big = b"word " * 400_000
    (files / "big.txt").write_bytes(big)
    with (files / "holes.bin").open("wb") as file:
        file.truncate(1 << 20)
        file.seek(100_000)
        file.write(b"x")
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        look, _ = looking(group)

        async def preview(name: str, size_max: int = 1 << 20) -> tuple[str, bool, bytes]:
            told = await look.preview("latest", str(files / name), size_max)
            return told["kind"], told["whole"], base64.b64decode(told["data"])

        assert await preview("A.txt") == ("text", True, b"words of A.txt\n")
        assert await preview("c.png") == ("image", True, PNG)
        assert await preview("c.png", 50) == ("other", False, b"")
        assert await preview("big.txt", 1000) == ("text", False, big[:1000])
        assert await preview("big.txt", 2_000_000) == ("text", True, big)
        assert (await preview("holes.bin"))[0] == "other"
        with pytest.raises(Problem, match="Only files"):
            await look.preview("latest", str(files / "Zoo"), 100)
        with pytest.raises(Problem, match="not in that snapshot"):
            await look.preview("latest", str(files / "gone"), 100)


def test_text_may_be_cut_in_a_character_but_not_be_anything():
    assert is_text("naïve".encode()[:3], whole=False)
    assert not is_text("naïve".encode()[:3], whole=True)
    assert not is_text(b"a\0b", whole=True)
    assert describe_preview(b"<svg onload=alert(1)>", 21)["type"] == "text/plain"


async def test_marks_are_told_with_what_the_last_night_saw(files, tmp_path):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files / "Zoo", files / "b.txt")
        (files / "b.txt").unlink()
        look, _ = looking(group)
        told = {Path(one["path"]).name: one for one in await look.marks_detail()}
        assert (told["Zoo"]["files"], told["Zoo"]["bytes"], told["Zoo"]["there"]) == (1, 5, True)
        assert (told["b.txt"]["files"], told["b.txt"]["there"]) == (1, False)


async def test_what_the_last_night_left_out_can_be_read_by_day(files, tmp_path):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        look, _ = looking(group)
        assert await look.left_out() == []
        change_ignored(group.member.catalog, ["*.png"])
        await group.backup(files)
        assert [Path(one["path"]).name for one in await look.left_out()] == ["c.png"]
        assert await look.ignore() == {"patterns": ["*.png"]}
        assert await look.set_ignore([]) == {"patterns": []}
        await group.backup(files)
        assert await look.left_out() == []


def test_suggestions_have_the_sizes_that_lie_below_the_marks(tmp_path):
    for name, size in (
        ("app/node_modules/x/y.js", 500),
        ("app/src/__pycache__/a.pyc", 70),
        ("half.part", 9),
        ("media/thumbs/1.png", 300),
        ("letter.txt", 1000),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    (tmp_path / "media/thumbs/CACHEDIR.TAG").write_bytes(CACHE_SIGNATURE)
    told = suggestions([bytes(tmp_path)], ["*.tmp"])
    assert told["whole"]
    sizes = {one["topic"]: (one["files"], one["bytes"]) for one in told["suggestions"]}
    assert sizes == {
        "packages": (1, 500),
        "tagged": (2, 343),
        "caches": (1, 70),
        "unfinished": (1, 9),
    }
    (tagged,) = (one for one in told["suggestions"] if one["topic"] == "tagged")
    assert tagged["patterns"] == [f"{tmp_path}/media/thumbs/"]
    assert not suggestions([bytes(tmp_path)], [], entries_max=3)["whole"]
