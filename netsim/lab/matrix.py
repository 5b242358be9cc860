"""Every pair of homes: how they met, how fast, and whether that is as it should be.

For each pair two members are started anew, so that nothing is known yet of their networks: what is
measured is the first call after the start of an agent, the slowest there is.
"""

from __future__ import annotations

import json
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from netsim.lab.homes import Kind, Outcome, expected
from netsim.lab.line import Conditions
from netsim.lab.network import Home, Network, network
from netsim.lab.public import Public, public_servers
from netsim.lab.spaces import LabError

CONNECT_S_MEDIAN_MAX = 4.0
CONNECT_S_MAX = 20.0
SETTLE_S = 5.0
"""A link may open over the relay, when that answers first, and move to the direct path after it."""
MEASURED_BYTES = 8_000_000
"""For the rate: enough that a link's beginning is not all of it, also through a slow relay."""


EngineChoice = Literal["best", "aiortc"]


@dataclass(frozen=True, slots=True)
class Meeting:
    """How two homes met. `failure` is what the person would read; without it they did."""

    one: Kind
    other: Kind
    expected: Outcome | None
    """None: they cannot meet."""
    outcome: Outcome | None = None
    connect_s: float = 0.0
    mb_per_s: float = 0.0
    engines: tuple[str, ...] = ()
    """The caller's and the called one's."""
    failure: str = ""

    @property
    def is_right(self) -> bool:
        """Whether it is what ICE can do, within the time."""
        return self.outcome == self.expected and self.connect_s <= CONNECT_S_MAX


class Member:
    """A `caller.py` at a home."""

    def __init__(self, name: str, process: subprocess.Popen[bytes]) -> None:
        self.name = name
        self._process = process

    @classmethod
    @contextmanager
    def at(
        cls, home: Home, public: Public, group: str, name: str, engine: EngineChoice, log: Path
    ) -> Iterator[Member]:
        """A member while the context lasts; it has begun to join."""
        command = (sys.executable, "-m", "netsim.lab.caller", public.url, group, name, engine)
        with (
            log.open("ab") as errors,
            home.computer.running(
                *command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=public.environment,
            ) as process,
        ):
            yield cls(name, process)

    def answer(self) -> dict[str, Any]:
        """The next line that it says. Raises LabError when it has ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise LabError(f"the member {self.name} has ended")
        told: dict[str, Any] = json.loads(line)
        return told

    def ask(self, **what: object) -> dict[str, Any]:
        """Have it do something, and wait for its answer. Raises LabError."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        self._process.stdin.flush()
        return self.answer()


def meet(
    one: Home,
    other: Home,
    public: Public,
    folder: Path,
    size: int,
    relay: bool,
    engine: EngineChoice,
) -> Meeting:
    """Let a member at one home call one at the other. Raises LabError."""
    group = secrets.token_hex(8)
    log = folder / f"{one.kind}-{other.kind}.log"
    with ExitStack() as stack:
        caller, called = (
            stack.enter_context(Member.at(home, public, group, name, engine, log))
            for home, name in ((one, "anna"), (other, "ben"))
        )
        for member in (caller, called):
            member.answer()
        right = expected(one.kind, other.kind, relay=relay)
        found = caller.ask(call=called.name, bytes=size)
        links = _links(caller, called)
        deadline = time.monotonic() + SETTLE_S  # noqa: TID251 - real members have a real clock
        while right == "direct" and _is_relayed(links) and time.monotonic() < deadline:  # noqa: TID251
            time.sleep(SETTLE_S / 20)
            links = _links(caller, called)
    if "failure" in found:
        return Meeting(
            one.kind, other.kind, right, None, found["after_s"], 0.0, (), found["failure"]
        )
    return Meeting(
        one.kind,
        other.kind,
        right,
        "relayed" if _is_relayed(links) else "direct",
        found["connect_s"],
        found["mb_per_s"],
        tuple(link["engine"] for link in links),
    )


def _links(*members: Member) -> list[dict[str, Any]]:
    """What each says of its link."""
    return [link for member in members for link in member.ask(links=True)["links"]]


def _is_relayed(links: list[dict[str, Any]]) -> bool:
    """By what either end knows: one of them may see a relay's address as any other."""
    return any(link["relayed"] for link in links)


def matrix(
    pairs: Iterable[tuple[Kind, Kind]],
    folder: Path,
    *,
    size: int = MEASURED_BYTES,
    relay: bool = True,
    engine: EngineChoice = "best",
    conditions: Conditions | None = None,
) -> Generator[Meeting]:
    """Each pair's meeting, one after the other. Logs lie in `folder`. Raises LabError.

    Without `relay` there is no TURN server; with `conditions` each home has such a line.
    """
    with network() as lab, public_servers(lab, folder, relay=relay) as public:
        homes: dict[tuple[Kind, int], Home] = {}
        for pair in pairs:
            one, other = (
                _home(lab, homes, kind, side, conditions) for side, kind in enumerate(pair)
            )
            yield meet(one, other, public, folder, size, relay, engine)


def _home(
    lab: Network,
    homes: dict[tuple[Kind, int], Home],
    kind: Kind,
    side: int,
    conditions: Conditions | None,
) -> Home:
    if (kind, side) not in homes:
        homes[kind, side] = lab.add_home(kind, conditions)
    return homes[kind, side]


def median_connect_s(meetings: Iterable[Meeting]) -> float:
    """Of those that met; 0 when nobody did."""
    found = [one.connect_s for one in meetings if one.outcome]
    return statistics.median(found) if found else 0.0


def complaints(meetings: Iterable[Meeting]) -> list[str]:
    """What is not as it should be, for a person."""
    found = list(meetings)
    told = [
        f"{one.one} and {one.other}: {one.failure or one.outcome} after {one.connect_s:.1f} s, "
        f"and {one.expected or 'no way'} within {CONNECT_S_MAX:.0f} s is possible"
        for one in found
        if not one.is_right
    ]
    median_s = median_connect_s(found)
    if median_s > CONNECT_S_MEDIAN_MAX:
        told.append(f"half of all pairs took {median_s:.1f} s or longer to connect")
    return told
