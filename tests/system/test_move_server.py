"""A group of real processes moves to another real server, and back to a life of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.group import CommandFailed, LocalGroup, MemberProcess

pytestmark = [pytest.mark.system, pytest.mark.slow]

SOON_S = 60.0


def until(member: MemberProcess, says: Callable[[dict[str, object]], bool]) -> None:
    deadline = time.monotonic() + SOON_S
    while not says(status := member.run("status")):
        assert time.monotonic() < deadline, status
        time.sleep(0.2)


def test_all_members_follow_a_move_also_who_was_away_and_the_old_server_may_end(
    group: LocalGroup, tmp_path: Path
):
    with LocalGroup(tmp_path / "elsewhere") as elsewhere:
        anna, ben, carla = (group.join(name, start=False) for name in ("anna", "ben", "carla"))
        anna.start()
        ben.start()
        until(anna, lambda status: status["friends_online"] == 1)
        with pytest.raises(CommandFailed, match="cannot be reached"):
            anna.run("move-server", "http://127.0.0.1:9")
        answer = anna.run("move-server", elsewhere.url)
        assert answer["server"] == elsewhere.url
        for member in (anna, ben):
            until(member, lambda status: status["server"] == elsewhere.url)
        carla.start()  # knows of nothing, and comes to the old server
        until(carla, lambda status: status["friends_online"] == 2)
        assert carla.run("status")["server"] == elsewhere.url
        group.stop_server()
        for member in (anna, ben, carla):
            member.stop()
            member.start()
        until(carla, lambda status: status["friends_online"] == 2)


def test_without_the_old_server_a_member_goes_alone(group: LocalGroup, tmp_path: Path):
    anna = group.join("anna", start=False)
    group.stop_server()
    with LocalGroup(tmp_path / "elsewhere") as elsewhere:
        with pytest.raises(CommandFailed, match="--alone"):
            anna.run("move-server", elsewhere.url)
        anna.run("move-server", elsewhere.url, "--alone")
        anna.start()
        until(anna, lambda status: status["connected"] is True)
