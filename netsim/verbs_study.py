"""`covey sim durability` and `covey sim traffic`: a group over years, from one seed."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from netsim.durability.churn import Churn
    from netsim.durability.study import Row

SIZES = (4, 8, 20, 50)
CHURNS = ("skype", "microsoft", "planetlab", "overnet", "phones", "office", "laptops")
POLICIES = ("replication", "fixed", "covey")
GROUPS = 200
YEARS_MAX = 20.0
GROUPS_MAX = 100_000
MEMBERS_MAX = 200


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(
        (
            click.option(
                "--members",
                type=click.IntRange(2, MEMBERS_MAX),
                multiple=True,
                help="How many members a group has; may be given several times.  [4, 8, 20, 50]",
            ),
            click.option("--years", type=click.FloatRange(0.3, YEARS_MAX), default=5.0),
            click.option("--groups", type=click.IntRange(1, GROUPS_MAX), default=GROUPS),
            click.option("--seed", type=click.IntRange(0), default=1),
            click.option("--policy", type=click.Choice(POLICIES), multiple=True, help="  [all]"),
            click.option("--churn", type=click.Choice(CHURNS), multiple=True, help="  [all]"),
            click.option(
                "--trace",
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                help="When members were there: CSV lines member,online_from,online_until in s.",
            ),
            click.option(
                "--out",
                type=click.Path(file_okay=False, path_type=Path),
                help="A folder for the CSV and the picture; else the CSV is printed.",
            ),
        )
    ):
        command = option(command)
    return command


@click.command()
@_options
def durability(**wanted: Any) -> None:  # noqa: ANN401 - click's options
    """How likely backups survive, what they cost, and how long a restore takes."""
    _study("durability", **wanted)


@click.command()
@_options
def traffic(**wanted: Any) -> None:  # noqa: ANN401 - click's options
    """How much repairs and new data move, a day and member."""
    _study("traffic", **wanted)


def _study(
    name: str,
    *,
    members: tuple[int, ...],
    years: float,
    groups: int,
    seed: int,
    policy: tuple[str, ...],
    churn: tuple[str, ...],
    trace: Path | None,
    out: Path | None,
) -> None:
    if not (importlib.util.find_spec("numpy") and importlib.util.find_spec("matplotlib")):
        raise click.ClickException("This needs numpy and matplotlib: pip install 'covey[study]'.")
    from netsim.durability.policies import POLICIES as RULES
    from netsim.durability.study import study, write_csv

    rules = [RULES[chosen] for chosen in policy or POLICIES]
    rows: list[Row] = []
    for chosen in _churns(churn, trace):
        for size in members or SIZES:
            rows += study(rules, chosen, size, years, groups, seed, _tell)
    if out is None:
        write_csv(rows, sys.stdout)
        return
    out.mkdir(parents=True, exist_ok=True)
    with (out / f"{name}.csv").open("w", newline="") as file:
        write_csv(rows, file)
    _picture(name, rows, out / f"{name}.png")
    click.echo(f"{out / name}.csv and .png are written.", err=True)


def _churns(names: tuple[str, ...], trace: Path | None) -> list[Churn]:
    from netsim.durability.churn import PROFILES
    from netsim.durability.traces import BadTrace, read_trace

    if trace is None:
        return [PROFILES[name] for name in names or CHURNS]
    if names:
        raise click.UsageError("Give --churn or --trace, not both.")
    try:
        with trace.open(newline="", encoding="utf-8") as file:
            return [read_trace(file)]
    except (BadTrace, UnicodeDecodeError) as error:
        raise click.ClickException(f"{trace}: {error}") from error


def _picture(name: str, rows: list[Row], path: Path) -> None:
    from netsim.durability import pictures

    draw = pictures.draw_durability if name == "durability" else pictures.draw_traffic
    draw(rows, path)


def _tell(text: str) -> None:
    click.echo(text, err=True)
