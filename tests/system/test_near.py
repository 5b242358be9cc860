"""Friends at home without the internet: real members, each a computer of one local network."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.group import MemberProcess, covey
from netsim.lab.spaces import Space, end, new_space
from tests.support.manifests import manifest

pytestmark = [pytest.mark.system, pytest.mark.slow]

GROUP, PASSWORD = "The Neighbours", "gravel-pelican-oboe-thirteen"
ROUTER = "10.77.0.1"
SOON_S = 120.0


class House:
    """Computers at one switch, and a router that leads to the group's server."""

    def __init__(self, folder: Path, spaces: list[Space], router: Space) -> None:
        self.folder, self.router = folder, router
        self.url = ""
        self._spaces = iter(spaces)
        self._server: subprocess.Popen[bytes] | None = None
        self.members: list[MemberProcess] = []
        (folder / "password").write_text(PASSWORD)

    def start_server(self) -> None:
        command = covey(
            *("serve", "--host", ROUTER, "--port", "8000", "--data", str(self.folder / "server"))
        )
        self._server = subprocess.Popen(
            self.router.inside(command), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._server.stdout is not None
        self.url = self._server.stdout.readline().decode().strip()

    def end_server(self) -> None:
        if self._server is not None:
            end(self._server)
            self._server = None

    def member(self, name: str) -> MemberProcess:
        """Somebody at the next computer."""
        within = next(self._spaces).inside([])
        member = MemberProcess(
            name, self.folder / name, within=within, environment={"COVEY_LAN": ""}
        )
        self.members.append(member)
        return member

    def join(self, name: str) -> MemberProcess:
        member = self.member(name)
        how = ("--space", "300MB", "--name", name, "--create", "--server", self.url)
        words = ("--words-file", str(self.folder / f"{name}.words"))
        password = ("--password-file", str(self.folder / "password"))
        member.run("join", GROUP, *how, *words, *password)
        member.start()
        return member


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with (
        new_space("router") as router,
        new_space("one") as one,
        new_space("two") as two,
        new_space("three") as three,
        new_space("four") as four,
    ):
        computers = [one, two, three, four]
        router.ip("link", "add", "bridge", "type", "bridge")
        router.ip("link", "set", "bridge", "up")
        router.ip("address", "add", f"{ROUTER}/24", "dev", "bridge")
        for number, space in enumerate(computers, start=2):
            port = f"p{number}"
            router.ip(
                *("link", "add", port, "type", "veth"),
                *("peer", "name", "eth0", "netns", space.name),
            )
            router.ip("link", "set", port, "master", "bridge", "up")
            space.ip("link", "set", "eth0", "up")
            space.ip("address", "add", f"10.77.0.{number}/24", "dev", "eth0")
            space.ip("route", "add", "default", "via", ROUTER)
        made = House(tmp_path, computers, router)
        try:
            made.start_server()
            yield made
        finally:
            for member in made.members:
                member.kill()
            made.end_server()


def until(member: MemberProcess, friends: int, *, near: bool) -> float:
    """Wait until so many friends are online, with the server or without; how long that took."""
    began = time.monotonic()
    while True:
        status = member.run("status")
        is_near = any("cannot be reached" in warning for warning in status["warnings"])
        if status["friends_online"] >= friends and status["connected"] and is_near == near:
            return time.monotonic() - began
        assert time.monotonic() - began < SOON_S, (status, member.log.read_text()[-3000:])
        time.sleep(0.5)


def test_friends_at_home_meet_restore_and_recover_while_the_server_is_gone_and_go_back(
    house: House, tmp_path: Path
):
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(5):
        (folder / f"file {number}").write_bytes(os.urandom(1_500_000))
    anna, ben, carla = (house.join(name) for name in ("anna", "ben", "carla"))
    until(anna, 2, near=False)
    anna.run("mark", str(folder))
    assert anna.run("backup", "--wait")["ok"]
    before = manifest(folder)

    anna.stop()
    house.end_server()
    for member in (ben, carla):
        print(member.name, "meets after", until(member, 1, near=True), "s")
    # Anna's computer was off: it starts without a server, and has no link to anybody.
    anna.start()
    print("anna meets after", until(anna, 2, near=True), "s")
    began = time.monotonic()
    assert anna.run("restore", "latest", "--to", str(tmp_path / "back"))["ok"]
    print("restored in", time.monotonic() - began, "s")
    assert manifest(tmp_path / "back" / str(folder).lstrip("/")) == before

    # Her computer is lost, too: a new one, with nothing but the words.
    anna.stop()
    new = house.member("new")
    how = ("--words-file", str(house.folder / "anna.words"), "--server", house.url)
    password = ("--password-file", str(house.folder / "password"))
    assert new.run("recover", GROUP, *how, *password, "--name", "new")["ok"]
    assert new.run("restore", "latest", "--to", str(tmp_path / "anew"))["ok"]
    assert manifest(tmp_path / "anew" / str(folder).lstrip("/")) == before

    house.start_server()
    new.start()
    for member in (ben, carla, new):
        print(member.name, "is back after", until(member, 2, near=False), "s")
