"""Homes behind the strictest routers, one of which opens ports on request: a real miniupnpd.

Without a relay two such homes never meet. The addresses outside are in a range that is nobody's in
the namespaces of the test: miniupnpd opens nothing where the outside address is reserved.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.group import MemberProcess, covey
from netsim.lab.spaces import Space, end, new_space

pytestmark = [pytest.mark.system, pytest.mark.slow]

SOON_S = 60.0
ENGINES = ["aiortc"] + ["libdatachannel"] * (sys.version_info >= (3, 12))
RULES = """
table inet filter {
    chain miniupnpd { }
    chain inward { }
    chain outward { }
    chain door { type filter hook input priority 0; iifname wan ct state new drop; }
    chain forward {
        type filter hook forward priority 0; policy drop;
        iifname lan accept; ct state established,related accept; jump miniupnpd;
    }
    chain arriving { type nat hook prerouting priority -100; jump inward; }
    chain leaving {
        type nat hook postrouting priority 100; jump outward; oifname wan masquerade fully-random;
    }
}
"""
CONFIG = """
ext_ifname=wan
listening_ip=lan
enable_natpmp={natpmp}
enable_upnp={upnp}
secure_mode=yes
uuid=00000000-0000-0000-0000-000000000001
upnp_table_name=filter
upnp_nat_table_name=filter
upnp_forward_chain=miniupnpd
upnp_nat_chain=inward
upnp_nat_postrouting_chain=outward
allow 1024-65535 {lan} 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""


@dataclass
class Home:
    number: int
    public: Space
    router: Space
    computer: Space

    def mapped(self) -> str:
        """The rules by which the router lets others in."""
        return self.router.run("nft", "list", "chain", "inet", "filter", "inward")

    @contextmanager
    def opens_ports(self, folder: Path, by: str) -> Iterator[None]:
        config = folder / "miniupnpd.conf"
        switches = {"natpmp": "no", "upnp": "no"} | {by: "yes"}
        config.write_text(CONFIG.format(lan=f"192.168.{self.number}.0/24", **switches))
        command = ("miniupnpd", "-d", "-f", str(config), "-P", str(folder / "pid"))
        with (
            (folder / "log").open("wb") as log,
            self.router.running(*command, stdout=log, stderr=log) as process,
        ):
            yield
            assert process.poll() is None, (folder / "log").read_text()


@pytest.fixture
def homes() -> Iterator[list[Home]]:
    with ExitStack() as stack:
        public = stack.enter_context(new_space("public"))
        public.ip("link", "add", "bridge", "type", "bridge")
        public.ip("link", "set", "bridge", "up")
        public.ip("address", "add", "11.0.0.1/24", "dev", "bridge")
        made = []
        for number in (5, 6):
            router = stack.enter_context(new_space(f"router{number}"))
            computer = stack.enter_context(new_space(f"home{number}"))
            for inner, device, outer, port in (
                (router, "wan", public, f"w{number}"),
                (computer, "eth0", router, "lan"),
            ):
                outer.ip(
                    *("link", "add", port, "type", "veth"),
                    *("peer", "name", device, "netns", inner.name),
                )
                outer.ip("link", "set", port, "up")
                inner.ip("link", "set", device, "up")
            public.ip("link", "set", f"w{number}", "master", "bridge")
            router.ip("address", "add", f"11.0.0.{number}/24", "dev", "wan")
            router.ip("address", "add", f"192.168.{number}.1/24", "dev", "lan")
            computer.ip("address", "add", f"192.168.{number}.2/24", "dev", "eth0")
            computer.ip("route", "add", "default", "via", f"192.168.{number}.1")
            router.set(ipv4__ip_forward=1)
            router.run("nft", "-f", "-", text=RULES)
            made.append(Home(number, public, router, computer))
        yield made


def meet(homes: list[Home], engine: str, routers: tuple[str, str]) -> tuple[list[str], str]:
    """What both ends say in the end, and the first router's rules meanwhile."""
    parts = ("offerer", "answerer")
    ends = [
        subprocess.Popen(
            home.computer.inside(
                [sys.executable, "-m", "tests.support.one_end", engine, part, router]
            ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for home, part, router in zip(homes, parts, routers, strict=True)
    ]
    try:
        for number in (0, 1):
            told, hears = ends[number], ends[1 - number]
            assert told.stdout is not None
            assert hears.stdin is not None
            hears.stdin.write(told.stdout.readline())
            hears.stdin.flush()
        rules = homes[0].mapped()
        said = []
        for one in ends:
            assert one.stdout is not None
            said.append(one.stdout.readline().decode().strip())
            one.wait(20)
        return said, rules
    finally:
        for one in ends:
            end(one)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("by", ["upnp", "natpmp"])
def test_a_port_that_the_router_opens_lets_the_strictest_homes_meet_and_is_closed_again(
    homes: list[Home], tmp_path: Path, engine: str, by: str
):
    with homes[0].opens_ports(tmp_path, by):
        said, rules = meet(homes, engine, ("maps", "plain"))
        assert said == ["connected", "connected"]
        assert "dnat" in rules
        assert "dnat" not in homes[0].mapped()


@pytest.mark.parametrize("engine", ENGINES)
def test_without_it_they_do_not_meet(homes: list[Home], engine: str):
    said, _ = meet(homes, engine, ("plain", "plain"))
    assert said == ["no path", "no path"]


def test_members_behind_the_strictest_routers_back_up_to_each_other_without_a_relay(
    homes: list[Home], tmp_path: Path
):
    (tmp_path / "password").write_text("gravel-pelican-oboe-thirteen")
    serve = ("serve", "--host", "11.0.0.1", "--port", "8000", "--data", str(tmp_path / "server"))
    server = subprocess.Popen(
        homes[0].public.inside(covey(*serve)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    members = []
    try:
        assert server.stdout is not None
        assert server.stdout.readline()
        with homes[0].opens_ports(tmp_path, "natpmp"):
            for home, name in zip(homes, ("anna", "ben"), strict=True):
                within = home.computer.inside([])
                environment = {"COVEY_LAN": "off", "COVEY_MAP_PORTS": ""}
                member = MemberProcess(name, tmp_path / name, None, within, environment)
                members.append(member)
                how = ("--space", "100MB", "--name", name, "--server", "http://11.0.0.1:8000")
                words = ("--words-file", str(tmp_path / f"{name}.words"))
                password = ("--password-file", str(tmp_path / "password"))
                member.run("join", "The Strict", "--create", *how, *words, *password)
                member.start()
            anna = members[0]
            (tmp_path / "letter").write_text("Dear friends")
            anna.run("mark", str(tmp_path / "letter"))
            deadline = time.monotonic() + SOON_S
            while not anna.run("status")["friends_online"]:
                assert time.monotonic() < deadline
                time.sleep(0.2)
            assert anna.run("backup")["ok"]
            (link,) = anna.run("status")["links"]
            assert (link["state"], link["relayed"]) == ("open", False)
    finally:
        for member in members:
            member.kill()
        end(server)


def test_the_doctor_says_what_the_router_does(homes: list[Home], tmp_path: Path):
    def doctor() -> str:
        command = covey("--json", "--home", str(tmp_path / "home"), "doctor")
        within = homes[0].computer.inside(["env", "COVEY_MAP_PORTS=", *command])
        answer = json.loads(subprocess.run(within, capture_output=True, check=True).stdout)
        return next(one["text"] for one in answer["findings"] if one["about"] == "Router")

    with homes[0].opens_ports(tmp_path, "upnp"):
        assert doctor() == "It opens ports on request (UPnP); its outside address is 11.0.0.5."
    assert "none answers" in doctor()
