"""The main job with real processes: back up, lose computers, get everything back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.group import CommandFailed
from bench.trees import compare_trees

pytestmark = [pytest.mark.system, pytest.mark.slow]

FRIENDS = ("ben", "carla", "david", "emma", "finn")


def differences(folder: Path, target: Path) -> list[str]:
    found = compare_trees(folder, Path(f"{target}{folder}")).differences
    return [text for text in found if "a fifo" not in text]


def test_everything_comes_back_after_three_of_six_members_and_the_owners_state_are_lost(
    group, folder, tmp_path
):
    owner = group.join("anna")
    for name in FRIENDS:
        group.join(name)
    group.wait_online(owner, 5)
    owner.run("mark", str(folder))
    result = owner.run("backup")
    assert result["ok"]
    assert (result["summary"]["needed"], result["summary"]["total"]) == (2, 5)
    assert result["summary"]["can_vanish"] == 3

    for name in ("ben", "david", "emma"):
        group.members[name].kill()
    group.lose("anna")

    new = group.recover("anna again", "anna")
    assert new.run("restore", "latest", "--to", str(tmp_path / "back"))["ok"]
    assert differences(folder, tmp_path / "back") == []


def test_a_second_night_ships_only_what_changed_and_the_first_stays_restorable(
    group, folder, tmp_path
):
    owner = group.join("anna")
    for name in FRIENDS[:2]:
        group.join(name)
    group.wait_online(owner, 2)
    owner.run("mark", str(folder))
    first = owner.run("backup")["summary"]
    before = (folder / "letter").read_bytes()
    (folder / "letter").write_text("A new letter")
    second = owner.run("backup")["summary"]
    assert second["shipped_bytes"] < first["shipped_bytes"] / 20

    snapshots = owner.run("snapshots")["snapshots"]
    assert len(snapshots) == 2
    for snapshot, content in zip(snapshots, (before, b"A new letter"), strict=True):
        target = tmp_path / snapshot["id"][:8]
        owner.run("restore", snapshot["id"], "--to", str(target), str(folder / "letter"))
        assert Path(f"{target}{folder}/letter").read_bytes() == content
        assert not Path(f"{target}{folder}/private").exists()


def test_without_friends_a_backup_fails_and_says_what_is_missing(group, folder):
    owner = group.join("anna")
    owner.run("mark", str(folder))
    with pytest.raises(CommandFailed) as failure:
        owner.run("backup")
    assert failure.value.code == 1
    assert "nobody else in the group" in failure.value.output + failure.value.errors


def test_a_wrong_password_does_not_let_anyone_in(group):
    group.join("anna", start=False)
    group.password_file.write_text("another password altogether 99\n")
    with pytest.raises(CommandFailed) as failure:
        group.join("mallory", start=False)
    assert failure.value.code == 1
    assert "password" in (failure.value.output + failure.value.errors).lower()


def test_the_servers_database_and_logs_hold_no_name_and_no_addresses_of_links(group, folder):
    group.group = "The Unmistakable Gooseberries"
    owner = group.join("anna-unmistakable")
    group.join("ben-unmistakable")
    group.wait_online(owner, 1)
    owner.run("mark", str(folder))
    owner.run("backup")
    group.stop_server()
    kept = b"".join(
        path.read_bytes() for path in (group.folder / "server").rglob("*") if path.is_file()
    )
    kept += (group.folder / "server.log").read_bytes()
    assert kept
    for secret in (b"ooseberr", b"nmistakable", b"a=fingerprint", b"candidate:", b"ice-ufrag"):
        assert secret not in kept
    assert group.password.encode() not in kept


def test_a_holder_without_room_says_so_and_keeps_what_it_has(group, folder):
    (folder / "big").write_bytes(os.urandom(30_000_000))
    owner = group.join("anna")
    group.join("ben", space="5MB")
    group.wait_online(owner, 1)
    owner.run("mark", str(folder))
    with pytest.raises(CommandFailed) as failure:
        owner.run("backup")
    assert failure.value.code == 1
    assert "room" in failure.value.output
    assert group.members["ben"].run("space")["held_bytes"] <= 5_000_000

    group.join("carla", space="1GB")
    group.wait_online(owner, 2)
    assert owner.run("backup")["ok"]
