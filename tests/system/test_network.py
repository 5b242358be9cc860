"""The world of a member misbehaves during a backup: servers restart, friends call at once or go."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bench.group import LocalGroup, MemberProcess, covey
from tests.support.manifests import begun_at, manifest, restored

pytestmark = [pytest.mark.system, pytest.mark.slow]

GONE_S = 90.0
"""A backup may take so much at most when one of five friends is silent from its middle on."""


def fill(folder: Path, files: int, size: int) -> Path:
    folder.mkdir()
    for number in range(files):
        (folder / f"file {number}").write_bytes(os.urandom(size))
    return folder


def start_backup(member: MemberProcess) -> subprocess.Popen[str]:
    return subprocess.Popen(
        covey("--home", str(member.home), "--json", "backup"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def succeeded(backup: subprocess.Popen[str], timeout_s: float) -> bool:
    try:
        output, _ = backup.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        backup.kill()
        backup.communicate()
        raise
    assert backup.returncode == 0, output
    return True


def wait_until_receiving(friend: MemberProcess, owner_id: str, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not any(size > 500_000 for size in begun_at(friend, owner_id).values()):
        assert time.monotonic() < deadline, f"{friend.name} receives nothing"
        time.sleep(0.005)


def id_of(member: MemberProcess) -> str:
    return str(member.run("status")["member_id"])


def test_a_server_restarted_in_the_middle_of_a_backup_does_not_end_the_backup(
    group: LocalGroup, tmp_path: Path
):
    folder = fill(tmp_path / "files", 6, 8_000_000)
    owner, *friends = group.join_all("anna", "ben", "carla")
    group.wait_online(owner, len(friends))
    owner.run("mark", str(folder))
    backup = start_backup(owner)
    wait_until_receiving(friends[0], id_of(owner))
    port = urlsplit(group.url).port
    assert port is not None
    group.stop_server()
    time.sleep(1.0)
    group.start_server(port)
    assert succeeded(backup, 60)
    group.wait_online(owner, len(friends))
    assert restored(owner, "latest", folder, tmp_path / "back") == manifest(folder)


def test_two_members_started_at_once_call_each_other_without_a_fight(
    group: LocalGroup, tmp_path: Path
):
    members = [group.join(name, start=False) for name in ("anna", "ben")]
    folders = [fill(tmp_path / f"of {member.name}", 3, 4_000_000) for member in members]
    for member, folder in zip(members, folders, strict=True):
        member.run("mark", str(folder))
    for member in members:
        member.start()
    for member in members:
        group.wait_online(member, 1)
    backups = [start_backup(member) for member in members]
    for backup in backups:
        assert succeeded(backup, 60)
    for member, folder in zip(members, folders, strict=True):
        target = tmp_path / f"back to {member.name}"
        assert restored(member, "latest", folder, target) == manifest(folder)
        assert len(member.run("status")["links"]) == 1


def test_a_friend_frozen_in_the_middle_of_a_backup_does_not_keep_it_from_completing(
    group: LocalGroup, tmp_path: Path
):
    """Nobody is told that it is gone: its connections stay open, and nothing comes any more."""
    folder = fill(tmp_path / "files", 6, 8_000_000)
    owner, *friends = group.join_all("anna", "ben", "carla", "david", "emma", "finn")
    group.wait_online(owner, len(friends))
    owner.run("mark", str(folder))
    backup = start_backup(owner)
    wait_until_receiving(friends[0], id_of(owner))
    began = time.monotonic()
    agent = friends[0].agent
    assert agent is not None
    os.killpg(agent.pid, signal.SIGSTOP)
    assert succeeded(backup, GONE_S)
    print(f"{time.monotonic() - began:.1f} s after the friend was frozen")
    friends[0].kill()
    assert restored(owner, "latest", folder, tmp_path / "back") == manifest(folder)
