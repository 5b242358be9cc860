"""What happens to computers and to the network: drawn from a seed before a world begins.

`draw` makes the list; `world.py` has each event happen at its time. Who is on is a matter of churn
(hours from `netsim.durability.churn`, the very profiles of the statistical model) or, without, of
computers that are on all day and asleep now and then. Faults are those that the design promises to
survive. Permanent losses are as far apart as repair needs to get over each: after more at once than
a pack has spare shares, loss is no fault.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsim.world.clock import chance_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HOUR_S, DAY_S = 3600.0, 86_400.0
LOSS_EVERY_DAYS = 14.0
"""Between permanent losses: grace of at most 14 days in the statistical model, 3 in the code, then
a night or two."""


class Kind(enum.Enum):
    """What an event does to computer number `who` (to `others` too, where it says so)."""

    ON = "on"
    OFF = "off"
    POWER_CUT = "power cut"
    WORK = "work"
    """Its person changes some files."""
    GONE = "gone"
    """Uninstalled without a word."""
    JOINS = "joins"
    DISK_LOST = "disk lost"
    DISK_FULL = "disk full"
    DISK_BROKEN = "disk broken"
    DISK_WELL = "disk well"
    CLOCK = "clock"
    """Its wall clock is set by `value` seconds."""
    CUT = "cut"
    """All its links break."""
    PARTITION = "partition"
    """It and `others` are cut off from the rest and from the server."""
    HEAL = "heal"
    SERVER_DOWN = "server down"
    SERVER_UP = "server up"
    STRANGER = "stranger"
    """Somebody who does not know the group's password calls it."""


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """At `at_s` on the loop's clock; `number` keeps the order of those at the same time."""

    at_s: float
    number: int
    kind: Kind
    who: int = 0
    others: tuple[int, ...] = ()
    value: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What kind of world: everything else follows from the seed."""

    seed: int
    members: int
    days: float
    churn: str = ""
    """A profile of `netsim.durability.churn`; empty: computers that are on most of the time."""
    faults: bool = True
    losses: bool = True
    """Whether computers are lost for good, uninstalled or replaced."""
    work: bool = True
    """Whether files change each day."""


class _Drawn:
    """Collects events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def add(
        self, at_s: float, kind: Kind, who: int = 0, others: Sequence[int] = (), value: float = 0.0
    ) -> None:
        self.events.append(Event(at_s, len(self.events), kind, who, tuple(others), value))


def draw(plan: Plan) -> list[Event]:
    """All that happens, in order."""
    drawn = _Drawn()
    end_s = plan.days * DAY_S
    if plan.churn:
        _presence(plan, drawn)
    else:
        _sleep(plan, drawn, end_s)
    if plan.work:
        for who in range(plan.members):
            chance = chance_of(plan.seed, "work", who)
            for at_s in _moments(chance, end_s, DAY_S):
                drawn.add(at_s, Kind.WORK, who)
    if plan.faults:
        _faults(plan, drawn, end_s)
    if plan.losses:
        _losses(plan, drawn, end_s)
    return sorted(event for event in drawn.events if event.at_s < end_s)


def _moments(chance: random.Random, end_s: float, mean_s: float) -> Iterator[float]:
    """Moments of a Poisson process."""
    at_s = chance.expovariate(1 / mean_s)
    while at_s < end_s:
        yield at_s
        at_s += chance.expovariate(1 / mean_s)


def hours_of(plan: Plan) -> NDArray[np.bool_]:
    """[members, hours]: who is there, as the statistical model draws it. Needs numpy."""
    import numpy as np

    from netsim.durability.churn import PROFILES, with_outages

    rng = np.random.default_rng([plan.seed, plan.members, *plan.churn.encode()])
    hours = PROFILES[plan.churn].hours(rng, plan.members, round(plan.days * 24))
    return with_outages(rng, hours, plan.members)


