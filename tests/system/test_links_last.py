"""The network goes away and comes back in the middle of a backup, which goes on where it was.

Two real members, each at home behind a router, a server between them. Each test ships files of its
own from Anna to Ben, lets something happen to Anna's network once shares are on their way, and
takes the seconds from its end until more has arrived at Ben.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.group import ALONE, LocalGroup, MemberProcess, covey
from netsim.lab.homes import Kind
from netsim.lab.line import Conditions
from netsim.lab.network import Home, Network, network
from netsim.lab.public import public_servers
from netsim.lab.spaces import call
from tests.support.slow_line import link_on, slow_line

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.long]

FILES_BYTES = 14_000_000
UPLINK = "8mbit"
SLACK_S = 30.0
"""So soon after the network is back the transfer must go on."""
GOOD = Conditions(delay_s=0.01)


@dataclass(slots=True)
class Pair:
    """Anna, who backs up, and her friend Ben."""

    anna: MemberProcess
    ben: MemberProcess
    lab: Network
    home: Home
    folder: Path
    backup: subprocess.Popen[str] | None = None

    def end(self) -> None:
        """End a backup that a failed test has left."""
        if self.backup is not None:
            self.backup.kill()
            self.backup.communicate()

    def arrived(self) -> int:
        """Bytes at Ben."""
        found = 0
        for path in (self.ben.home / "held").rglob("*"):
            try:
                found += path.stat().st_size if path.is_file() else 0
            except FileNotFoundError:
                continue  # a share that has just become whole
        return found

    def start_backup(self) -> subprocess.Popen[str]:
        """New files, of which some have arrived when this returns."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        (self.folder / "new").write_bytes(os.urandom(FILES_BYTES))
        self.anna.run("mark", str(self.folder))
        before = self.arrived()
        backup = self.backup = subprocess.Popen(
            [*self.anna.within, *covey("--home", str(self.anna.home), "--json", "backup")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.wait_for_more(before + 1_500_000, 60.0)
        return backup

    def wait_for_more(self, than: int, timeout_s: float) -> float:
        """Seconds until more than so much has arrived."""
        began = time.monotonic()
        while self.arrived() <= than:
            assert time.monotonic() - began < timeout_s, "nothing arrives any more"
            time.sleep(0.05)
        return time.monotonic() - began


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """The two at usual homes."""
    with two_members(tmp_path, Kind.PORT) as pair:
        yield pair


@contextmanager
def two_members(place: Path, kind: Kind) -> Iterator[Pair]:
    """The two, who know each other."""
    with ExitStack() as stack:
        lab = stack.enter_context(network())
        public = stack.enter_context(public_servers(lab, place / "public"))
        home, other = lab.add_home(kind, GOOD), lab.add_home(kind)
        home.limit(UPLINK)
        group = LocalGroup(place, url=public.url)
        group.password_file.write_text(group.password + "\n")
        members = []
        for name, where in (("anna", home), ("ben", other)):
            member = MemberProcess(
                name, place / name, within=where.computer.inside([]), environment=ALONE.copy()
            )
            stack.callback(member.kill)
            member.run(
                *("join", group.group, "--space", "2GB", "--name", name, "--server", group.url),
                *("--password-file", str(group.password_file), "--create"),
                *("--words-file", str(group.words_file(name))),
            )
            member.start()
            members.append(member)
        group.wait_online(members[0], 1)
        found = Pair(*members, lab, home, place / "files")
        stack.callback(found.end)
        yield found


def goes_on(pair: Pair, backup: subprocess.Popen[str], what: str) -> None:
    """The network is back at this moment."""
    took = pair.wait_for_more(pair.arrived(), SLACK_S)
    print(f"{what}: went on after {took:.1f} s")
    output, _ = backup.communicate(timeout=120)
    assert backup.returncode == 0, output


@pytest.mark.parametrize("seconds", [8.0, 40.0, 100.0])
def test_it_goes_on_after_the_line_was_dead(pair: Pair, seconds: float):
    backup = pair.start_backup()
    assert pair.home.wire is not None
    pair.home.wire.cut()
    time.sleep(seconds)
    pair.home.wire.set(GOOD)
    goes_on(pair, backup, f"{seconds:.0f} s without a line")


def test_it_goes_on_when_the_computer_has_another_address(pair: Pair):
    backup = pair.start_backup()
    computer = pair.home.computer
    computer.ip("address", "flush", "dev", "eth0")
    computer.ip("address", "add", "192.168.1.77/24", "dev", "eth0")
    computer.ip("route", "add", "default", "via", "192.168.1.1")
    goes_on(pair, backup, "another address")


def test_it_goes_on_when_the_router_comes_back_with_another_address(pair: Pair):
    backup = pair.start_backup()
    router = pair.home.router
    router.ip("link", "set", "lan", "down")
    router.ip("address", "flush", "dev", "wan")
    time.sleep(10.0)
    router.ip("address", "add", "203.0.113.90/24", "dev", "wan")
    router.ip("link", "set", "lan", "up")
    goes_on(pair, backup, "a rebooted router")


def test_it_goes_on_when_the_computer_slept(pair: Pair):
    backup = pair.start_backup()
    assert pair.anna.agent is not None
    group = os.getpgid(pair.anna.agent.pid)
    os.killpg(group, signal.SIGSTOP)
    time.sleep(45.0)
    os.killpg(group, signal.SIGCONT)
    goes_on(pair, backup, "45 s of sleep")


def test_it_goes_on_when_the_relay_was_dead(tmp_path: Path):
    with two_members(tmp_path, Kind.SYMMETRIC) as pair:
        backup = pair.start_backup()
        assert [link["relayed"] for link in pair.anna.run("status")["links"]] == [True]
        relay = [
            int(pid)
            for pid in call("ip", "netns", "pids", pair.lab.public.name).split()
            if Path(f"/proc/{pid}/comm").read_text() == "turnserver\n"
        ]
        for pid in relay:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(40.0)
        for pid in relay:
            os.kill(pid, signal.SIGCONT)
        goes_on(pair, backup, "40 s without a relay")


@pytest.mark.parametrize("engine", ["aiortc", "libdatachannel"])
def test_an_upload_that_fills_a_line_of_600_ms_does_not_end_its_own_link(engine: str):
    # Consent is checked every 5 s, and a stock aioice gives up after six answers over 0.5 s late.
    with slow_line(2.0, 0.6, 400) as line, ExitStack() as stack:
        receiver = link_on(stack, line, engine, "45")
        assert receiver.stderr is not None
        found = json.loads(receiver.stderr.readline())
    print(f"{engine} at 600 ms: {found}")
    assert found["mb_per_s"] > 0.05
    assert found["longest_gap_s"] < 10.0
