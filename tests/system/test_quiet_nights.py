"""Quiet nights with real processes: what leaves the computer is next to nothing."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.group import LocalGroup, MemberProcess

pytestmark = [pytest.mark.system, pytest.mark.slow]

FRIENDS = ("ben", "carla", "david", "emma", "finn")
FILES = 3000
QUIET_BYTES_MAX = 64 * 1024
METADATA_PART = 0.001


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    source = random.Random(3)
    root = tmp_path_factory.mktemp("quiet") / "many files"
    for number in range(FILES):
        path = root / f"folder {number % 100}" / f"file {number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.randbytes(source.randrange(100, 3000)))
    (root / "large").write_bytes(source.randbytes(12 << 20))
    time.sleep(2.1)  # what was just written is looked at once more the next night
    return root


@pytest.fixture(scope="module")
def owner(folder: Path) -> Iterator[MemberProcess]:
    with LocalGroup(folder.parent / "group") as group:
        made, *_ = group.join_all("anna", *FRIENDS)
        group.wait_online(made, len(FRIENDS))
        made.run("mark", str(folder))
        assert made.run("backup")["ok"]
        yield made


def sent_bytes(owner: MemberProcess) -> int:
    return sum(link["bytes_sent"] for link in owner.run("status")["links"])


def sent_in_a_night(owner: MemberProcess) -> int:
    before = sent_bytes(owner)
    assert owner.run("backup")["ok"]
    return sent_bytes(owner) - before


def metadata_bytes(folder: Path) -> int:
    """About what the tree's listings take: a hundred bytes and a name for each file."""
    return sum(100 + len(os.fsencode(path)) for path in folder.rglob("*"))


def test_an_unchanged_night_sends_next_to_nothing(owner, folder):
    limit = QUIET_BYTES_MAX + METADATA_PART * metadata_bytes(folder)
    sent = [sent_in_a_night(owner) for _ in range(3)]
    print(f"sent on quiet nights: {sent} bytes; at most {limit:.0f} are allowed")
    assert max(sent) < limit


def test_what_is_moved_copied_touched_or_marked_twice_ships_no_content(owner, folder, tmp_path):
    (folder / "folder 1").rename(folder / "renamed")
    shutil.copy(folder / "large", folder / "copy of large")
    for path in folder.rglob("*"):
        path.touch()
    twin = tmp_path / "a second marked folder"
    shutil.copytree(folder / "folder 2", twin)
    shutil.copy(folder / "large", twin / "large")
    owner.run("mark", str(twin))
    summary = owner.run("backup")["summary"]
    # Times have changed everywhere, so that every folder's listing is new; no content is.
    assert summary["packed_bytes"] < 3 * metadata_bytes(folder)
