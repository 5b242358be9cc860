"""The verbs that do something for this member: marks, backup, restore, check."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import click

from peer.cli import output, progress, running
from peer.cli.running import Verb, Wishes, pass_wishes
from peer.service import Event, Problem, Service

IN_PLACE = "/"  # files keep their full path below the target
BUSY_RETRY_S = 1.0  # `backup --wait` looks again so often whether other work has ended

_MarkCall = Callable[[Sequence[str]], Awaitable[list[str]]]
_Events = AsyncIterator[Event]

_paths = click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=str))


@click.command(cls=Verb)
@_paths
@pass_wishes
def mark(wishes: Wishes, paths: tuple[str, ...]) -> None:
    """Mark files and folders for backup."""
    for path in paths:
        if not os.path.lexists(path):
            raise Problem(f"{output.shown(path)} is not there.", "Nothing was marked.")
    _change_marks(wishes, paths, lambda service: service.mark)


@click.command(cls=Verb)
@_paths
@pass_wishes
def unmark(wishes: Wishes, paths: tuple[str, ...]) -> None:
    """Stop backing these up; what earlier snapshots have is kept."""
    _change_marks(wishes, paths, lambda service: service.unmark)


def _change_marks(
    wishes: Wishes, paths: tuple[str, ...], verb: Callable[[Service], _MarkCall]
) -> None:
    absolute = [os.path.abspath(path) for path in paths]

    async def work() -> list[str]:
        async with running.reach(wishes) as service:
            return await verb(service)(absolute)

    _tell_marks(wishes, running.run(work()))


@click.command(cls=Verb)
@pass_wishes
def marks(wishes: Wishes) -> None:
    """List what is marked for backup."""

    async def work() -> list[str]:
        async with running.reach(wishes) as service:
            return await service.marks()

    _tell_marks(wishes, running.run(work()))


def _tell_marks(wishes: Wishes, paths: list[str]) -> None:
    if wishes.json:
        output.say(output.as_json({"ok": True, "marks": paths}))
    elif paths:
        output.say("\n".join(output.shown(path) for path in paths))
    else:
        output.say("Nothing is marked. Mark a folder with `covey mark FOLDER`.")


@click.command(cls=Verb)
@click.option("--wait", is_flag=True, help="If Covey is busy with other work, wait for its end.")
@pass_wishes
def backup(wishes: Wishes, wait: bool) -> None:
    """Back up now; succeeds when the snapshot is complete and safe."""

    async def work() -> progress.Outcome:
        async with running.reach(wishes) as service:
            while True:
                try:
                    return await _followed(wishes, service.backup())
                except Problem as problem:
                    if not wait or problem.code != "busy":
                        raise
                await asyncio.sleep(BUSY_RETRY_S)

    _conclude(wishes, running.run(work()))


@click.command(cls=Verb)
@click.argument("snapshot")
@click.argument("paths", nargs=-1, type=click.Path(path_type=str))
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to restore into; it is made if need be.",
)
@click.option("--in-place", is_flag=True, help="Restore to where the files came from.")
@click.option(
    "--overwrite",
    type=click.Choice(["always", "older", "never"]),
    default="always",
    show_default=True,
    help="Which files that are there, and are not right already, are replaced.",
)
@click.option("--dry-run", is_flag=True, help="Only tell what would be written and fetched.")
@pass_wishes
def restore(
    wishes: Wishes,
    snapshot: str,
    paths: tuple[str, ...],
    target: Path | None,
    in_place: bool,
    overwrite: str,
    dry_run: bool,
) -> None:
    """Bring SNAPSHOT (or `latest`) back, or only some PATHS of it.

    Below the folder that --to names, files keep their full path. Files that are there already with
    the right content are left alone, so a restore that was interrupted is simply repeated.
    """
    if (target is None) != in_place:
        raise click.UsageError("Say where: --to FOLDER or --in-place.")
    absolute = [os.path.abspath(path) for path in paths]
    to = IN_PLACE if target is None else os.path.abspath(target)

    async def work() -> progress.Outcome:
        async with running.reach(wishes) as service:
            events = service.restore(snapshot, to, absolute, overwrite, dry_run)
            return await _followed(wishes, events)

    _conclude(wishes, running.run(work()))


@click.command(cls=Verb)
@click.option("--read-data", is_flag=True, help="Also fetch packs and open all that is in them.")
@click.option(
    "--percent",
    type=click.FloatRange(0, 100, min_open=True),
    help="With --read-data: only so many of the packs, drawn by lot.",
)
@click.option("--drill", is_flag=True, help="Restore a few files and compare them, now.")
@click.option("--rebuild", is_flag=True, help="Make the catalog anew from what friends have.")
@pass_wishes
def check(
    wishes: Wishes, read_data: bool, percent: float | None, drill: bool, rebuild: bool
) -> None:
    """Ask all friends what they hold; succeeds when every pack can be rebuilt."""
    if read_data + drill + rebuild > 1:
        raise click.UsageError("--read-data, --drill and --rebuild go one after the other.")
    if percent is not None and not read_data:
        raise click.UsageError("--percent goes with --read-data.")
    what = "data" if read_data else "drill" if drill else "rebuild" if rebuild else "listings"

    async def work() -> progress.Outcome:
        async with running.reach(wishes) as service:
            return await _followed(wishes, service.check(what, percent or 100))

    _conclude(wishes, running.run(work()))


async def _followed(wishes: Wishes, events: _Events) -> progress.Outcome:
    return await progress.follow(events, progress.display(quiet=wishes.json))


def _conclude(wishes: Wishes, outcome: progress.Outcome) -> None:
    progress.tell(outcome, as_json=wishes.json)
    if not outcome.ok:
        raise click.exceptions.Exit(1)
