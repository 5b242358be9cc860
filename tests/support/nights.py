"""A keeper of nights in a world that a test makes."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from pathlib import Path

from netsim.world.clock import run_here
from peer.nightly.journal import Journal
from peer.nightly.keeper import Keeper, World
from peer.nightly.manners import Sample
from peer.nightly.throttle import Throttle

NOON_NS = 1_750_000_000 * 10**9 // 86_400_000_000_000 * 86_400_000_000_000 + 12 * 3600 * 10**9
MEMBER = b"m" * 32


@dataclass
class Computer:
    """What the keeper looks at, as the test wants it."""

    now_ns: int = NOON_NS
    sample: Sample = field(default_factory=lambda: Sample(0.0))
    moved: tuple[int, int] = (0, 0)
    told: list[str] = field(default_factory=list)
    kept: list[bool] = field(default_factory=list)

    def look(self, carried: int) -> Sample:
        return self.sample

    def carried(self) -> tuple[int, int]:
        return self.moved

    async def keep(self, wanted: bool) -> None:
        self.kept.append(wanted)

    async def notify(self, text: str) -> None:
        self.told.append(text)


def keeper_for_tests(
    home: Path, computer: Computer | None = None, clock=None, workers=()
) -> Keeper:
    """A keeper whose journal lies in `home`; `clock` gives the wall clock, else it stands still."""
    home.mkdir(exist_ok=True)
    computer = computer or Computer()
    world = World(
        wall_clock=clock or (lambda: computer.now_ns),
        zone=lambda: datetime.UTC,
        run_blocking=run_here,
        look=lambda carried: computer.look(carried),
        throttle=Throttle(lambda: list(workers), (ProcessLookupError,)),
        traffic=computer,
        notify=computer.notify,
        keep_wanted=computer.keep,
    )
    return Keeper(Journal(home / "journal.json"), world, MEMBER, NOON_NS - 10**9)
