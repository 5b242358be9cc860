"""The tag «For backup» among other tags, on real files, and how it is found."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.files import tagging
from peer.files.tags import ATTRIBUTE, TAG, has_tag, parse, with_tag, without_tag

tag_lists = st.lists(
    st.text(st.characters(exclude_characters=",", exclude_categories=["Cs"])).map(str.strip),
    max_size=5,
)


def encoded(tags: list[str]) -> bytes:
    return ",".join(tags).encode()


@given(tag_lists)
def test_adding_and_removing_keeps_every_other_tag_in_its_order(tags):
    others = [tag for tag in tags if tag and tag.casefold() != TAG.casefold()]
    tagged = with_tag(encoded(tags))
    assert has_tag(tagged)
    assert [tag for tag in parse(tagged) if tag.casefold() != TAG.casefold()] == others
    assert parse(without_tag(tagged)) == others
    assert with_tag(tagged) == tagged


@given(st.binary())
def test_any_value_can_be_read_and_bytes_of_others_come_back(value):
    tagged = with_tag(value)
    assert has_tag(tagged)
    assert parse(without_tag(tagged)) == parse(without_tag(value))


def test_what_has_no_tag_of_ours_is_not_touched():
    assert without_tag(b" holiday ,, 2025") == b" holiday ,, 2025"


@pytest.mark.parametrize("value", [b"For backup", b"a, for Backup ,b", b"FOR BACKUP"])
def test_the_tag_is_known_as_people_type_it(value):
    assert has_tag(value)


@pytest.mark.parametrize("value", [b"", b"For backups", b"Not For backup", b"\xff\xfe,,"])
def test_another_tag_is_not_ours(value):
    assert not has_tag(value)


def test_a_files_other_tags_survive(tmp_path: Path):
    path = os.fsencode(tmp_path / "file")
    Path(os.fsdecode(path)).touch()
    assert tagging.is_tagged(path) is False
    os.setxattr(path, ATTRIBUTE, b"holiday")
    tagging.put_tag(path)
    assert os.getxattr(path, ATTRIBUTE) == b"holiday,For backup"
    assert tagging.is_tagged(path) is True
    tagging.drop_tag(path)
    assert os.getxattr(path, ATTRIBUTE) == b"holiday"


def test_the_last_tag_takes_the_attribute_with_it(tmp_path: Path):
    path = os.fsencode(tmp_path)
    tagging.put_tag(path)
    tagging.drop_tag(path)
    assert os.listxattr(path) == []


def test_what_can_have_no_tag_raises_nothing(tmp_path: Path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    for path in (os.fsencode(link), os.fsencode(tmp_path / "absent"), b"/proc/self/status"):
        tagging.put_tag(path)
        tagging.drop_tag(path)
        assert not tagging.is_tagged(path)
    assert tagging.is_tagged(os.fsencode(tmp_path / "absent")) is None


def found(top: Path, *skip: Path, clock=lambda: 0.0) -> set[str]:
    skipped = frozenset(map(os.fsencode, skip))
    paths = tagging.find_tagged(os.fsencode(top), skipped, clock)
    return {str(Path(os.fsdecode(path)).relative_to(top)) for path in paths}


def tagged(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    tagging.put_tag(os.fsencode(path))


def test_tagged_things_are_found_but_not_where_nobody_looks(tmp_path: Path):
    for name in ("a", "b/c/d", ".hidden/e", "marked/f", "deep/1/2/3/4/5/6/7/8/9/g"):
        tagged(tmp_path / name)
    (tmp_path / "whole").mkdir()
    tagging.put_tag(os.fsencode(tmp_path / "whole"))
    tagged(tmp_path / "whole" / "inside")
    (tmp_path / "round").symlink_to(tmp_path)
    assert found(tmp_path, tmp_path / "marked") == {"a", "b/c/d", "whole"}


def test_the_search_ends_in_time_and_after_so_many_entries(tmp_path: Path, monkeypatch):
    for number in range(20):
        tagged(tmp_path / str(number))
    seconds = count(0, 5)
    assert len(found(tmp_path, clock=lambda: float(next(seconds)))) == tagging.SEARCH_S // 5
    monkeypatch.setattr(tagging, "ENTRIES_MAX", 7)
    assert len(found(tmp_path)) == 7


def test_network_mounts_are_known_without_looking_at_them(tmp_path: Path, monkeypatch):
    mounts = tmp_path / "mountinfo"
    mounts.write_bytes(
        b"36 35 98:0 / /home/anna/My\\040NAS rw,noatime shared:1 - nfs4 nas:/x rw\n"
        b"37 35 8:1 / /home rw - ext4 /dev/sda1 rw\n"
        b"38 35 0:5 / /home/anna/phone rw - fuse.gvfsd-fuse gvfsd-fuse rw\n"
        b"not a line of it\n"
    )
    monkeypatch.setattr(tagging, "_MOUNTS", mounts)
    assert tagging.slow_mounts() == {b"/home/anna/My NAS", b"/home/anna/phone"}
