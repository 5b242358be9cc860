"""What a person does not want backed up stays out, and nothing else does."""

from __future__ import annotations

import pytest

from peer.backup.ignore import Ignored, change_ignored, ignored_of, next_ignored
from peer.backup.messages import NightReady, Note
from peer.backup.settings import next_settings
from peer.catalog import Catalog
from peer.service import Problem

MARK = b"/home/ann/work"


def is_out(patterns: list[str], path: str, *, folder: bool = False, marks=(MARK,)) -> bool:
    whole = MARK + b"/" + path.encode()
    return Ignored(patterns, marks)(MARK, whole, whole.rpartition(b"/")[2], folder)


@pytest.mark.parametrize(
    ("pattern", "path", "folder", "out"),
    [
        ("node_modules/", "a/node_modules", True, True),
        ("node_modules/", "a/node_modules", False, False),
        ("*.tmp", "deep/below/x.tmp", False, True),
        ("*.tmp", "x.tmp.txt", False, False),
        ("work", "papers", True, False),
        ("a/b", "a/b", True, True),
        ("a/b", "c/a/b", True, False),
        ("/home/ann/work/old", "old", True, True),
        ("/home/ann/work/old", "new/old", True, False),
        ("**/deep/*.o", "x/deep/y.o", False, True),
    ],
)
def test_patterns_mean_what_they_mean_in_a_gitignore(pattern, path, folder, out):
    assert is_out([pattern], path, folder=folder) is out


def test_a_folder_above_the_mark_of_an_ignored_name_ignores_nothing():
    assert not is_out(["ann/", "home/"], "letter.txt")


def test_what_somebody_marked_is_never_left_out_nor_what_leads_to_it():
    inner = MARK + b"/node_modules/mine"
    assert not is_out(["node_modules/"], "node_modules", folder=True, marks=(MARK, inner))
    assert is_out(["node_modules/"], "b/node_modules", folder=True, marks=(MARK, inner))


@pytest.mark.parametrize("wrong", ["", "!keep", "# words", "/", "*", "a\nb", "x" * 301, "***"])
def test_what_is_no_pattern_is_refused(tmp_path, wrong):
    catalog = Catalog(tmp_path / "catalog.sqlite")
    with pytest.raises(Problem):
        change_ignored(catalog, ["*.tmp", wrong])
    with pytest.raises(Problem):
        change_ignored(catalog, [f"{number:0>290}" for number in range(20)])
    assert ignored_of(catalog, {}) == []
    catalog.close()


def test_patterns_wait_in_the_catalog_and_go_into_the_root_record(tmp_path):
    catalog = Catalog(tmp_path / "catalog.sqlite")
    change_ignored(catalog, ["*.tmp", "target/", "*.tmp "])
    settings = next_settings(catalog, {"member_name": "ann"}, b"", 1)
    assert settings["ignore"] == "*.tmp\ntarget/"
    catalog.close()
    fresh = Catalog(tmp_path / "new.sqlite")
    assert ignored_of(fresh, settings) == ["*.tmp", "target/"]
    change_ignored(fresh, [])
    assert next_ignored(fresh, settings) == {}
    assert "ignore" not in next_settings(fresh, settings, b"", 2)
    fresh.close()


def listed(member, *path: str) -> set[str]:
    catalog = Catalog(member.catalog_path)
    rows = catalog.listings_after(b"", 100)
    catalog.close()
    return {row[0].decode() for row in rows}


def test_a_night_leaves_out_what_it_should_and_says_so_once(member, tmp_path):
    files = tmp_path / "files"
    for name in ("src/a.c", "src/a.o", "node_modules/x/y.js"):
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).write_text(name)
    first = member.night(files).of(NightReady)[0]
    assert first.files == 3
    heard = member.night(files, ignore=["node_modules/", "*.o"])
    assert heard.of(NightReady)[0].files == 1
    told = {note.path.decode() for note in heard.of(Note)}
    assert told == {str(files / "node_modules"), str(files / "src" / "a.o")}
    assert all("earlier nights still have it" in note.text for note in heard.of(Note))
    assert listed(member) == {str(files), str(files / "src")}

    again = member.night(files, ignore=["node_modules/", "*.o"])
    assert again.of(NightReady)[0].files == 1
    assert again.of(Note) == []

    back = member.night(files)
    assert back.of(NightReady)[0].files == 3


def test_leaving_out_most_of_the_data_holds_old_nights_back(member, tmp_path):
    files = tmp_path / "files"
    files.mkdir()
    for number in range(40):
        (files / f"{number}.bin").write_bytes(bytes([number]) * 5000)
    before = member.night(files).of(NightReady)[0]
    ready = member.night(files, ignore=["*.bin"]).of(NightReady)[0]
    assert ready.hold == before.snapshot
