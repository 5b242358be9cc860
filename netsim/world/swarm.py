"""Many worlds, each from a seed, until one breaks: what kind of world it is follows from the seed.

A seed that fails is told with the command that replays it, event by event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from netsim.world.clock import chance_of, run_at_once
from netsim.world.disk import default_root
from netsim.world.events import Plan
from netsim.world.invariants import Violation
from netsim.world.member import Computer
from netsim.world.world import Result, live

CHURNS = ("", "", "", "skype", "microsoft", "phones", "office", "laptops")
"""More often computers that are on most of the time: more happens between them."""


def plan_of(seed: int) -> Plan:
    """The world of a seed: small groups, since most of what can go wrong needs few members."""
    chance = chance_of(seed, "plan")
    return Plan(
        seed=seed,
        members=chance.randint(2, 7),
        days=float(chance.randint(3, 12)),
        churn=chance.choice(CHURNS),
        faults=chance.random() < 0.9,
        losses=chance.random() < 0.6,
    )


def command_of(plan: Plan) -> str:
    """What replays a plan."""
    words = [f"covey sim world --seed {plan.seed} --members {plan.members} --days {plan.days:g}"]
    words += [f"--churn {plan.churn}"] if plan.churn else []
    words += ["--no-faults"] if not plan.faults else []
    words += ["--no-losses"] if not plan.losses else []
    return " ".join(words)


def _nothing(_: Computer) -> None:
    """No bug is planted."""


def run_plan(
    plan: Plan, root: Path | None = None, prepare: Callable[[Computer], None] = _nothing
) -> Result:
    """One world, in a folder that is empty, or in memory. Raises Violation, with its command."""
    try:
        if root is not None:
            return run_at_once(live(plan, root, prepare=prepare))
        with default_root() as (folder, _):
            return run_at_once(live(plan, folder, prepare=prepare))
    except Violation as violation:
        violation.add_note(f"This brings it back: {command_of(plan)}")
        raise


def swarm(
    seeds: Iterable[int],
    until: Callable[[], bool],
    told: Callable[[Result], None] = lambda _: None,
    prepare: Callable[[Computer], None] = _nothing,
) -> int:
    """Worlds of these seeds until `until()`; how many. Raises Violation with the first breach."""
    count = 0
    for seed in seeds:
        if until():
            break
        told(run_plan(plan_of(seed), prepare=prepare))
        count += 1
    return count
