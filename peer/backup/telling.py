"""What a person is told of a night: how far it is, what came of it, and what to do next."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from peer.backup.messages import NightReady
from peer.backup.ship import Shipper
from peer.service import Event, done, progress
from peer.space.fitting import Room
from peer.space.sizes import size_text
from peer.space.telling import what_to_give
from peer.upkeep.redundancy import Code


@dataclass(slots=True)
class Tally:
    """What the person is shown while it runs."""

    files: int = 0
    files_total: int = 0
    bytes: int = 0
    bytes_total: int = 0
    packed: int = 0
    notes: int = 0
    stored: int = 0


class Telling:
    """The events of one night. Times are the running loop's."""

    def __init__(self, code: Code, room: Room, shipper: Shipper, started: float) -> None:
        self._code, self._room, self._shipper, self._started = code, room, shipper, started
        self.tally = Tally()

    def _seconds(self) -> float:
        return asyncio.get_running_loop().time() - self._started

    def progress(self) -> Event:
        """How far it is."""
        tally, shipper = self.tally, self._shipper
        seconds = max(self._seconds(), 0.001)
        rate = shipper.shipped_bytes / seconds
        scanned = tally.bytes >= tally.bytes_total > 0
        left = None
        if scanned and rate:
            left = max(tally.stored - shipper.shipped_bytes, 0) / rate
        elif tally.bytes:
            left = seconds * max(tally.bytes_total - tally.bytes, 0) / tally.bytes
        return progress(
            "ship" if scanned else "scan",
            files=tally.files,
            files_total=tally.files_total or None,
            bytes_done=tally.bytes,
            bytes_total=tally.bytes_total or None,
            shipped_bytes=shipper.shipped_bytes,
            rate=rate,
            seconds_left=left,
            friends={h.name: h.shares for h in shipper.holders.values()},
        )

    def _summary(self) -> dict[str, object]:
        tally = self.tally
        return {
            "files": tally.files,
            "bytes": tally.bytes,
            "packed_bytes": tally.packed,
            "stored_bytes": tally.stored,
            "shipped_bytes": self._shipper.shipped_bytes,
            "needed": self._code.needed,
            "total": self._code.total,
            "friends": {h.name: h.shares for h in self._shipper.holders.values()},
            "problems": dict(self._shipper.problems),
            "notes": tally.notes,
            "seconds": self._seconds(),
            "room_bytes": self._room.fits_bytes,
        }

    def succeeded(self, ready: NightReady, spare: int) -> Event:
        """The snapshot is complete and safe; any `spare` friends can vanish."""
        self.tally.files, self.tally.bytes = ready.files, ready.size
        friends = count(self._code.total, "friend")
        text = f"All {ready.files:,} files are safe with {friends}; any {spare} can vanish."
        if spare == 0:
            text = f"All {ready.files:,} files are with {friends}; nobody may vanish yet."
        if ready.missing_marks:
            text += f" {count(len(ready.missing_marks), 'marked folder')} not there tonight."
        next_step = ""
        if ready.waiting:
            text = text.replace("All", "Of what fits, all", 1)
            size = size_text(ready.waiting_bytes)
            text += f" There was no room for {size} in {count(ready.waiting, 'folder or file')}."
            next_step = what_to_give(self._room, ready.waiting_bytes)
        if ready.gone:
            text += (
                f" But {ready.gone:,} of {ready.before:,} pieces of the last backup are gone or "
                "rewritten, so nothing old will be removed. If you did that, say `covey confirm`; "
                "if not, restore from an earlier night."
            )
        if ready.notes:
            text += f" {count(ready.notes, 'note')}: some files were left out or need a look."
        summary = self._summary() | {
            "snapshot": ready.snapshot.hex(),
            "can_vanish": spare,
            "gone": ready.gone,
            "held_back": bool(ready.hold),
            "removed_packs": ready.removed_packs,
            "copied_bytes": ready.copied_bytes,
            "waiting": ready.waiting,
            "waiting_bytes": ready.waiting_bytes,
        }
        return done(ok=True, message=text, next_step=next_step, summary=summary)

    def failed(self, text: str, next_step: str) -> Event:
        """No new snapshot tonight."""
        return done(ok=False, message=text, next_step=next_step, summary=self._summary())

    def too_few(self, packs: int) -> str:
        """So many packs did not become safe."""
        return (
            f"{count(packs, 'part')} of the backup could not reach {self._code.safe} friends. "
            "What was shipped is kept for next time."
        )

    def who_to_ask(self) -> str:
        """What friends said, and what to do about it."""
        problems = [f"{name} {why}" for name, why in sorted(self._shipper.problems.items())]
        told = "; ".join(problems) + ". " if problems else ""
        if self._shipper.over_offer:
            return f"{told}Give more to the group (`covey space --give SIZE`), or mark less."
        return f"{told}Back up again when more are there."


def count(number: int, noun: str) -> str:
    """`1 friend`, `2,000 friends`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {plural(noun)}"


def plural(noun: str) -> str:
    """Of the few nouns used here."""
    return "folders or files" if noun == "folder or file" else noun + "s"
