"""The few things that a person must be told of without asking: a pure function of how it is.

Each has a key and is told once a day at most, or once for ever where it happens once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

DAY_NS = 86_400 * 10**9
NO_BACKUP_DAYS = 3
GONE_DAYS = 30
"""A friend who was not seen for so long is gone for good, as far as anybody can tell."""
SPACE_PART_MIN = 0.05
FOR_EVER_NS = 100 * 365 * DAY_NS


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to say. It is not said again before `again_ns` have passed."""

    key: str
    level: str
    text: str
    again_ns: int = DAY_NS


def notices(
    status: Mapping[str, Any],
    friends: list[Mapping[str, Any]],
    space: Mapping[str, Any],
    since_ns: int,
    now_ns: int,
) -> Iterator[Notice]:
    """What to say now, whether it was said before or not. Arguments are answers of the Service."""
    last = status["last_snapshot"]
    if last is not None:
        text = f"The first backup is done: {last['files']:,} files are with your friends."
        yield Notice("first", "info", text, FOR_EVER_NS)
    if status["marks"]:
        known_ns = last["time_ns"] if last is not None else since_ns
        days = (now_ns - known_ns) // DAY_NS
        if days >= NO_BACKUP_DAYS:
            yield Notice("late", "warning", f"There was no complete backup for {days} days.")
    for friend in friends:
        seen_ns = friend.get("last_seen_ns") or 0
        if not friend["online"] and seen_ns and now_ns - seen_ns >= GONE_DAYS * DAY_NS:
            text = f"{friend['name']} was not seen for {(now_ns - seen_ns) // DAY_NS} days."
            yield Notice(f"gone:{friend['member']}", "warning", text, 30 * DAY_NS)
        if friend.get("audit"):
            text = f"{friend['name']} {friend['audit']}. Lost parts are made anew."
            key = f"audit:{friend['member']}:{friend['audit_failed_ns']}"
            yield Notice(key, "warning", text, FOR_EVER_NS)
    offered, stored = space["friends_offer_bytes"], space["stored_bytes"]
    if stored and offered and stored > offered * (1 - SPACE_PART_MIN):
        text = "Your friends have hardly any room left for your backups."
        yield Notice("space", "warning", text, 7 * DAY_NS)
    drill = status["drill"]
    if drill is not None and not drill["ok"]:
        yield Notice(f"drill:{drill['time_ns']}", "warning", str(drill["sentence"]), FOR_EVER_NS)
