"""What a check found, and how it is told: pure, so that every sentence can be tested.

The one who reads it wants to know three things: can everything come back, who is the reason if
not, and what to do now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from peer.service import Event, done

NAMES_SAID_MAX = 3


@dataclass(slots=True)
class RootCopies:
    """Which friends keep which copy of the root record, by their names."""

    newest: list[str] = field(default_factory=list)
    older: list[str] = field(default_factory=list)
    none: list[str] = field(default_factory=list)
    newer: list[str] = field(default_factory=list)
    """Newer than this computer's own, which nobody but another computer can have made."""


@dataclass(slots=True)
class DataRead:
    """What came of rebuilding packs from friends."""

    wanted: int = 0
    packs: int = 0
    chunks: int = 0
    fetched_bytes: int = 0
    damaged: int = 0
    """Packs that are whole by all names and cannot be opened, all or a part of them."""


@dataclass(slots=True)
class Findings:
    """All that one check found. Friends are named as a person knows them."""

    packs: int = 0
    unfinished: int = 0
    """Packs of a night that did not end; no snapshot needs them."""
    lost: int = 0
    """Packs that cannot be rebuilt from who answered."""
    given_up: int = 0
    """Those of them that no friend can bring back."""
    thin: int = 0
    can_vanish: int = 0
    answered: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    offline: list[str] = field(default_factory=list)
    bare: list[str] = field(default_factory=list)
    """Answered, but lack most of what they had."""
    audited: int = 0
    wrong: dict[str, int] = field(default_factory=dict)
    """Shares that friends list and cannot show, by friend."""
    roots: RootCopies = field(default_factory=RootCopies)
    catalog: list[str] = field(default_factory=list)
    """What is wrong with the catalog itself; empty when nothing is."""
    unreadable: list[str] = field(default_factory=list)
    """Snapshots that are listed and whose beginning lies in no pack any more, by their time."""
    missing_new: int = 0
    """Chunks of the newest snapshot that lie in no pack; the next night sends them."""
    missing_old: int = 0
    """Chunks of older snapshots only that lie in no pack: lost, unless they turn up."""
    gone: list[str] = field(default_factory=list)
    """Snapshots that went with a lost pack, by their time."""
    read: DataRead | None = None

    @property
    def ok(self) -> bool:
        """Whether every pack can be rebuilt, and found, with nothing but who answered."""
        complete = self.read is None or self.read.packs == self.read.wanted
        return bool(
            self.packs
            and not self.lost
            and not self.catalog
            and not self.unreadable
            and not self.missing_new
            and complete
            and self.roots.newest
            and not self.roots.newer
        )


def told(found: Findings) -> Event:
    """The event that ends a check."""
    return done(
        ok=found.ok,
        message=" ".join(text for text in _sentences(found) if text),
        next_step=_next_step(found),
        summary=_summary(found),
    )


def names(people: Sequence[str]) -> str:
    """`Ann`, `Ann and Bea`, `Ann, Bea, Cy and 2 more`."""
    if len(people) > NAMES_SAID_MAX:
        return f"{', '.join(people[:NAMES_SAID_MAX])} and {len(people) - NAMES_SAID_MAX} more"
    return " and ".join([", ".join(people[:-1]), people[-1]] if len(people) > 1 else people)


def count(number: int, noun: str) -> str:
    """`1 part`, `1,204 parts`."""
    return f"{number:,} {noun if number == 1 else noun + 's'}"


def _sentences(found: Findings) -> list[str]:
    if found.catalog:
        return [f"This computer's list of backups is damaged: {found.catalog[0]}."]
    if not found.packs:
        return ["Nothing is backed up yet."]
    return [
        _can_come_back(found),
        _was_read(found),
        _wrong(found),
        _who(found.silent, "did not answer"),
        _who(found.offline, "is not online", "are not online"),
        _who(found.bare, "lacks most of what you gave them", "lack most of what you gave them"),
        _about_roots(found),
        f"The newest snapshot lacks {count(found.missing_new, 'piece')}."
        if found.missing_new
        else "",
        f"Older snapshots lack {count(found.missing_old, 'piece')} that got lost."
        if found.missing_old
        else "",
        f"The snapshot of {names(found.gone)} went with it." if found.gone else "",
        f"The snapshot of {names(found.unreadable)} cannot be read any more."
        if found.unreadable
        else "",
        f"{count(found.unfinished, 'part')} of a backup that did not end: the next one goes on."
        if found.unfinished
        else "",
    ]


