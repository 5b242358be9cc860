"""The verbs `nights`, `pause` and `activity`: backups that come by themselves, and their course."""

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
@click.argument("wanted", type=click.Choice(["on", "off"]), required=False)
@pass_wishes
def nights(wishes: Wishes, wanted: str | None) -> None:
    """Show whether backups come by themselves, and when the next one is due; or switch them."""

    async def work() -> Answer:
        async with running.reach(wishes) as service:
            if wanted is None:
                return await service.schedule()
            return await service.set_schedule(wanted == "on")

    answer = running.run(work())
    if wishes.json:
        output.say(output.as_json({"ok": True, **answer}))
    elif not answer["by_itself"]:
        output.say("Backups come only when you ask: covey backup")
    elif answer["next_night_ns"]:
        output.say(f"The next backup is due {output.moment(answer['next_night_ns'])}.")
        if answer["waiting_because"]:
            output.say(f"It waits: {answer['waiting_because']}")
    else:
        output.say("Backups come by themselves while the agent runs: covey agent")


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
