"""The verbs about snapshots as a whole: keep, confirm, forget."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import click

from peer.cli import output, running
from peer.cli.running import Verb, Wishes, pass_wishes
from peer.service import Answer, Service


def _change(
    wishes: Wishes,
    verb: Callable[[Service], Awaitable[Answer]],
    sentence: Callable[[Answer], str],
) -> None:
    async def work() -> Answer:
        async with running.reach(wishes) as service:
            return await verb(service)

    answer = running.run(work())
    text = output.as_json({"ok": True, **answer}) if wishes.json else sentence(answer)
    output.say(text)


@click.command(cls=Verb)
@click.argument("rule", nargs=-1)
@pass_wishes
def keep(wishes: Wishes, rule: tuple[str, ...]) -> None:
    """Show or change how many snapshots stay: covey keep 7 daily 5 weekly 12 monthly 3 yearly.

    Of the last days, weeks, months and years that have a snapshot, the last one of each stays. What
    is not named stays as it is by default.
    """
    if rule:
        text = " ".join(rule)
        _change(wishes, lambda s: s.keep(text), lambda a: f"From the next night on: {a['keep']}.")
    else:
        _change(wishes, lambda s: s.history(), lambda a: f"Kept are {a['keep']} snapshots.")


@click.command(cls=Verb)
@pass_wishes
def confirm(wishes: Wishes) -> None:
    """Say that you meant to delete or rewrite most of your files: old snapshots may go again."""
    done = "Thank you. From the next night on, old snapshots are thinned out again."
    _change(wishes, lambda service: service.confirm(), lambda answer: done)


@click.command(cls=Verb)
@click.argument("snapshot")
@pass_wishes
def forget(wishes: Wishes, snapshot: str) -> None:
    """Let SNAPSHOT go with the next night, with all that no other snapshot needs."""
    done = "It goes with the next night. Friends keep its parts for 14 more days if they have room."
    _change(wishes, lambda service: service.forget(snapshot), lambda answer: done)
