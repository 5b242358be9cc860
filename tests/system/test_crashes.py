"""Members that are killed at any moment and started again: nothing is lost, nothing is left over.

The kill is SIGKILL, to a whole member or, as the kernel does when memory runs out, to its agent,
its engine or a worker alone. All nights are of one day, so that each one thins out the one before.
`tests/system/test_crash_points.py` does the same at every storage call, without real processes.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from bench.group import LocalGroup, MemberProcess, covey
from tests.support.manifests import (
    Manifest,
    assert_holders_keep_what_the_catalog_lists,
    assert_spool_empty,
    begun_at,
    manifest,
    restored,
)

pytestmark = [pytest.mark.system, pytest.mark.slow]

KILLS = 16
RESTORE_KILLS = 8
DELAY_S = (0.05, 1.5)
LOOK_EVERY = 4
SEED = int(os.environ.get("COVEY_CRASH_SEEDS", "20").partition("-")[0])
CLIENT_START_S = 0.3
"""About what `covey backup` needs before it asks the agent for anything."""


def change(folder: Path, chance: random.Random) -> None:
    """What a day does to a folder: new files, an edit in the middle, a deletion."""
    for _ in range(chance.randint(2, 5)):
        place = folder / f"day {chance.randrange(6)}"
        place.mkdir(exist_ok=True)
        name = f"new {chance.randrange(10**9)}"
        (place / name).write_bytes(chance.randbytes(chance.randrange(1, 500_000)))
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    edited = chance.choice(files)
    with edited.open("r+b") as file:
        file.seek(chance.randrange(edited.stat().st_size + 1))
        file.write(chance.randbytes(1000))
    chance.choice(files).unlink()


def begin(owner: MemberProcess, *command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        covey("--home", str(owner.home), "--json", *command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def kill_agent_alone(owner: MemberProcess) -> None:
    """The agent dies; its engine and workers must notice by themselves."""
    assert owner.agent is not None
    os.kill(owner.agent.pid, signal.SIGKILL)
    owner.agent.wait(timeout=30)
    owner.agent = None


def kill_child(owner: MemberProcess, module: str, chance: random.Random) -> bool:
    """Kill one of the agent's processes that runs this module; whether there was one."""
    assert owner.agent is not None
    try:
        found = [
            child
            for child in psutil.Process(owner.agent.pid).children(recursive=True)
            if module in child.cmdline()
        ]
        if found:
            chance.choice(found).kill()
    except psutil.NoSuchProcess:
        return False
    return bool(found)


def kill_something(
    owner: MemberProcess, client: subprocess.Popen[bytes], chance: random.Random
) -> str:
    """Kill the member or a part of it, and start again what is not there any more.

    Who finds no agent works alone, so that the command that was slow to begin dies with the agent.
    """
    victim = chance.choice(("member", "member", "agent", "peer.engine", "peer.backup.worker"))
    if victim.startswith("peer.") and kill_child(owner, victim, chance):
        return victim
    if victim == "agent":
        kill_agent_alone(owner)
    else:
        owner.kill()
    os.killpg(client.pid, signal.SIGKILL)
    owner.start()
    return victim


def as_of(taken: list[tuple[int, Manifest]], time_ns: int) -> Manifest:
    """What the folder held when a snapshot of that time was begun."""
    return [found for since, found in taken if since <= time_ns][-1]


def test_a_member_killed_at_random_moments_completes_and_no_holder_keeps_garbage(
    group: LocalGroup, tmp_path: Path
):
    chance = random.Random(SEED)
    folder = tmp_path / "files"
    folder.mkdir()
    change(folder, chance)
    owner, *others = group.join_all("anna", "ben", "carla", "david")
    friends = {friend.name: friend for friend in others}
    group.wait_online(owner, len(friends))
    owner.run("mark", str(folder))
    taken = [(time.time_ns(), manifest(folder))]
    assert owner.run("backup")["ok"]

    for number in range(1, KILLS + 1):
        change(folder, chance)
        taken.append((time.time_ns(), manifest(folder)))
        client = begin(owner, "backup")
        time.sleep(CLIENT_START_S + chance.uniform(*DELAY_S))
        print(kill_something(owner, client, chance), end=" ")
        client.communicate(timeout=60)
        if number % LOOK_EVERY == 0:
            group.wait_online(owner, len(friends))
            newest = owner.run("snapshots")["snapshots"][-1]
            back = restored(owner, newest["id"], folder, tmp_path / f"back {number}")
            assert back == as_of(taken, newest["time_ns"]), f"seed {SEED}, kill {number}"

    group.wait_online(owner, len(friends))
    change(folder, chance)
    taken.append((time.time_ns(), manifest(folder)))
    assert owner.run("backup")["ok"]
    for snapshot in owner.run("snapshots")["snapshots"]:
        target = tmp_path / f"end {snapshot['id'][:12]}"
        assert restored(owner, snapshot["id"], folder, target) == as_of(taken, snapshot["time_ns"])
    assert owner.run("check")["ok"]
    assert_spool_empty(owner)
    assert_holders_keep_what_the_catalog_lists(owner, friends)
    assert list(owner.home.glob("scratch-*")) == []


def test_a_restore_killed_again_and_again_is_completed_and_leaves_nothing_unfinished(
    group: LocalGroup, tmp_path: Path
):
    chance = random.Random(SEED)
    folder, target = tmp_path / "files", tmp_path / "back"
    for number in range(600):
        place = folder / f"folder {number % 20}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"file {number}").write_bytes(chance.randbytes(chance.randrange(100_000)))
    owner, *friends = group.join_all("anna", "ben", "carla")
    group.wait_online(owner, len(friends))
    owner.run("mark", str(folder))
    assert owner.run("backup")["ok"]
    for _ in range(RESTORE_KILLS):
        client = begin(owner, "restore", "latest", "--to", str(target))
        time.sleep(CLIENT_START_S + chance.uniform(*DELAY_S))
        print(kill_something(owner, client, chance), end=" ")
        client.communicate(timeout=60)
        group.wait_online(owner, len(friends))
    assert restored(owner, "latest", folder, target) == manifest(folder)
    assert [path for path in target.rglob("*") if path.name.endswith(".part")] == []
    assert list(owner.home.glob("scratch-*")) == []


def test_a_friend_killed_while_it_receives_is_sent_the_rest_when_it_is_back(
    group: LocalGroup, tmp_path: Path
):
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(6):
        (folder / f"file {number}").write_bytes(os.urandom(8_000_000))
    owner, *others = group.join_all("anna", "ben", "carla", "david")
    friends = {friend.name: friend for friend in others}
    group.wait_online(owner, len(friends))
    owner.run("mark", str(folder))
    owner_id = owner.run("status")["member_id"]

    client = begin(owner, "backup")
    deadline = time.monotonic() + 60
    while not any(size > 1_000_000 for size in begun_at(friends["ben"], owner_id).values()):
        assert time.monotonic() < deadline, "ben receives nothing"
        time.sleep(0.005)
    friends["ben"].kill()
    friends["ben"].start()
    client.communicate(timeout=120)
    assert client.returncode == 0

    assert owner.run("check")["ok"]
    assert_spool_empty(owner)
    assert_holders_keep_what_the_catalog_lists(owner, friends)
    assert restored(owner, "latest", folder, tmp_path / "back") == manifest(folder)
