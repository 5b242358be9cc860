"""`covey sim world`: real members under simulated time, from one seed; and many of them."""

from __future__ import annotations

import json
import logging
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from netsim.world.world import Result

MEMBERS_MAX = 50
DAYS_MAX = 3660.0
CHURNS = ("skype", "microsoft", "planetlab", "overnet", "phones", "office", "laptops")
SEEDS_MAX = 1_000_000


@click.command()
@click.option("--seed", type=click.IntRange(0), default=1, help="Everything follows from it.  [1]")
@click.option("--members", type=click.IntRange(1, MEMBERS_MAX), default=4, help="  [4]")
@click.option("--days", type=click.FloatRange(0, DAYS_MAX), default=7.0, help="  [7]")
@click.option("--churn", type=click.Choice(CHURNS), help="When computers are on.  [mostly]")
@click.option("--faults/--no-faults", default=True, help="Disks, links, clocks, the server fail.")
@click.option("--losses/--no-losses", default=True, help="Computers are lost for good.")
@click.option("--swarm", type=click.IntRange(1, SEEDS_MAX), help="So many seeds from --seed on.")
@click.option("--minutes", type=click.FloatRange(0.01), help="End a swarm after so long.")
@click.option(
    "--root",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="An empty folder for the disks.  [in memory]",
)
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each world.")
def world(
    *,
    seed: int,
    members: int,
    days: float,
    churn: str | None,
    faults: bool,
    losses: bool,
    swarm: int | None,
    minutes: float | None,
    root: Path | None,
    as_json: bool,
) -> None:
    """Let a group of real members live under simulated time, and check that nothing is lost.

    The same options give the same course, event by event. With --swarm, what kind of world it is
    follows from each seed, and the other options do not count.
    """
    from netsim.world import swarm as worlds
    from netsim.world.events import Plan
    from netsim.world.invariants import Violation

    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    begun = time.monotonic()  # noqa: TID251 - how long a person waits

    def tell(result: Result) -> None:
        nonlocal begun
        now = time.monotonic()  # noqa: TID251 - the same
        _tell(result, worlds.command_of(result.plan), now - begun, as_json=as_json)
        begun = now

    try:
        if swarm is None:
            click.echo(f"seed {seed}", err=True)
            plan = Plan(seed, members, days, churn=churn or "", faults=faults, losses=losses)
            tell(worlds.run_plan(plan, root))
            return
        end = begun + 60 * minutes if minutes else float("inf")
        count = worlds.swarm(
            range(seed, seed + swarm),
            lambda: time.monotonic() > end,  # noqa: TID251 - a person's time as well
            tell,
        )
        click.echo(f"{count} worlds, nothing broke.", err=True)
    except Violation as violation:
        notes = "\n".join(getattr(violation, "__notes__", ()))
        click.echo(f"{violation}\n{notes}", err=True)
        sys.exit(1)


def _tell(result: Result, command: str, seconds: float, *, as_json: bool) -> None:
    if as_json:
        facts = {key: value for key, value in asdict(result).items() if key != "last"}
        click.echo(json.dumps({**facts, "seconds": round(seconds, 2)}))
        return
    click.echo(
        f"{command}: {result.nights} nights, {result.failed_nights} that failed, "
        f"{result.checks:,} checks, {result.sent_bytes:,} bytes sent, "
        f"{result.stored_bytes:,} stored; trace {result.trace_hash} ({seconds:.1f} s)"
    )
