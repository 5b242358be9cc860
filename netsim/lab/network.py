"""The lab's network: a public segment, and homes behind routers that lead to it.

    computer --(eth0 .. lan)-- router --(wan .. w<n>)-- public segment, a bridge

Addresses are those that are reserved for examples. Everything lies in namespaces of this lab
(spaces.py) and goes with them. Between a router and the public segment lies a cable, or a `Wire`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass

from netsim.lab.homes import TRAITS, Kind, rules
from netsim.lab.line import Conditions
from netsim.lab.spaces import LabError, Space, check_possible, end, new_space, sweep

SERVER_IPV4, SERVER_IPV6 = "203.0.113.1", "2001:db8::1"
PROBE_ADDRESSES = ("203.0.113.5", "203.0.113.6", "203.0.113.7")
SIGNAL_NAME, TURN_NAME = "signal.covey.test", "turn.covey.test"
HOMES_MAX = 90
QUEUE_MS = 400
"""Of a slow line's modem; long, as they are."""
BURST = "32kb"


class Wire:
    """A cable with a bad line in it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def set(self, outward: Conditions, inward: Conditions | None = None) -> None:
        """Change the conditions of both directions. Raises LabError when the wire is gone."""
        self._say(outward, outward if inward is None else inward, "set")

    def cut(self) -> None:
        """Carry nothing any more."""
        self.set(Conditions(loss=1.0))

    def _say(self, outward: Conditions, inward: Conditions, answer: str) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        told = json.dumps([asdict(inward), asdict(outward)]).encode()  # its first end is outside
        self._process.stdin.write(told + b"\n")
        self._process.stdin.flush()
        if self._process.stdout.readline().decode().strip() != answer:
            raise LabError("the wire has come down")

    @classmethod
    @contextmanager
    def laid(
        cls, outside: tuple[Space, str], inside: tuple[Space, str], conditions: Conditions
    ) -> Iterator[Wire]:
        """A wire while the context lasts."""
        places = (outside[0].name, outside[1], inside[0].name, inside[1])
        process = subprocess.Popen(
            [sys.executable, "-m", "netsim.lab.wire", *places],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            wire = cls(process)
            wire._say(conditions, conditions, "ready")
            yield wire
        finally:
            end(process)


@dataclass(slots=True)
class Home:
    """A home: one computer behind one router."""

    number: int
    kind: Kind
    computer: Space
    router: Space
    wire: Wire | None = None

    @property
    def ipv4(self) -> str:
        """The computer's address at home."""
        return f"192.168.{self.number}.2"

    @property
    def public_ipv4(self) -> str:
        """The router's address outside."""
        return f"203.0.113.{self.number + 10}"

    @property
    def ipv6(self) -> str:
        """The computer's address, the same everywhere."""
        return f"2001:db8:{self.number}::2"

    def limit(self, rate: str) -> None:
        """Let no more than that leave the home, such as `10mbit`, with a modem's long queue."""
        _limit(self.router, "wan", rate)


class Network:
    """The public segment with the homes. Made by `network`."""

    def __init__(self, public: Space, stack: ExitStack) -> None:
        self.public = public
        self.homes: list[Home] = []
        self._stack = stack

    def add_home(self, kind: Kind, conditions: Conditions | None = None) -> Home:
        """A home; with conditions, its line to the public segment is a wire. Raises LabError."""
        number = len(self.homes) + 1
        if number > HOMES_MAX:
            raise LabError(f"a lab has at most {HOMES_MAX} homes")
        router = self._stack.enter_context(new_space(f"router{number}"))
        computer = self._stack.enter_context(new_space(f"home{number}"))
        home = Home(number, kind, computer, router)
        port = f"w{number}"
        if conditions is None:
            self.public.ip(
                "link", "add", port, "type", "veth", "peer", "name", "wan", "netns", router.name
            )
            self.public.ip("link", "set", port, "up")
            router.ip("link", "set", "wan", "up")
        else:
            wire = Wire.laid((self.public, port), (router, "wan"), conditions)
            home.wire = self._stack.enter_context(wire)
        self.public.ip("link", "set", port, "master", "bridge")
        router.ip(
            "link", "add", "lan", "type", "veth", "peer", "name", "eth0", "netns", computer.name
        )
        router.ip("link", "set", "lan", "up")
        computer.ip("link", "set", "eth0", "up")
        if TRAITS[kind].ipv4:
            self._address_ipv4(home)
        if TRAITS[kind].ipv6:
            self._address_ipv6(home)
        router.run("nft", "-f", "-", text=rules(kind, home.ipv4))
        addresses = [SERVER_IPV4] * TRAITS[kind].ipv4 + [SERVER_IPV6] * TRAITS[kind].ipv6
        computer.hosts({SIGNAL_NAME: addresses, TURN_NAME: addresses})
        self.homes.append(home)
        return home

    def limit(self, home: Home, rate: str) -> None:
        """Let no more than that arrive at a home, such as `50mbit`."""
        _limit(self.public, f"w{home.number}", rate)

    def _address_ipv4(self, home: Home) -> None:
        inside = f"192.168.{home.number}"
        home.router.ip("address", "add", f"{home.public_ipv4}/24", "dev", "wan")
        home.router.ip("address", "add", f"{inside}.1/24", "dev", "lan")
        home.computer.ip("address", "add", f"{home.ipv4}/24", "dev", "eth0")
        home.computer.ip("route", "add", "default", "via", f"{inside}.1")
        home.router.set(ipv4__ip_forward=1)

    def _address_ipv6(self, home: Home) -> None:
        inside, outside = f"2001:db8:{home.number}:", f"2001:db8::{home.number + 16:x}"
        home.router.set(ipv6__conf__all__forwarding=1)
        for space, device, address in (
            (home.router, "wan", f"{outside}/64"),
            (home.router, "lan", f"{inside}:1/64"),
            (home.computer, "eth0", f"{home.ipv6}/64"),
        ):
            space.ip("-6", "address", "add", address, "dev", device, "nodad")
        home.computer.ip("-6", "route", "add", "default", "via", f"{inside}:1")
        home.router.ip("-6", "route", "add", "default", "via", SERVER_IPV6)
        self.public.ip("-6", "route", "add", f"{inside}:/64", "via", outside)


@contextmanager
def network() -> Iterator[Network]:
    """A lab without homes while the context lasts. Raises LabError."""
    check_possible()
    sweep()
    with ExitStack() as stack:
        public = stack.enter_context(new_space("public"))
        public.ip("link", "add", "bridge", "type", "bridge")
        public.ip("link", "set", "bridge", "up")
        for address in (SERVER_IPV4, *PROBE_ADDRESSES):
            public.ip("address", "add", f"{address}/24", "dev", "bridge")
        public.ip("-6", "address", "add", f"{SERVER_IPV6}/64", "dev", "bridge", "nodad")
        public.set(ipv6__conf__all__forwarding=1)
        yield Network(public, stack)


def _limit(space: Space, device: str, rate: str) -> None:
    space.run(
        *("tc", "qdisc", "replace", "dev", device, "root", "tbf", "rate", rate),
        *("burst", BURST, "latency", f"{QUEUE_MS}ms"),
    )
