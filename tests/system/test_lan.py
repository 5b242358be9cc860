"""Members without any server: their agents find each other on the local network, and run one."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.group import MemberProcess, covey

pytestmark = [pytest.mark.system, pytest.mark.slow]

GROUP, PASSWORD = "The Neighbours", "gravel-pelican-oboe-thirteen"
SOON_S = 60.0


@pytest.fixture
def at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], MemberProcess]]:
    """Members whose local network is this computer."""
    monkeypatch.setenv("COVEY_LAN_ADDRESS", "127.0.0.1")
    monkeypatch.delenv("COVEY_SERVER", raising=False)
    (tmp_path / "password").write_text(PASSWORD)
    members: list[MemberProcess] = []

    def join(name: str) -> MemberProcess:
        member = MemberProcess(name, tmp_path / name)
        members.append(member)
        words = ("--words-file", str(tmp_path / f"{name}.words"))
        how = ("--space", "100MB", "--name", name, "--create")
        member.run("join", GROUP, *how, *words, "--password-file", str(tmp_path / "password"))
        return member

    yield join
    for member in members:
        member.kill()


def sees(member: MemberProcess, friends: int) -> None:
    """Wait until so many friends are online."""
    deadline = time.monotonic() + SOON_S
    while (status := member.run("status"))["friends_online"] != friends:
        assert time.monotonic() < deadline, status
        time.sleep(0.2)


def test_a_server_that_is_announced_is_the_one_that_members_take(
    at_home: Callable[[str], MemberProcess], tmp_path: Path
):
    server = subprocess.Popen(
        covey("serve", "--announce", "--data", str(tmp_path / "server"), "--json"),
        stdout=subprocess.PIPE,
    )
    try:
        assert server.stdout is not None
        assert b"http://127.0.0.1:" in server.stdout.readline()
        anna, ben = at_home("anna"), at_home("ben")
        for member in (anna, ben):
            member.start()
        sees(anna, 1)
        assert (tmp_path / "server" / "groups.json").stat().st_size > 100
        assert not (anna.home / "server").exists()
    finally:
        server.terminate()
        server.wait(20)
        assert server.stdout is not None
        server.stdout.close()


def test_members_meet_without_a_server_and_one_takes_the_place_of_who_goes(
    at_home: Callable[[str], MemberProcess],
):
    anna = at_home("anna")
    anna.start()
    sees(anna, 0)
    ben = at_home("ben")
    assert ben.run("status")["server"] == "lan"
    ben.start()
    sees(ben, 1)
    sees(anna, 1)
    anna.stop()  # who ran the server
    sees(ben, 0)
    carla = at_home("carla")
    carla.start()
    sees(carla, 1)
    sees(ben, 1)
    anna.start()
    sees(anna, 2)