def _can_come_back(found: Findings) -> str:
    if found.given_up:
        return (
            f"{count(found.given_up, 'part')} of {found.packs:,} {_is(found.given_up)} lost for "
            "good: no friend has enough of it."
        )
    if found.lost:
        return (
            f"{count(found.lost, 'part')} of {found.packs:,} cannot be rebuilt from the "
            f"{count(len(found.answered), 'friend')} who answered."
        )
    if found.can_vanish < 1:
        spare = "nobody may vanish"
    else:
        spare = f"any {count(found.can_vanish, 'friend')} can vanish"
    every = "The one part" if found.packs == 1 else f"All {found.packs:,} parts"
    return f"{every} of your backup can be rebuilt; {spare}."


def _was_read(found: Findings) -> str:
    read = found.read
    if read is None:
        return ""
    if read.packs == read.wanted and read.wanted == found.packs:
        return f"All of it was fetched and opened: {count(read.chunks, 'piece')} as they were."
    text = f"{read.packs:,} of {count(read.wanted, 'part')} that were tried could be opened"
    if read.damaged:
        text += f"; {read.damaged:,} {_is(read.damaged)} damaged"
    return f"{text}: {count(read.chunks, 'piece')} as they were."


def _wrong(found: Findings) -> str:
    if not found.wrong:
        return ""
    number = sum(found.wrong.values())
    people = sorted(found.wrong)
    lists = "lists" if len(people) == 1 else "list"
    return (
        f"{names(people)} {lists} {count(number, 'share')} and returned something else; "
        "not counted any more."
    )


def _about_roots(found: Findings) -> str:
    roots = found.roots
    if roots.newer:
        return f"{names(roots.newer)} has a newer record of your backups than this computer."
    if not roots.newest:
        return "No friend who answered has the newest record of your backups."
    behind = roots.older + roots.none
    return _who(behind, "has not got the newest record yet", "have not got the newest record yet")


def _next_step(found: Findings) -> str:
    if found.catalog:
        return "Make a new one from what your friends have: covey check --rebuild"
    if not found.packs:
        return "covey backup"
    if found.roots.newer:
        return (
            "Does another computer back up with the same recovery words? Stop one of them; "
            "`covey check --rebuild` takes over what it did."
        )
    if found.given_up:
        return "Back up now; what is still on this computer is sent again: covey backup"
    if found.lost and (found.offline or found.silent or found.bare):
        return f"Check again when {names(found.offline + found.silent + found.bare)} can be asked."
    if found.read is not None and found.read.damaged:
        return "Keep this computer's files, and back up into a new snapshot: covey backup"
    if found.unreadable:
        return "Look for it at your friends: covey check --rebuild"
    if not found.ok or found.roots.older or found.roots.none:
        return "Back up again, so that everybody gets what is missing: covey backup"
    return ""


def _summary(found: Findings) -> dict[str, Any]:
    read = found.read
    return {
        "packs": found.packs,
        "unfinished_packs": found.unfinished,
        "lost_packs": found.lost,
        "given_up_packs": found.given_up,
        "thin_packs": found.thin,
        "can_vanish": max(found.can_vanish, 0),
        "friends_asked": len(found.answered),
        "friends": {
            "answered": found.answered,
            "silent": found.silent,
            "offline": found.offline,
            "lacking": found.bare,
        },
        "audited_shares": found.audited,
        "wrong_shares": dict(found.wrong),
        "root_record": {
            "newest": found.roots.newest,
            "older": found.roots.older,
            "none": found.roots.none,
            "newer": found.roots.newer,
        },
        "catalog": found.catalog,
        "missing_chunks": {"newest": found.missing_new, "older": found.missing_old},
        "unreadable_snapshots": found.unreadable,
        "gone_snapshots": found.gone,
        "read": None
        if read is None
        else {
            "packs_tried": read.wanted,
            "packs_opened": read.packs,
            "chunks_opened": read.chunks,
            "damaged_packs": read.damaged,
            "fetched_bytes": read.fetched_bytes,
        },
    }


def _who(people: Sequence[str], one: str, many: str = "") -> str:
    return f"{names(people)} {one if len(people) == 1 else many or one}." if people else ""


def _is(number: int) -> str:
    return "is" if number == 1 else "are"
