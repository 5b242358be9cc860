"""What fits: how much more can be backed up, and what must wait where not all of it can.

Pure. Sizes of backups are in bytes before coding; `rooms` are bytes of shares that each friend
would take. No friend gets two shares of a pack, so what fits is not simply the sum of the rooms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from peer.space.ledger import Account
from peer.upkeep.redundancy import Code

BESIDES_PARTS = 10
"""One part in so many of the room is kept for what comes with files: folders, index, padding."""
ROUND_BYTES = tuple(n * 10**e for e in range(9, 15) for n in (1, 2, 5))
"""Sizes that people would say, from 1 GB on."""


def packs_that_fit(rooms: Sequence[int], shares: int) -> int:
    """How many packs can have `shares` shares each, no two of a pack with one friend.

    `rooms` are in shares. Of any t friends a pack uses at most t, so its other shares must find
    room with the rest; that this suffices as well is max-flow = min-cut. The t that bind most
    are those with the most room.
    """
    left = sorted(rooms, reverse=True)
    return min(sum(left[t:]) // (shares - t) for t in range(shares))


def backup_that_fits(rooms: Sequence[int], code: Code) -> int:
    """How much can be backed up so that every pack is safe, in bytes.

    Either each pack has all its shares; or, where there are no more friends than shares, each pack
    goes to all who still have room, and is safe while at least `code.safe` of them have.
    """
    whole = packs_that_fit(rooms, code.total)
    if len(rooms) <= code.total:
        enough = sorted(rooms, reverse=True)[code.safe - 1 : code.safe]
        whole = max(whole, *enough) if enough else whole
    return code.needed * whole


@dataclass(frozen=True, slots=True)
class Room:
    """How much more this member can back up, and what that is bounded by."""

    code: Code
    account: Account
    friends_bytes: int
    """As far as the friends' room goes, in bytes before coding."""

    @property
    def own_bytes(self) -> int:
        """As far as its own credit goes, in bytes before coding."""
        return self.account.left_bytes * self.code.needed // self.code.total

    @property
    def fits_bytes(self) -> int:
        """What can be backed up more, in bytes before coding."""
        return min(self.friends_bytes, self.own_bytes)

    @property
    def usable_bytes(self) -> int:
        """The same for files alone."""
        return for_files(self.fits_bytes)

    @property
    def bound(self) -> str:
        """What binds: `friends` (their room), `offer` (one's own) or `shown` (audits are due)."""
        if self.friends_bytes <= self.own_bytes:
            return "friends"
        return "offer" if self.account.credit_bytes == self.account.offer_bytes else "shown"

    def give_for(self, more_bytes: int) -> int:
        """How much more must be given so that so much more fits, as far as that is what binds."""
        lacking = more_bytes * self.code.total // self.code.needed - self.account.left_bytes
        return round_up(max(lacking, 0))

    def proposal(self) -> tuple[int, int] | None:
        """(give so much more, and so much more fits), in bytes; None where giving does not help."""
        possible = (self.friends_bytes - self.own_bytes) * self.code.total // self.code.needed
        half = max(ROUND_BYTES[0], self.account.offer_bytes // 2)
        fitting = [size for size in ROUND_BYTES if size <= min(possible, half)]
        if self.bound != "offer" or not fitting:
            return None
        return fitting[-1], fitting[-1] * self.code.needed // self.code.total


def room_for(account: Account, rooms: Sequence[int], code: Code) -> Room:
    """How much more fits for this member, with friends who have so much room."""
    return Room(code, account, backup_that_fits(rooms, code))


def for_files(room_bytes: int) -> int:
    """What of a room is for files, with what comes with them left out."""
    return room_bytes - room_bytes // BESIDES_PARTS


def round_up(size: int) -> int:
    """The next size that a person would say: two digits, and whole gigabytes."""
    step = 10**9
    while size > 100 * step:
        step *= 10
    return -(-size // step) * step


# --- what waits -----------------------------------------------------------------------------


@dataclass(slots=True)
class Part:
    """A marked root, a folder in it or a large file: what of it is new, and when it changed."""

    path: bytes
    new_bytes: int = 0
    """Of what lies right in it; what is in `parts` not counted."""
    changed_ns: int = 0
    """When anything in it last changed."""
    parts: list[Part] = field(default_factory=list)
    files: Callable[[], Sequence[Part]] = tuple
    """What lies right in it, file by file; only asked for when that does not fit together."""

    def whole_bytes(self) -> int:
        """All that is new in it."""
        return self.new_bytes + sum(part.whole_bytes() for part in self.parts)


def choose_waiting(roots: Sequence[Part], room_bytes: int, divide_from_bytes: int) -> list[Part]:
    """What must wait, so that the rest fits: the most recently changed goes first.

    What does not fit as a whole is divided, so that one huge folder does not keep out everything
    beside it; what has nothing new never waits. A folder's own files are told apart only for room
    of `divide_from_bytes` or more. When none of them is as large, that happens once: what is left
    of the room after it is less.
    """
    waiting: list[Part] = []

    def take(parts: Sequence[Part], room: int) -> int:
        for part in sorted(parts, key=lambda part: (-part.changed_ns, part.path)):
            whole = part.whole_bytes()
            if whole <= room:
                room -= whole
            elif part.parts and part.new_bytes <= room:
                room = take(part.parts, room - part.new_bytes)
            elif room >= divide_from_bytes and (files := part.files()):
                room = take([*files, *part.parts], room)
            else:
                waiting.append(part)
        return room

    take(roots, room_bytes)
    return waiting
