"""The snapshots as a whole: how many stay, which one goes, and whether a hold is on."""

from __future__ import annotations

from collections.abc import Callable

from chunking.formats import FormatError
from peer.backup.settings import change_keep, confirm, forget, forgotten, hold_of, keep_of
from peer.catalog import SnapshotRow
from peer.member import Member
from peer.service import Answer, Problem
from peer.upkeep.retention import parse_keep


def history(member: Member) -> Answer:
    """keep (the retention in words), held (the snapshot up to which all stay, in hex, or None)."""
    settings, counter = settings_of(member)
    hold = hold_of(member.catalog, settings, counter)
    there = {row.id for row in member.catalog.snapshots()}
    return {
        "keep": str(keep_of(member.catalog, settings)),
        "held": hold.hex() if hold in there else None,
        "forgotten": [ident.hex() for ident in forgotten(member.catalog) if ident in there],
    }


def hold_warning(member: Member, wall_text: Callable[[int], str]) -> list[str]:
    """What the person should know of a hold, in whole sentences."""
    settings, counter = settings_of(member)
    hold = hold_of(member.catalog, settings, counter)
    for row in member.catalog.snapshots():
        if row.id == hold:
            return [
                f"Most of what was backed up on {wall_text(row.time_ns)} was gone or rewritten the "
                "next time, so that snapshot and all before it are kept. If you did that, say "
                "`covey confirm`."
            ]
    return []


def set_keep(member: Member, rule: str) -> Answer:
    """Change the retention from the next night on. Raises Problem."""
    try:
        change_keep(member.catalog, parse_keep(rule))
    except ValueError as error:
        raise Problem(
            f"That rule is not understood: {error}.",
            "For example: covey keep 7 daily 5 weekly 12 monthly 3 yearly",
        ) from error
    return history(member)


def end_hold(member: Member) -> Answer:
    """The drastic night was meant: retention goes on. Raises Problem when nothing is held."""
    settings, counter = settings_of(member)
    hold = hold_of(member.catalog, settings, counter)
    if not hold:
        raise Problem("Nothing is held back: there is nothing to confirm.")
    confirm(member.catalog, hold)
    return history(member)


def drop_snapshot(member: Member, row: SnapshotRow) -> Answer:
    """Let a snapshot go with the next night. Raises Problem for the newest."""
    if row.id == member.catalog.snapshots()[-1].id:
        raise Problem("The newest snapshot always stays.", "`covey snapshots` lists the others.")
    forget(member.catalog, row.id)
    return history(member)


def settings_of(member: Member) -> tuple[dict[str, str | int], int]:
    """The settings of our root record, and its number."""
    try:
        record = member.read_root()
    except (FormatError, OSError):
        record = None
    return ({}, 0) if record is None else (record.settings, record.counter)
