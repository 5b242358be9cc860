"""The verbs that only look: status, snapshots, ls, find.

Each asks the service one question and prints the answer, as a table or as one JSON object.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from peer.cli import output, running
from peer.cli.running import Verb, Wishes, pass_wishes
from peer.service import Answer, Service

T = TypeVar("T")

SNAPSHOT_DIGITS = 12  # of the id in tables: enough to be unique, short enough to type
FOUND_HEAD = f"{'SNAPSHOT':<{SNAPSHOT_DIGITS}}  {'SIZE':>8}  {'CHANGED':<19}  PATH"


def _ask(wishes: Wishes, question: Callable[[Service], Awaitable[T]]) -> T:
    async def work() -> T:
        async with running.reach(wishes) as service:
            return await question(service)

    return running.run(work())


def _tell(wishes: Wishes, answer: Answer, text: str) -> None:
    output.say(output.as_json({"ok": True, **answer}) if wishes.json else text)


@click.command(cls=Verb)
@pass_wishes
def status(wishes: Wishes) -> None:
    """Tell in one sentence how safe everything is, and the facts behind it."""
    answer = _ask(wishes, lambda service: service.status())
    _tell(wishes, answer, status_text(answer))


def status_text(answer: Answer) -> str:
    """The sentence first, then warnings, then facts."""
    last = answer["last_snapshot"]
    facts = [
        ("Group", f"{answer['group']} at {answer['server']}"),
        ("This member", answer["member"]),
        ("Server", "connected" if answer["connected"] else "not reached"),
        ("Friends", f"{answer['friends_online']} of {answer['friends']} online"),
        ("Marked", output.count(len(answer["marks"]), "path")),
        ("Last snapshot", _last_snapshot(last) if last else "none yet"),
    ]
    if answer["room"]:
        facts.append(("Room", answer["room"]))
    if drill := answer["drill"]:
        facts.append(("Last drill", f"{output.moment(drill['time_ns'])}: {drill['sentence']}"))
    if care := answer["care"]:
        facts.append(("Looked after", output.moment(care["time_ns"])))
        facts += [("", step["text"]) for step in care["steps"]]
    if answer["doing"]:
        facts.append(("Now", answer["doing"]))
    width = max(len(name) for name, _ in facts)
    lines = [output.shown(answer["sentence"])]
    lines += [f"! {output.shown(warning)}" for warning in answer["warnings"]]
    lines += ["", *(f"{name:<{width}}  {output.shown(value)}" for name, value in facts)]
    lines += [_link_line(link) for link in answer["links"]]
    return "\n".join(lines)


def _last_snapshot(last: Answer) -> str:
    whole = "" if last["complete"] else ", not complete"
    files, size = output.count(last["files"], "file"), output.size(last["bytes"])
    return f"{output.moment(last['time_ns'])}: {files}, {size}{whole}"


def _link_line(link: Answer) -> str:
    friend, engine, state = (output.shown(link[key]) for key in ("friend", "engine", "state"))
    failure = ""
    if link["failure"]:
        minutes = output.count(int(link["failed_s_ago"] // 60), "minute")
        failure = f"the last attempt failed {minutes} ago: {output.shown(link['failure'])}"
    if state != "open":
        how = "being made" if state == "connecting" else "none"
        return f"Link to {friend}: {how}{'; ' * bool(failure)}{failure}"
    path = {True: "relayed", False: "direct", None: "direct or relayed"}[link["relayed"]]
    rtt = "" if link["rtt_s"] is None else f", round trip {link['rtt_s'] * 1000:.0f} ms"
    pace = f", {link['bytes_per_s'] / 1e6:.1f} MB/s now"
    traffic = f"{output.size(link['bytes_sent'])} out, {output.size(link['bytes_received'])} in"
    return f"Link to {friend}: {path} by {engine}{rtt}{pace}; {traffic}"


@click.command(cls=Verb)
@pass_wishes
def snapshots(wishes: Wishes) -> None:
    """List the snapshots, oldest first."""
    rows = _ask(wishes, lambda service: service.snapshots())
    text = output.table(
        ["SNAPSHOT", "TIME", "FILES", "SIZE", "COMPLETE"],
        [
            (
                row["id"][:SNAPSHOT_DIGITS],
                output.moment(row["time_ns"]),
                f"{row['files']:,}",
                output.size(row["bytes"]),
                "yes" if row["complete"] else "no",
            )
            for row in rows
        ],
        right="llrr",
    )
    _tell(wishes, {"snapshots": rows}, text if rows else "There is no snapshot yet.")


@click.command(cls=Verb)
@click.argument("snapshot")
@click.argument("path", required=False, type=click.Path(path_type=str))
@pass_wishes
def ls(wishes: Wishes, snapshot: str, path: str | None) -> None:
    """List a folder of SNAPSHOT (or `latest`); without PATH, what was marked."""
    place = os.path.abspath(path) if path else ""
    rows = _ask(wishes, lambda service: service.ls(snapshot, place))
    _tell(wishes, {"entries": rows}, "\n".join(entry_line(row) for row in rows))


def entry_line(row: Answer) -> str:
    """One entry as `ls -l` would tell it."""
    kinds = {"folder": stat.S_IFDIR, "link": stat.S_IFLNK}
    mode = stat.filemode(kinds.get(row["kind"], stat.S_IFREG) | stat.S_IMODE(row["mode"]))
    arrow = f" -> {output.shown(row['target'])}" if row.get("target") else ""
    when = output.moment(row["mtime_ns"])
    return f"{mode}  {output.size(row['size']):>8}  {when}  {output.shown(row['name'])}{arrow}"


@click.command(cls=Verb)
@click.argument("pattern")
@pass_wishes
def find(wishes: Wishes, pattern: str) -> None:
    """Find names in all snapshots by a pattern, like '*.jpg'; every version, as it is found."""
    rows: list[Answer] = []

    async def work() -> int:
        count = 0
        async with running.reach(wishes) as service:
            async for event in service.find(pattern):
                if event["event"] != "found":
                    continue
                if wishes.json:
                    rows.append({key: value for key, value in event.items() if key != "event"})
                else:
                    output.say(
                        _found_line(event) if count else f"{FOUND_HEAD}\n{_found_line(event)}"
                    )
                count += 1
        return count

    count = running.run(work())
    if wishes.json:
        output.say(output.as_json({"ok": True, "found": rows}))
    if not count:
        output.warn("No name in any snapshot matches.")
        raise click.exceptions.Exit(1)


def _found_line(row: Answer) -> str:
    """Columns of a fixed width: the next line is not known yet."""
    when, snapshot = output.moment(row["mtime_ns"]), row["snapshot"][:SNAPSHOT_DIGITS]
    return f"{snapshot}  {output.size(row['size']):>8}  {when:<19}  {output.shown(row['path'])}"
