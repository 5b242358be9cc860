"""`covey space` and `covey friends`: who gives, takes and keeps how much."""

from __future__ import annotations

import click

from peer.cli import asking, output, running
from peer.cli.running import Verb, Wishes, pass_wishes
from peer.service import Answer

BOUNDS = {
    "offer": "what you give",
    "shown": "what friends have checked",
    "friends": "your friends' room",
}


@click.command(cls=Verb)
@click.option("--give", type=asking.size_option, metavar="SIZE", help="From now on give so much.")
@click.option("--ledger", is_flag=True, help="Tell what every member says that it keeps and saw.")
@pass_wishes
def space(wishes: Wishes, give: int | None, ledger: bool) -> None:
    """Tell what this member gives, takes and may still take, and what to give for more."""

    async def work() -> Answer:
        async with running.reach(wishes) as service:
            if give is not None:
                return await service.set_space(give)
            return await service.space()

    answer = running.run(work())
    if wishes.json:
        output.say(output.as_json({"ok": True, **answer}))
        return
    output.say(space_text(answer))
    if ledger:
        output.say("\n" + ledger_text(answer["ledger"]))


def space_text(answer: Answer) -> str:
    """The sentence first, then warnings, then facts."""
    facts = [
        ("You give", "offer_bytes"),
        ("Friends use of it", "held_bytes"),
        ("You may take", "credit_bytes"),
        ("You take", "usage_bytes"),
        ("Friends give together", "friends_offer_bytes"),
        ("Your shares at friends", "stored_bytes"),
        ("Before coding", "packed_bytes"),
        ("Room for more", "fits_bytes"),
        ("You have shown to keep", "shown_bytes"),
    ]
    lines = [output.shown(answer["sentence"])]
    lines += [f"! {output.shown(warning)}" for warning in answer["warnings"]]
    lines += ["", *(f"{name:<22}  {output.size(answer[key]):>8}" for name, key in facts)]
    lines.append(f"{'More is bound by':<22}  {BOUNDS[answer['bound']]}")
    return "\n".join(lines)


def ledger_text(ledger: list[Answer]) -> str:
    """The figures of each member, and below them the statements that they come from."""
    table = output.table(
        ["MEMBER", "GIVES", "KEEPS", "TAKES", "HAS SHOWN", "MAY TAKE", "STATEMENT"],
        [
            (
                row["name"] + " (you)" * row["you"],
                *(output.size(row[f"{key}_bytes"]) for key in ("offer", "held", "usage", "shown")),
                output.size(row["credit_bytes"]),
                f"no. {row['counter']} of {output.moment(row['told_ns'])}"
                if row["counter"]
                else "none yet",
            )
            for row in ledger
        ],
        right="lrrrrrl",
    )
    return "\n".join([table, *(line for row in ledger for line in _words_of(row))])


def _words_of(row: Answer) -> list[str]:
    """What one member says of the others."""
    name = output.shown(row["name"])
    return [
        f"{name} says: I keep {output.size(said['held_bytes'])} for {output.shown(said['name'])}, "
        f"who has shown to keep {output.size(said['shown_bytes'])} for me."
        for said in row["says"]
    ]


@click.command(cls=Verb)
@pass_wishes
def friends(wishes: Wishes) -> None:
    """List the other members of the group, and what each gives, keeps and takes."""

    async def work() -> list[Answer]:
        async with running.reach(wishes) as service:
            return await service.friends()

    rows = running.run(work())
    if wishes.json:
        output.say(output.as_json({"ok": True, "friends": rows}))
        return
    output.say(friends_text(rows) if rows else "Nobody else is in this group yet.")


def friends_text(rows: list[Answer]) -> str:
    """A table, then a sentence on each friend of whom there is something to say."""
    table = output.table(
        [
            "FRIEND",
            "ONLINE",
            "GIVES",
            "SHARES",
            "KEEPS FOR YOU",
            "YOU KEEP",
            "THERE",
            "AUDITS",
            "LINK",
        ],
        [
            (
                row["name"],
                "yes" if row["online"] else "no",
                output.size(row["offer_bytes"]),
                f"{row['shares']:,}",
                output.size(row["stored_bytes"]),
                output.size(row["held_bytes"]),
                _part(row["uptime"]),
                _part(row["score"]),
                row["engine"] or "-",
            )
            for row in rows
        ],
        right="llrrrrrrl",
    )
    said = [f"{output.shown(row['name'])} {output.shown(row['note'])}" for row in rows]
    return "\n".join([table, *(line for line, row in zip(said, rows, strict=True) if row["note"])])


def _part(part: float | None) -> str:
    return "?" if part is None else f"{part:.0%}"
