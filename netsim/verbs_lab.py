"""`covey sim lab`: which homes meet, really, on this computer."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

if TYPE_CHECKING:
    from netsim.lab.homes import Kind
    from netsim.lab.matrix import Meeting

TOLD_TO_END = 128 + signal.SIGTERM
ROW = "{:<11} {:<11} {:<8} {:>7} {:>7}  {}"


@click.command()
@click.option("--matrix", "whole", is_flag=True, help="Try every pair of homes; some minutes.")
@click.option(
    "--pair",
    "pairs",
    multiple=True,
    metavar="HOME/HOME",
    help="Try this pair, such as port/no-udp.",
)
@click.option("--without-relay", is_flag=True, help="No TURN server.")
@click.option("--engine", type=click.Choice(["best", "aiortc"]), default="best", show_default=True)
@click.option(
    "--delay-ms", type=click.FloatRange(0, 2000), default=0.0, help="Of each home's line."
)
@click.option("--loss", type=click.FloatRange(0, 100), default=0.0, help="Of its packets, percent.")
@click.option(
    "--megabytes",
    type=click.FloatRange(0.1, 1000),
    default=8.0,
    show_default=True,
    help="How much travels to find the rate; less for bad lines.",
)
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each pair.")
@click.option(
    "--logs", type=click.Path(file_okay=False, path_type=Path), help="Keep all logs in this folder."
)
def lab(
    whole: bool,
    pairs: tuple[str, ...],
    without_relay: bool,
    engine: Literal["best", "aiortc"],
    delay_ms: float,
    loss: float,
    megabytes: float,
    as_json: bool,
    logs: Path | None,
) -> None:
    """Homes behind real NATs, and real members that call each other. Needs root and coturn.

    Without --matrix or --pair it tells which kinds of homes there are.
    """
    from netsim.lab.homes import every_pair
    from netsim.lab.line import Conditions
    from netsim.lab.matrix import complaints, matrix
    from netsim.lab.spaces import LabError

    wanted = every_pair() if whole else [_pair(text) for text in pairs]
    if not wanted:
        _tell_kinds()
        return
    line = Conditions(delay_s=delay_ms / 1000, loss=loss / 100) if delay_ms or loss else None
    met = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TOLD_TO_END))  # and take everything away
    with contextlib.ExitStack() as stack:
        folder = logs or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="covey-lab-")))
        if not as_json:
            click.echo(ROW.format("CALLER", "CALLED", "PATH", "SECONDS", "MB/S", "ENGINES"))
        meetings = matrix(
            wanted,
            folder,
            size=int(megabytes * 1e6),
            relay=not without_relay,
            engine=engine,
            conditions=line,
        )
        try:
            with contextlib.closing(meetings):
                for meeting in meetings:
                    met.append(meeting)
                    click.echo(json.dumps(asdict(meeting)) if as_json else _row(meeting))
        except LabError as error:
            raise click.ClickException(str(error)) from error
    _end(met, complaints(met), quiet=as_json)


def _pair(text: str) -> tuple[Kind, Kind]:
    from netsim.lab.homes import Kind

    try:
        one, other = (Kind(part) for part in text.split("/"))
    except ValueError:
        known = ", ".join(Kind)
        raise click.BadParameter(f"«{text}» is not two of {known} with a / between.") from None
    return one, other


def _row(meeting: Meeting) -> str:
    return ROW.format(
        meeting.one,
        meeting.other,
        meeting.outcome or "none",
        f"{meeting.connect_s:.2f}",
        f"{meeting.mb_per_s:.1f}" if meeting.outcome else "",
        meeting.failure or ", ".join(meeting.engines),
    )


def _tell_kinds() -> None:
    from netsim.lab.homes import TRAITS

    for kind, traits in TRAITS.items():
        click.echo(f"{kind:<11} {traits.about}")


def _end(met: Iterable[Meeting], wrong: list[str], *, quiet: bool) -> None:
    """Sum up, and end with 1 when something is not as it should be."""
    from netsim.lab.matrix import median_connect_s

    found = list(met)
    if not quiet:
        slowest_s = max(one.connect_s for one in found)
        click.echo(
            f"\n{median_connect_s(found):.2f} s to connect (median), {slowest_s:.2f} s at most"
        )
    for text in wrong:
        click.echo(text, err=True)
    if wrong:
        sys.exit(1)
