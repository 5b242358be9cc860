"""`covey integrate`: Covey in file managers, menu and login; and what the entries run."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from gui.integration.here import parts_here
from gui.integration.install import Outcome, install, installed, remove
from gui.integration.plan import ENTRIES, Part
from peer.cli import output, running
from peer.cli.explaining import explain
from peer.cli.running import Verb, Wishes, pass_wishes
from peer.nightly.notify import notify
from peer.service import Problem


@click.command(cls=Verb)
@click.option("--remove", "away", is_flag=True, help="Take all of it away again.")
@click.option("--list", "only_list", is_flag=True, help="Only tell what is there.")
@click.option("--only", multiple=True, metavar="PART", help="Only this part; may be repeated.")
@pass_wishes
def integrate(wishes: Wishes, away: bool, only_list: bool, only: tuple[str, ...]) -> None:
    """Put Covey into the file managers, the menu of programs and the login."""
    chosen = _chosen(_parts(wishes), only)
    if only_list:
        _tell_parts(wishes, chosen)
        return
    outcomes = (remove if away else install)(chosen)
    _tell(wishes, outcomes, away=away)
    if any(outcome.problems for outcome in outcomes):
        raise click.exceptions.Exit(1)


@click.command(cls=Verb, hidden=True)
@click.argument("wish", type=click.Choice([entry.key for entry in ENTRIES]))
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=str))
@pass_wishes
def picked(wishes: Wishes, wish: str, paths: tuple[str, ...]) -> None:
    """Do what was picked in a file manager; without a terminal, the desktop is told what failed."""
    absolute = [os.path.abspath(path) for path in paths]
    try:
        running.run(_mark(wishes, absolute) if wish == "mark" else _unmark(wishes, absolute))
    except Exception as error:
        problem = explain(error)
        asyncio.run(notify(f"{problem.text} {problem.next_step}".strip()))
        raise


async def _mark(wishes: Wishes, paths: list[str]) -> None:
    async with running.reach(wishes) as service:
        await service.mark(paths)


async def _unmark(wishes: Wishes, paths: list[str]) -> None:
    """Of what is selected, what is marked; a folder's content is not marked itself."""
    async with running.reach(wishes) as service:
        marks = await service.marks()
        marked = [path for path in paths if path in marks]
        if marked:
            await service.unmark(marked)
            return
        above = next((mark for mark in marks if Path(mark) in Path(paths[0]).parents), None)
    if above is None:
        raise Problem("Nothing of this is backed up.")
    raise Problem(f"This is backed up with {above}.", "Stop backing that up instead.")


def _parts(wishes: Wishes) -> list[Part]:
    return parts_here(str(wishes.home or os.environ.get("COVEY_HOME", "")))


def _chosen(found: list[Part], only: tuple[str, ...]) -> list[Part]:
    unknown = set(only) - {part.name for part in found}
    if unknown:
        known = ", ".join(part.name for part in found)
        raise Problem(f"There is no part «{min(unknown)}».", f"There are: {known}.")
    return [part for part in found if not only or part.name in only]


def _tell_parts(wishes: Wishes, found: list[Part]) -> None:
    if wishes.json:
        output.say(output.as_json({"ok": True, "parts": [_as_answer(part) for part in found]}))
        return
    for part in found:
        there = "installed" if installed(part) else "not installed"
        untried = "" if part.tried else " (not tried out yet)"
        output.say(f"{part.name}: {part.title}, {there}{untried}")
        for piece in part.pieces:
            output.say(f"    {output.shown(piece.path)}")


def _as_answer(part: Part) -> dict[str, object]:
    return {
        "part": part.name,
        "title": part.title,
        "installed": installed(part),
        "tried": part.tried,
        "files": [str(piece.path) for piece in part.pieces],
    }


def _tell(wishes: Wishes, outcomes: list[Outcome], *, away: bool) -> None:
    problems = [text for outcome in outcomes for text in outcome.problems]
    if wishes.json:
        changed = {outcome.part.name: outcome.changed for outcome in outcomes}
        answer = {"ok": not problems, "changed": changed, "problems": problems}
        output.say(output.as_json(answer))
        return
    for text in problems:
        output.warn(output.shown(text))
    if problems:
        return
    if away:
        output.say("Covey is gone from the file managers, the menu and the login.")
        return
    output.say("«Back up with Covey» is in the context menu of your file managers.")
    output.say("Thunar shows it when it is opened the next time (thunar -q ends it).")
    output.say("`covey integrate --remove` takes all of it away again.")
