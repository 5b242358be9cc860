"""The verb `limit`: how much of the line Covey may take."""

from __future__ import annotations

import click

from peer.cli import output, running
from peer.cli.running import Verb, Wishes, pass_wishes
from peer.service import Answer


@click.command(cls=Verb)
@click.option("--up", default="", metavar="SPEED", help="At most so much out: 5Mbit, 2MB, none.")
@click.option("--down", default="", metavar="SPEED", help="At most so much in.")
@click.option("--spare/--fixed", default=None, help="Take only what nobody else uses, or all.")
@pass_wishes
def limit(wishes: Wishes, up: str, down: str, spare: bool | None) -> None:
    """Show or change how much of your line backups may take.

    By default they take what is spare: less as soon as you use the line yourself. A restore that
    you wait for takes all of it, up to the limits.
    """

    async def work() -> Answer:
        async with running.reach(wishes) as service:
            if not up and not down and spare is None:
                return await service.limits()
            return await service.set_limits(up, down, spare)

    answer = running.run(work())
    output.say(output.as_json({"ok": True, **answer}) if wishes.json else limits_text(answer))


def limits_text(answer: Answer) -> str:
    """What holds."""
    up, down = (_rate(answer[f"{way}_bytes_per_s"]) for way in ("up", "down"))
    whose = "what nobody else uses" if answer["spare"] else "all there is"
    lines = [f"Backups take {whose}.", f"Limit out  {up}", f"Limit in   {down}"]
    if answer["spare"]:
        now = (_rate(answer[f"now_{way}_bytes_per_s"]) for way in ("up", "down"))
        lines.append("Now        {} out, {} in".format(*now))
    return "\n".join(lines)


def _rate(bytes_per_s: float | None) -> str:
    return "none" if bytes_per_s is None else f"{bytes_per_s * 8 / 1e6:.3g} Mbit/s"
