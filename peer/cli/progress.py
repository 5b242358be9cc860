"""The events of long work, shown: live on a terminal, as a quiet line now and then in a log.

`follow` reads a service's events to the end and gives the outcome. What is shown goes to standard
error, so that standard output holds results alone; with --json nothing is shown on the way.

What a line says is decided by pure functions of one event (`headline`, `friends_line`).
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from peer.cli import output
from peer.service import Answer, Event, Problem

LOG_EVERY_S = 10.0  # often enough to see life, rare enough for a mail from cron
NOTES_SHOWN_MAX = 20
NOTES_KEPT_MAX = 1000
FRIENDS_NAMED_MAX = 4

_STAGES = {
    "scan": "Reading",
    "ship": "Sending",
    "finish": "Finishing",
    "fetch": "Fetching",
    "wait": "Waiting for friends",
    "write": "Writing",
    "check": "Checking",
    "drill": "Trying a restore",
    "care": "Looking after the group",
}


@dataclass(slots=True)
class Outcome:
    """How long work ended, with the notes that it left on the way."""

    ok: bool
    message: str
    next_step: str
    summary: Answer
    notes: list[Event] = field(default_factory=list)
    notes_count: int = 0

    def as_answer(self) -> Answer:
        """For --json."""
        return {
            "ok": self.ok,
            "message": self.message,
            "next_step": self.next_step,
            "summary": self.summary,
            "notes": [{"path": note["path"], "text": note["text"]} for note in self.notes],
            "notes_count": self.notes_count,
        }


def headline(event: Event) -> str:
    """`Sending: 1,204 of 5,000 files · 1.2 GB of 4.0 GB · 45.0 MB/s · 2 min left`."""
    noun = "part" if event["stage"] == "check" else "file"
    parts = [
        _of(event["files"], event["files_total"], noun),
        _of_bytes(event["bytes"], event["bytes_total"]),
    ]
    if event["shipped_bytes"]:
        parts.append(f"{output.size(event['shipped_bytes'])} to friends")
    if event["rate"]:
        parts.append(f"{output.size(event['rate'])}/s")
    if event["seconds_left"] is not None:
        parts.append(f"{output.duration(event['seconds_left'])} left")
    stage = str(event["stage"])
    said = _STAGES.get(stage, output.shown(stage))
    if stage == "care" and not event["files"] and not event["bytes"]:
        return said
    if event.get("waiting_for"):
        said = f"Waiting for {_either(event['waiting_for'])}"
    return f"{said}: {' · '.join(parts)}"


def _either(names: Sequence[str]) -> str:
    """`bea`, `bea or carl`, `any of ann, bea, carl, …`."""
    shown = [output.shown(name) for name in names[:FRIENDS_NAMED_MAX]]
    if len(names) <= 2:
        return " or ".join(shown)
    return f"any of {', '.join(shown)}{', …' if len(names) > len(shown) else ''}"


def friends_line(event: Event) -> str:
    """`Shares: ann 12 · bob 11`, or nothing while no friend has any."""
    shares = [f"{output.shown(name)} {number}" for name, number in sorted(event["friends"].items())]
    return f"Shares: {' · '.join(shares)}" if shares else ""


def _of(number: int, total: int | None, noun: str) -> str:
    if total is None:
        return output.count(number, noun)
    return f"{number:,} of {output.count(total, noun)}"


def _of_bytes(number: int, total: int | None) -> str:
    done = output.size(number)
    return done if total is None else f"{done} of {output.size(total)}"


class Display(Protocol):
    """Where progress is shown; used as a context manager around the work."""

    def show(self, event: Event, now: float) -> None: ...

    def __enter__(self) -> Display: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Silent(contextlib.AbstractContextManager["Silent"]):
    """Nothing is shown."""

    def show(self, event: Event, now: float) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


class LogLines(contextlib.AbstractContextManager["LogLines"]):
    """A line on standard error when the stage changes, and every few seconds."""

    def __init__(self) -> None:
        self._stage = ""
        self._next = 0.0

    def show(self, event: Event, now: float) -> None:
        if event["stage"] == self._stage and now < self._next:
            return
        self._stage, self._next = event["stage"], now + LOG_EVERY_S
        output.warn(headline(event))

    def __exit__(self, *_: object) -> None:
        pass


class Terminal(contextlib.AbstractContextManager["Terminal"]):
    """A bar and two lines that change in place, gone when the work ends."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def show(self, event: Event, now: float) -> None:
        self._live.update(picture(event))

    def __enter__(self) -> Terminal:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.__exit__(kind, error, trace)


def picture(event: Event) -> RenderableType:
    """What a terminal shows for one event. Names are `Text`, so that none is read as markup."""
    lines: list[RenderableType] = [Text(headline(event))]
    if event["bytes_total"]:
        lines.append(ProgressBar(total=event["bytes_total"], completed=event["bytes"], width=60))
    if shares := friends_line(event):
        lines.append(Text(shares, style="dim"))
    return Group(*lines)


def display(*, quiet: bool) -> Display:
    """The display that fits where standard error goes."""
    if quiet:
        return Silent()
    if sys.stderr.isatty():
        return Terminal(Console(stderr=True))
    return LogLines()


async def follow(events: AsyncIterator[Event], shown_on: Display) -> Outcome:
    """Read `events` to the end; closes them when interrupted. Raises what they raise."""
    notes: list[Event] = []
    notes_count = 0
    last: Event | None = None
    clock = asyncio.get_running_loop()
    with shown_on:
        try:
            async for event in events:
                if event["event"] == "progress":
                    shown_on.show(event, clock.time())
                elif event["event"] == "note":
                    notes_count += 1
                    if len(notes) < NOTES_KEPT_MAX:
                        notes.append(event)
                elif event["event"] == "done":
                    last = event
        finally:
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()
    if last is None:
        raise Problem("The work ended without an outcome.", "Try again.", code="no_outcome")
    return Outcome(
        ok=bool(last["ok"]),
        message=str(last["message"]),
        next_step=str(last["next_step"]),
        summary=dict(last["summary"]),
        notes=notes,
        notes_count=notes_count,
    )


def tell(outcome: Outcome, *, as_json: bool) -> None:
    """Print an outcome: the notes to standard error, the rest to standard output."""
    if as_json:
        output.say(output.as_json(outcome.as_answer()))
        return
    for note in outcome.notes[:NOTES_SHOWN_MAX]:
        output.warn(f"note: {output.shown(note['path'])}: {output.shown(note['text'])}")
    if outcome.notes_count > NOTES_SHOWN_MAX:
        output.warn(f"note: and {outcome.notes_count - NOTES_SHOWN_MAX:,} more; --json has them.")
    say = output.say if outcome.ok else output.warn
    say(output.shown(outcome.message))
    if outcome.next_step:
        say(output.shown(outcome.next_step))
