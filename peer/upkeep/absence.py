"""Who counts as gone: a friend that was away for longer than its grace, in observed time.

Observed time is what this member itself was awake and connected to the server: only then can it
tell who is away. A pause of its own (it was off, or without a network) counts as well, or else a
computer that is on for two hours each evening would wait for a month; but for half a day at most,
and nobody is gone before it was looked for during several hours. So a clock that jumps, in either
direction, decides nothing.

The grace is three days. A friend that was away for longer before, and came back, has half as much
again as its longest absence, up to thirty days; what is long ago fades. Only absences that ended
count: one that lasts says nothing of when it will end.

Coming back ends it all: nothing is remembered of an absence but how long it was. Who is gone may
still have what it had: only after ninety days `covey check` gives up what nobody else can rebuild.

Pure, but for `read_absences` and `note_absences`, which keep the notes in the catalog.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from peer.upkeep.friend_notes import decode_notes, encode_notes
from peer.upkeep.presence import FRIENDS_MAX, SAMPLE_S, Keeper
from signaling.messages import MemberId

DAY_S = 86_400.0
GRACE_S = 3 * DAY_S
GRACE_S_MAX = 30 * DAY_S
GIVEN_UP_S = 90 * DAY_S
"""Who was away for so long is not waited for any more by `covey check`. Until then a server that
keeps quiet about friends, or a long journey of theirs, costs no old snapshot."""
LONGER_FACTOR = 1.5
"""Of the longest absence that ended: who was away for a week may be away for ten days."""
FADE_HALF_S = 56 * DAY_S
"""Observed time after which a long absence counts half."""
PAUSE_S_MAX = DAY_S / 2
"""What a pause of our own counts at most, whatever the clock says that it was."""
LOOKED_S_MIN = 6 * 3600.0
"""A friend is not gone before it was looked for so long, while we were awake and connected."""
VERSION = 1

_KEY = "absence"
_GAP_S = 2 * SAMPLE_S
"""Two looks that lie no further apart are one stretch of being awake."""


class Notes(msgspec.Struct, array_like=True):
    """Of one friend, in seconds."""

    away_s: float = 0.0
    looked_s: float = 0.0
    longest_s: float = 0.0

    @property
    def grace_s(self) -> float:
        """How long it may be away until it counts as gone."""
        return min(max(GRACE_S, LONGER_FACTOR * self.longest_s), GRACE_S_MAX)

    @property
    def is_gone(self) -> bool:
        """Whether it counts as gone."""
        return self.away_s >= self.grace_s and self.looked_s >= LOOKED_S_MIN


class Absences:
    """The notes on all friends."""

    def __init__(self, data: bytes | None = None) -> None:
        """From what `encode` gave. Without notes, or with damaged ones, nobody is gone."""
        self._looked_at_s, self._notes = decode_notes(data, VERSION, Notes)

    def encode(self) -> bytes:
        """To be kept until the next start."""
        return encode_notes(VERSION, self._looked_at_s, self._notes)

    def look(self, now_s: float, online: Iterable[MemberId], known: Iterable[MemberId]) -> None:
        """Note who is there; `now_s` is the wall clock. Every SAMPLE_S or so, while connected.

        `known` are all who are members or keep something for us.
        """
        passed = now_s - self._looked_at_s if self._looked_at_s else 0.0
        self._looked_at_s = now_s
        awake = passed if 0 < passed <= _GAP_S else 0.0
        passed = min(max(passed, 0.0), PAUSE_S_MAX)
        here = set(online)
        friends = sorted({*known, *here, *self.may_return()})[:FRIENDS_MAX]
        self._notes = {member: self._notes.get(member, Notes()) for member in friends}
        fade = 0.5 ** (passed / FADE_HALF_S)
        for member, notes in self._notes.items():
            notes.longest_s *= fade
            if member in here:
                notes.longest_s = max(notes.longest_s, notes.away_s)
                notes.away_s = notes.looked_s = 0.0
            else:
                notes.away_s += passed
                notes.looked_s += awake

    def gone(self) -> set[MemberId]:
        """Who counts as gone now."""
        return {member for member, notes in self._notes.items() if notes.is_gone}

    def may_return(self) -> set[MemberId]:
        """Who is gone, and may yet come back with what it has."""
        return self.gone() - self.given_up()

    def given_up(self) -> set[MemberId]:
        """Who is not waited for any more."""
        return {m for m, n in self._notes.items() if n.is_gone and n.away_s >= GIVEN_UP_S}

    def forget(self, member: MemberId) -> None:
        """It said goodbye: nobody waits for it."""
        self._notes.pop(member, None)

    def of(self, member: MemberId) -> Notes:
        """What is noted of one friend."""
        return self._notes.get(member, Notes())


def read_absences(keeper: Keeper) -> Absences:
    """What is known by now."""
    return Absences(keeper.get_meta(_KEY))


def forget_absence(keeper: Keeper, member: MemberId) -> None:
    """It said goodbye."""
    absences = read_absences(keeper)
    absences.forget(member)
    keeper.set_meta(_KEY, absences.encode())


def note_absences(
    keeper: Keeper, now_s: float, online: Iterable[MemberId], known: Iterable[MemberId]
) -> None:
    """Note who is there now. A note that is lost in a crash costs a quarter of an hour."""
    absences = read_absences(keeper)
    absences.look(now_s, online, known)
    keeper.set_meta(_KEY, absences.encode())
