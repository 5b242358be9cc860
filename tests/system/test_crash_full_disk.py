"""A member whose disk is really full (a small tmpfs): it says so, nothing is lost or left over."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.group import CommandFailed, LocalGroup
from tests.support.manifests import (
    assert_holders_keep_what_the_catalog_lists,
    assert_spool_empty,
    manifest,
    restored,
)

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts file systems"),
]

DISK_BYTES = 64 << 20
NIGHTS = 5
NEW_BYTES = 1_500_000
SPOOLED_BYTES = 3 * NEW_BYTES
"""With three friends any one share is all of a pack."""


@pytest.fixture
def small_disk(group: LocalGroup) -> Iterator[Path]:
    """The folder of the member `anna`, a file system of its own; gone when all processes are."""
    folder = group.folder / "anna"
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield folder
    finally:
        for member in group.members.values():
            member.kill()
        subprocess.run(["umount", str(folder)], check=True)


def leave(disk: Path, free_bytes: int) -> Path:
    """Fill the disk but for so much."""
    filler = disk / "filler"
    found = os.statvfs(disk)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - free_bytes)
    return filler


def test_nights_on_a_full_disk_fail_in_plain_words_and_the_next_one_with_room_is_whole(
    group: LocalGroup, small_disk: Path, tmp_path: Path
):
    chance = random.Random(5)
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "old").write_bytes(chance.randbytes(NEW_BYTES))
    owner = group.join("anna", space="50MB")  # three times what five nights store
    others = group.join_all("ben", "carla", "david")
    friends = {friend.name: friend for friend in others}
    group.wait_online(owner, len(friends))
    owner.run("mark", str(folder))
    assert owner.run("backup")["ok"]
    complete, errors = manifest(folder), []
    for night in range(NIGHTS):
        (folder / "new").write_bytes(chance.randbytes(NEW_BYTES))
        filler = leave(small_disk, chance.randrange(2 * SPOOLED_BYTES))
        try:
            assert owner.run("backup")["ok"]
            complete = manifest(folder)
        except CommandFailed as error:
            errors.append(str(error))
        filler.unlink()
        back = tmp_path / f"back {night}"
        assert restored(owner, "latest", folder, back) == complete, f"night {night}"
    assert 0 < len(errors) < NIGHTS
    assert all("No space left on device" in text for text in errors), errors
    assert owner.run("backup")["ok"]
    assert restored(owner, "latest", folder, tmp_path / "back") == manifest(folder)
    assert_spool_empty(owner)
    assert_holders_keep_what_the_catalog_lists(owner, friends)
    assert list(owner.home.glob("scratch-*")) == []
