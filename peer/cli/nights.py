"""The verbs `pause` and `activity`: nights that come by themselves, and what came of them."""

from __future__ import annotations

import click

from peer.cli import output, running
from peer.cli.running import Verb, Wishes, pass_wishes
from peer.service import Answer

UNTIL = {"hour": "hour", "tomorrow": "tomorrow", "off": "no"}
SHOWN_MAX = 14


@click.command(cls=Verb)
@click.argument("until", type=click.Choice(list(UNTIL)), default="hour")
@pass_wishes
def pause(wishes: Wishes, until: str) -> None:
    """Let no night come by itself for an hour, or until tomorrow; `off` ends that."""

    async def work() -> Answer:
        async with running.reach(wishes) as service:
            return await service.pause(UNTIL[until])

    answer = running.run(work())
    if wishes.json:
        output.say(output.as_json({"ok": True, **answer}))
    elif answer["paused_until_ns"]:
        output.say(f"No backup comes by itself until {output.moment(answer['paused_until_ns'])}.")
    else:
        output.say("Backups come by themselves again.")


@click.command(cls=Verb)
@pass_wishes
def activity(wishes: Wishes) -> None:
    """Show the last nights, and what you were told."""

    async def work() -> Answer:
        async with running.reach(wishes) as service:
            return await service.activity()

    answer = running.run(work())
    if wishes.json:
        output.say(output.as_json({"ok": True, **answer}))
        return
    for night in answer["nights"][-SHOWN_MAX:]:
        mark = " " if night["ok"] else "!"
        sent = output.size(night["shipped_bytes"])
        when = output.moment(night["time_ns"])
        output.say(f"{mark} {when}  {sent:>9} sent  {output.shown(night['message'])}")
    for message in answer["messages"][-SHOWN_MAX:]:
        output.say(f"  {output.moment(message['time_ns'])}  {output.shown(message['text'])}")
    if not answer["nights"]:
        output.say("There was no night yet.")
