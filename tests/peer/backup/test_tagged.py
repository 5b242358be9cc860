"""Marks that come and go by the tag, on real files: never at the price of a backup."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from peer.backup.marks import read_marks, write_marks
from peer.backup.tagged import (
    NIGHTS_WITHOUT,
    follow_tags,
    mark_and_tag,
    read_by_tag,
    unmark_and_untag,
    watch_tags,
)
from peer.blocking import run_blocking
from peer.catalog import Catalog
from peer.files.tagging import drop_tag, is_tagged, put_tag
from tests.support.small_group import small_group


class Home:
    """A person's home folder and what Covey knows of it."""

    def __init__(self, folder: Path, catalog: Catalog) -> None:
        self.folder, self.catalog = folder, catalog
        self.state = folder / "state of covey"
        self.state.mkdir(parents=True)

    def file(self, name: str, *, tagged: bool = True) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        if tagged:
            put_tag(os.fsencode(path))
        return path

    def night(self) -> dict[str, str]:
        """What a night tells, by name."""
        notes = follow_tags(self.catalog, self.folder, self.state, lambda: 0.0)
        return {Path(os.fsdecode(path)).name: text for path, text in notes}

    @property
    def marks(self) -> set[str]:
        return {
            str(Path(os.fsdecode(m)).relative_to(self.folder)) for m in read_marks(self.catalog)
        }


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    catalog = Catalog(tmp_path / "catalog.sqlite")
    yield Home(tmp_path / "home", catalog)
    catalog.close()


def save_as_editors_do(path: Path) -> None:
    """A new file in the old one's place."""
    beside = path.with_name("saved")
    beside.write_text("newer")
    beside.replace(path)


def test_what_is_tagged_is_marked_from_the_next_night_on(home: Home):
    home.file("letter")
    home.file("state of covey/secret")
    (home.folder / "album").mkdir()
    put_tag(os.fsencode(home.folder / "album"))
    assert home.night() == {}
    assert home.marks == {"letter", "album"}
    assert len(read_by_tag(home.catalog)) == 2


def test_taking_the_tag_off_a_folder_ends_its_mark(home: Home):
    album = home.file("album/photo", tagged=False).parent
    put_tag(os.fsencode(album))
    home.night()
    drop_tag(os.fsencode(album))
    assert home.night() == {}
    assert home.marks == set()


def test_taking_a_files_tag_off_ends_its_mark_after_seven_nights_of_telling(home: Home):
    letter = home.file("letter")
    home.night()
    drop_tag(os.fsencode(letter))
    told = [home.night()["letter"] for _ in range(NIGHTS_WITHOUT)]
    assert "for 6 more nights" in told[0]
    assert "for 1 more night;" in told[-2]
    assert "for the last time" in told[-1]
    assert home.marks == {"letter"}
    assert home.night() == {}
    assert home.marks == set()


def test_a_file_that_an_editor_saved_gets_its_tag_back_for_ever(home: Home):
    letter = home.file("letter")
    home.night()
    for _ in range(3 * NIGHTS_WITHOUT):
        save_as_editors_do(letter)
        assert not is_tagged(os.fsencode(letter))
        assert home.night() == {}
        assert is_tagged(os.fsencode(letter))
    assert home.marks == {"letter"}


def test_a_tag_that_comes_back_starts_the_count_anew(home: Home):
    letter = os.fsencode(home.file("letter"))
    home.night()
    for _ in range(2):
        drop_tag(letter)
        for _ in range(NIGHTS_WITHOUT):
            home.night()
        put_tag(letter)
        assert home.night() == {}
    assert home.marks == {"letter"}


def test_a_tagged_thing_on_a_disk_that_is_away_stays_marked(home: Home):
    home.file("disk/letter")
    home.night()
    (home.folder / "disk").rename(home.folder / ".away")
    for _ in range(3 * NIGHTS_WITHOUT):
        assert home.night() == {}
    assert home.marks == {"disk/letter"}


def test_a_deleted_file_is_forgotten_in_the_end(home: Home):
    home.file("letter")
    home.night()
    (home.folder / "letter").unlink()
    for _ in range(NIGHTS_WITHOUT):
        assert "letter" in home.night()
    home.night()
    assert home.marks == set()


def test_a_mark_of_the_persons_never_ends_by_a_tag(home: Home):
    mine = home.file("mine", tagged=False)
    mark_and_tag(home.catalog, [str(mine)])
    assert is_tagged(os.fsencode(mine))
    drop_tag(os.fsencode(mine))
    for _ in range(2 * NIGHTS_WITHOUT):
        assert home.night() == {}
    assert home.marks == {"mine"}


def test_marking_what_came_by_tag_makes_it_the_persons(home: Home):
    album = home.file("album/photo", tagged=False).parent
    put_tag(os.fsencode(album))
    home.night()
    mark_and_tag(home.catalog, [str(album)])
    drop_tag(os.fsencode(album))
    home.night()
    assert home.marks == {"album"}


def test_unmarking_takes_the_tag_away_so_that_no_night_marks_it_again(home: Home):
    letter = home.file("letter")
    os.setxattr(letter, "user.xdg.tags", b"holiday,For backup")
    home.night()
    unmark_and_untag(home.catalog, [str(letter)])
    assert os.getxattr(letter, "user.xdg.tags") == b"holiday"
    home.night()
    assert home.marks == set()


def test_a_tag_that_cannot_be_taken_away_is_not_heeded_until_it_was_gone(home: Home, monkeypatch):
    letter = home.file("letter")
    home.night()
    with monkeypatch.context() as readonly:  # root may write anywhere
        readonly.setattr("peer.backup.tagged.drop_tag", lambda _: None)
        unmark_and_untag(home.catalog, [str(letter)])
    home.night()
    assert home.marks == set()
    drop_tag(os.fsencode(letter))
    home.night()
    put_tag(os.fsencode(letter))
    home.night()
    assert home.marks == {"letter"}


def test_marks_of_an_older_covey_are_the_persons(home: Home):
    album = home.file("album/photo", tagged=False).parent
    write_marks(home.catalog, [os.fsencode(album)])
    for _ in range(2):
        home.night()
    assert home.marks == {"album"}
    assert read_by_tag(home.catalog) == {}


async def test_a_night_backs_up_what_was_only_tagged(tmp_path: Path):
    async with small_group(tmp_path / "group", friends=2) as group:
        member = group.member
        home = Home(tmp_path / "home", member.catalog)
        home.file("letter")
        member.tags = lambda catalog: follow_tags(catalog, home.folder, home.state, lambda: 0.0)
        ended = await group.backup()
        assert ended["ok"], ended
        assert ended["summary"]["files"] == 1


async def test_tags_are_looked_for_while_nothing_is_marked_since_no_night_comes(home: Home):
    home.file("letter")

    class Person:
        catalog = home.catalog

        def tags(self, catalog: Catalog):
            looked.set()
            return follow_tags(catalog, home.folder, home.state, lambda: 0.0)

    looked = threading.Event()
    watching = asyncio.create_task(watch_tags(run_blocking, Person()))
    await asyncio.to_thread(looked.wait, 10)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert home.marks == {"letter"}
