"""What the doctor says: a line for each thing that it looked at. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from peer.service import Event, done

Level = Literal["ok", "warning", "problem"]
"""A problem keeps backups or restores from working; a warning makes them slower or less safe."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one thing, in whole sentences, and what to do about it."""

    about: str
    level: Level
    text: str
    advice: str = ""


def as_event(finding: Finding) -> Event:
    """See `peer.service`."""
    return {"event": "finding", **asdict(finding)}


def conclusion(findings: Sequence[Finding]) -> Event:
    """The last event: all is well as long as nothing is a problem."""
    problems = [one for one in findings if one.level == "problem"]
    warnings = [one for one in findings if one.level == "warning"]
    if problems:
        text = f"{_counted(len(problems), 'problem')} found"
        text += f", and {_counted(len(warnings), 'warning')}." if warnings else "."
    elif warnings:
        text = f"It works, with {_counted(len(warnings), 'warning')}."
    else:
        text = "Everything is as it should be."
    return done(
        ok=not problems,
        message=text,
        next_step=problems[0].advice if problems else "",
        summary={"problems": len(problems), "warnings": len(warnings)},
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
