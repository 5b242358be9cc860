"""`covey leave`: out of the group for good, after asking."""

from __future__ import annotations

import click

from peer.cli import asking, output, progress, running
from peer.cli.running import Verb, Wishes, pass_wishes
from peer.service import Problem


@click.command(cls=Verb)
@click.option("--now", is_flag=True, help="Do not hand over first what friends have here.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_wishes
def leave(wishes: Wishes, now: bool, yes: bool) -> None:
    """Leave the group for good: hand over what friends keep here, then say goodbye.

    Friends who are awake take what they have here elsewhere first, which takes as long as the line
    needs; --now does without, and they make it anew from others. Your files stay as they are. Your
    backups at friends go after 14 days; until then `covey recover` brings them back.
    """
    if not yes:
        _ask(wishes)

    async def work() -> progress.Outcome:
        async with running.reach(wishes) as service:
            return await progress.follow(service.leave(now), progress.display(quiet=wishes.json))

    outcome = running.run(work())
    progress.tell(outcome, as_json=wishes.json)
    if not outcome.ok:
        raise click.exceptions.Exit(1)


def _ask(wishes: Wishes) -> None:
    group = output.shown(wishes.state.config().group)
    if not asking.interactive():
        raise Problem(
            f"Leaving «{group}» cannot be taken back after 14 days, so nothing was done.",
            "Add --yes if that is meant.",
            code="not_agreed",
        )
    question = (
        f"Leave «{group}»? Your backups at friends go after 14 days, and cannot be had back then."
    )
    if not click.confirm(question, err=True):
        raise Problem("Nothing was changed.", "You are still in the group.", code="not_agreed")