def _presence(plan: Plan, drawn: _Drawn) -> None:
    hours = hours_of(plan)
    for who in range(plan.members):
        chance, was = chance_of(plan.seed, "minute", who), False
        for hour, there in enumerate(hours[who].tolist()):
            if there != was:
                at_s = hour * HOUR_S + chance.random() * 60
                drawn.add(at_s, Kind.ON if there else Kind.OFF, who)
                was = there


def _sleep(plan: Plan, drawn: _Drawn, end_s: float) -> None:
    for who in range(plan.members):
        chance = chance_of(plan.seed, "sleep", who)
        drawn.add(chance.random() * 60, Kind.ON, who)
        for at_s in _moments(chance, end_s, 2 * DAY_S):
            drawn.add(at_s, Kind.OFF, who)
            drawn.add(at_s + chance.expovariate(1 / (6 * HOUR_S)), Kind.ON, who)


def _faults(plan: Plan, drawn: _Drawn, end_s: float) -> None:
    chance = chance_of(plan.seed, "faults")
    everybody = range(plan.members)

    def now_and_then(days: float) -> Iterator[tuple[float, int]]:
        for at_s in _moments(chance, end_s, days * DAY_S):
            yield at_s, chance.randrange(plan.members)

    for at_s, who in now_and_then(3 / plan.members):
        drawn.add(at_s, Kind.POWER_CUT, who)
        drawn.add(at_s + chance.choice((1, 60, 900, HOUR_S)), Kind.ON, who)
    for at_s, who in now_and_then(0.3):
        drawn.add(at_s, Kind.CUT, who)
    for kind in (Kind.DISK_FULL, Kind.DISK_BROKEN):
        for at_s, who in now_and_then(4):
            drawn.add(at_s, kind, who)
            drawn.add(at_s + chance.uniform(0.1, 24) * HOUR_S, Kind.DISK_WELL, who)
    for at_s, who in now_and_then(4):
        jump = chance.choice((-DAY_S, -HOUR_S, HOUR_S, DAY_S, 365 * DAY_S))
        drawn.add(at_s, Kind.CLOCK, who, value=jump)
        drawn.add(at_s + chance.uniform(0.1, 30) * HOUR_S, Kind.CLOCK, who, value=-jump)
    for at_s, _ in now_and_then(4):
        apart = [who for who in everybody if chance.random() < 0.5]
        drawn.add(at_s, Kind.PARTITION, others=apart)
        drawn.add(at_s + chance.uniform(0.01, 6) * HOUR_S, Kind.HEAL)
    for at_s, _ in now_and_then(5):
        drawn.add(at_s, Kind.SERVER_DOWN)
        drawn.add(at_s + chance.uniform(0.01, 12) * HOUR_S, Kind.SERVER_UP)
    for at_s, _ in now_and_then(8):  # a power cut that takes half of the group
        back_s = at_s + chance.uniform(0.1, 10) * HOUR_S
        for who in everybody:
            if chance.random() < 0.5:
                drawn.add(at_s, Kind.POWER_CUT, who)
                drawn.add(back_s, Kind.ON, who)
    for at_s, who in now_and_then(2):
        drawn.add(at_s, Kind.STRANGER, who)


def _losses(plan: Plan, drawn: _Drawn, end_s: float) -> None:
    """One loss at a time, of a lasting member or of a disk; who leaves is replaced in a while."""
    chance = chance_of(plan.seed, "losses")
    here, following = list(range(plan.members)), plan.members
    at_s = chance.uniform(2, LOSS_EVERY_DAYS) * DAY_S
    while at_s < end_s:
        who = chance.choice(here)
        if chance.random() < 0.5:
            drawn.add(at_s, Kind.DISK_LOST, who)
            drawn.add(at_s + chance.uniform(1, 48) * HOUR_S, Kind.ON, who)
        else:
            drawn.add(at_s, Kind.GONE, who)
            here.remove(who)
            drawn.add(at_s + chance.uniform(1, 5) * DAY_S, Kind.JOINS, following)
            here.append(following)
            following += 1
        at_s += (LOSS_EVERY_DAYS + chance.expovariate(1 / 7.0)) * DAY_S
