"""Real members that leave, and real computers with the same recovery words."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bench.group import CommandFailed, MemberProcess
from bench.trees import compare_trees

pytestmark = [pytest.mark.system, pytest.mark.slow]


@pytest.fixture
def letters(tmp_path) -> Path:
    root = tmp_path / "letters"
    root.mkdir()
    for number in range(5):
        (root / f"{number}").write_bytes(f"letter {number}\n".encode() * 20_000)
    return root


def friends_of(member: MemberProcess) -> set[str]:
    return {friend["name"] for friend in member.run("friends")["friends"]}


def test_who_leaves_hands_over_first_and_is_a_member_no_more(group, letters, tmp_path):
    anna, ben, _ = group.join_all("anna", "ben", "carla")
    group.wait_online(anna, 2)
    anna.run("mark", str(letters))
    assert anna.run("backup")["ok"]
    dora = group.join("dora")
    group.wait_online(anna, 3)

    with pytest.raises(CommandFailed) as failure:
        ben.run("leave")
    assert "--yes" in failure.value.output
    left = ben.run("leave", "--yes")
    assert left["ok"]
    assert left["summary"]["told"]
    assert left["summary"]["left_bytes"] == 0
    assert left["summary"]["handed_over_bytes"] > 0
    kept = [ben.home / name for name in ("config.json", "secrets.json", "held", "catalog.sqlite")]
    deadline = time.monotonic() + 30
    while any(path.exists() for path in kept) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(path.exists() for path in kept)
    ben.stop()  # it waits for somebody to join with this computer again

    assert friends_of(anna) == {"carla", "dora"}
    holders = {one["name"]: one["shares"] for one in anna.run("friends")["friends"]}
    assert holders["dora"] == holders["carla"] > 0
    group.members["carla"].kill()  # what is at Dora is enough
    assert anna.run("restore", "latest", "--to", str(tmp_path / "back"))["ok"]
    assert compare_trees(letters, Path(f"{tmp_path}/back{letters}")).differences == ()
    assert dora.run("status")["connected"]


def test_a_computer_that_comes_up_again_after_it_was_made_anew_stops_and_publishes_nothing(
    group, letters
):
    anna, _ = group.join_all("anna", "ben")
    group.wait_online(anna, 1)
    anna.run("mark", str(letters))
    assert anna.run("backup")["ok"]
    new = group.recover("anna again", "anna")
    assert new.run("backup")["ok"]

    def is_stopped() -> bool:
        return any("--take-over" in text for text in anna.run("status")["warnings"])

    deadline = time.monotonic() + 60
    while not is_stopped() and time.monotonic() < deadline:
        time.sleep(0.5)
    assert is_stopped()
    with pytest.raises(CommandFailed) as failure:
        anna.run("backup")
    assert "same recovery words" in failure.value.output
    anna.stop()
    anna.start()
    assert is_stopped()  # it remembers, and asks nobody
    assert len(new.run("snapshots")["snapshots"]) == 2
