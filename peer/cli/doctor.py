"""The verb `doctor`: what is wrong with the network, the disk or the clock, and what to do."""

from __future__ import annotations

import textwrap
from collections.abc import AsyncIterator

import click

from peer.cli import output, running
from peer.cli.running import Verb, Wishes, pass_wishes
from peer.service import Answer, Event

COLUMNS = 100
_MARKS = {"ok": "  ok     ", "warning": "! warning", "problem": "X PROBLEM"}


@click.command(cls=Verb)
@click.option("--server", metavar="URL", help="Look at this server, also before joining a group.")
@pass_wishes
def doctor(wishes: Wishes, server: str | None) -> None:
    """Look for what is wrong with network, disk and clock; succeeds when nothing is a problem."""
    findings: list[Answer] = []

    async def work() -> Event:
        last: Event = {}
        async for event in _events(wishes, server):
            if event["event"] == "finding":
                findings.append({key: value for key, value in event.items() if key != "event"})
                if not wishes.json:
                    output.say(finding_text(event))
            last = event
        return last

    done = running.run(work())
    if wishes.json:
        answer = {"ok": done["ok"], "message": done["message"], "findings": findings}
        output.say(output.as_json(answer))
    else:
        output.say(f"\n{output.shown(done['message'])}")
    if not done["ok"]:
        raise click.exceptions.Exit(1)


async def _events(wishes: Wishes, server: str | None) -> AsyncIterator[Event]:
    if server is not None or not wishes.state.joined:
        async for event in wishes.entry().examine_alone(wishes.state, server):
            yield event
        return
    async with running.reach(wishes) as service:
        async for event in service.doctor():
            yield event


def finding_text(event: Event) -> str:
    """One finding, its advice below it."""
    head = f"{_MARKS[event['level']]}  {event['about'] + ':':<9}"
    indent = " " * (len(head) + 1)
    lines = textwrap.wrap(
        output.shown(event["text"]), COLUMNS, initial_indent=f"{head} ", subsequent_indent=indent
    )
    if event["advice"]:
        lines += textwrap.wrap(
            output.shown(event["advice"]),
            COLUMNS,
            initial_indent=f"{indent}-> ",
            subsequent_indent=f"{indent}   ",
        )
    return "\n".join(lines)
