"""The statistical model beside the real code, on the same hours of the same people.

Both get one table of who is there at which hour. The real members back up, place and repair by it
in simulated time; the model (`netsim.durability`) does so in arrays. What comes out is compared as
means over all owners: how often the friends who are there could give back everything at once, how
many bytes are stored for each byte, how many owners have lost something, and how many bytes of
shares travel for each byte that was backed up.

Nobody leaves for good here and nothing changes in the files: a week of a small group says nothing
about that, and what the model takes for granted about it is the rule of `peer.upkeep.redundancy`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netsim.durability.churn import HOURS_A_DAY
from netsim.durability.model import Model
from netsim.durability.people import People, absence
from netsim.durability.policies import Covey
from netsim.world.clock import run_at_once
from netsim.world.disk import default_root, steady_name
from netsim.world.events import HOUR_S, Plan, hours_of
from netsim.world.member import State
from netsim.world.world import World

CHURNS = ("skype", "microsoft", "phones", "office", "laptops")
MEMBERS, DAYS, SEEDS = 6, 10, range(1, 5)
"""Of the table in docs/redundancy.md."""
SETTLE_DAYS = 2
"""Until everybody's first night is over and what was thin in it has been mended."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Means over all owners of a world."""

    at_once: float
    """How often everything could be given back at once."""
    expansion: float
    """Shares stored for each k."""
    lost: float
    """Owners who have lost something, of all."""
    moved: float
    """Bytes of shares that travelled, in units of what was backed up."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One churn; means over the seeds."""

    churn: str
    seeds: int
    real: Figures
    model: Figures


def compare(churn: str, members: int, days: int, seeds: range) -> Compared:
    """Run both on the same tables of hours."""
    plans = [
        Plan(seed, members, float(days), churn, faults=False, losses=False, work=False)
        for seed in seeds
    ]
    return Compared(
        churn,
        len(plans),
        _mean([real_figures(plan) for plan in plans]),
        _mean([model_figures(plan) for plan in plans]),
    )


def _mean(figures: list[Figures]) -> Figures:
    return Figures(
        at_once=float(np.mean([one.at_once for one in figures])),
        expansion=float(np.mean([one.expansion for one in figures])),
        lost=float(np.mean([one.lost for one in figures])),
        moved=float(np.mean([one.moved for one in figures])),
    )


# --- the real code --------------------------------------------------------------------------------


def real_figures(plan: Plan) -> Figures:
    """What the members of a world do."""
    with default_root() as (root, _), steady_name(root) as steady:
        return run_at_once(_measured(plan, steady))


async def _measured(plan: Plan, root: Path) -> Figures:
    world = World(plan, root, prepare=lambda computer: None)
    samples: list[tuple[float, float]] = []

    async def look() -> None:
        await asyncio.sleep(SETTLE_DAYS * HOURS_A_DAY * HOUR_S + HOUR_S / 2)
        while True:
            samples.append(_look(world))
            await asyncio.sleep(HOUR_S)

    looking = asyncio.ensure_future(look())
    try:
        await world.run(ends_quietly=False)
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
    at_once, expansion = np.mean(samples, axis=0)
    owners = {owner for owner, _ in world.watch.lost}
    return Figures(
        float(at_once),
        float(expansion),
        len(owners) / plan.members,
        world.watch.taken_bytes / max(world.watch.packed_bytes, 1),
    )


def _look(world: World) -> tuple[float, float]:
    there = {one for one, computer in world.computers.items() if computer.state is State.ON}
    possible, sizes = [], []
    for owner in world.computers:
        needs = world.watch.needs(owner)
        if needs:
            possible.append(all(len(there & set(who)) >= needed for needed, who in needs))
            sizes.append(np.mean([len(who) / needed for needed, who in needs]))
    return (float(np.mean(possible)), float(np.mean(sizes))) if possible else (0.0, 0.0)


# --- the model ------------------------------------------------------------------------------------


def model_figures(plan: Plan) -> Figures:
    """What the model makes of the same hours: a group for each owner, of all others."""
    people = people_of(plan)
    rng = np.random.default_rng([plan.seed, 0])
    days = range(SETTLE_DAYS, people.days)
    outcome = Model(rng, people, Covey(), uplink_daily=10.0).run(set(days))
    at_once = []
    for day in days:
        hours = people.hours[:, :, day * HOURS_A_DAY : (day + 1) * HOURS_A_DAY]
        there = np.einsum("gcp,gph->gch", outcome.holders[day].astype(int), hours.astype(int))
        at_once.append((there >= outcome.needed[day][:, :, None]).all(axis=1).mean())
    return Figures(
        float(np.mean(at_once)),
        float(outcome.stored.mean()),
        float(outcome.lost.mean()),
        float((outcome.first + outcome.moved).mean()),
    )


def people_of(plan: Plan) -> People:
    """The table of hours as the model wants it."""
    table: NDArray[np.bool_] = hours_of(plan)
    members = plan.members
    hours = np.stack([np.delete(table, owner, axis=0) for owner in range(members)])
    days = hours.shape[2] // HOURS_A_DAY
    seen = hours.reshape(members, members - 1, days, HOURS_A_DAY).any(axis=3)
    person = np.zeros(seen.shape, dtype=np.int16)
    flat = seen.reshape(-1, days), person.reshape(-1, days)
    return People(
        person=person,
        seen=seen,
        absent_days=absence(*flat).reshape(seen.shape),
        hours=hours,
        within_day=seen.mean(axis=2),
    )


# --- the table of docs/redundancy.md --------------------------------------------------------------


def row(compared: Compared) -> str:
    """One churn as a line of the table: real / model."""
    real, model = compared.real, compared.model
    cells = (
        f"{real.at_once:.3f} / {model.at_once:.3f}",
        f"{real.expansion:.2f} / {model.expansion:.2f}",
        f"{real.moved:.2f} / {model.moved:.2f}",
        f"{real.lost:.3f} / {model.lost:.3f}",
    )
    return f"| {compared.churn} | {' | '.join(cells)} |"


if __name__ == "__main__":
    for name in CHURNS:
        print(row(compare(name, MEMBERS, DAYS, SEEDS)), flush=True)
