"""How often each friend is there, measured while this member runs.

Every quarter of an hour it is noted who is online. What is kept of a friend is small and forgets:
weights that halve every four weeks, so that a changed habit shows after a month. Of each hour of
the week there is how often the friend was seen in it; and of all moments how often the friend had
been seen within the day, or the week, before. That a friend is seen within the next day is as
likely as that it was seen within the last, so nothing is assumed of how its hours hang together.

Friends of whom little is known count as most friends are, in proportion to how little that is.

A wall clock that goes back or leaps ahead ends the notes at that moment and begins anew: what was
seen before tells nothing about the time since.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Protocol

import msgspec

from peer.upkeep.friend_notes import decode_notes, encode_notes
from peer.upkeep.redundancy import SEEN_WITHIN_DAY
from signaling.messages import MemberId

SAMPLE_S = 900
HOURS = 168
HALF_LIFE_S = 28 * 86_400
PRIOR_S = 3 * 86_400
"""So long a friend must have been watched until what was seen counts as much as the prior."""
SEEN_AT_ONCE, SEEN_WITHIN_WEEK = 0.5, 0.999
"""Before anything is known of a friend: the chances that it is there now, or within a week."""
LEAP_S = 2 * 86_400
"""A pause of the member itself up to here says nothing about the clock; a longer one might."""
FRIENDS_MAX = 256
"""As many are remembered; a group has fewer members."""
VERSION = 1

_KEY = "presence"
_DAY_S, _WEEK_S = 86_400, 7 * 86_400


class Notes(msgspec.Struct, array_like=True):
    """Of one friend: seconds, discounted by age."""

    watched: float = 0.0
    seen: float = 0.0
    within_day: float = 0.0
    within_week: float = 0.0
    last_seen_s: float = 0.0
    by_hour: bytes = b""
    """Of each hour of the week, seconds watched and then seconds seen, as 32-bit floats."""


class Presence:
    """The notes on all friends."""

    def __init__(self, data: bytes | None = None) -> None:
        """From what `encode` gave. Notes that cannot be read are begun anew."""
        self._sampled_s, self._notes = decode_notes(data, VERSION, Notes)

    def encode(self) -> bytes:
        """To be kept until the next start."""
        return encode_notes(VERSION, self._sampled_s, self._notes)

    def sample(self, now_s: float, online: Iterable[MemberId], known: Iterable[MemberId]) -> None:
        """Note who is online; `now_s` is the wall clock. To be called every SAMPLE_S or so."""
        passed = now_s - self._sampled_s
        self._sampled_s = now_s
        here, friends = set(online), sorted(known)[:FRIENDS_MAX]
        self._notes = {member: self._notes.get(member, Notes()) for member in friends}
        if not 0 < passed <= LEAP_S:
            for notes in self._notes.values():
                notes.last_seen_s = 0.0
            passed = 0.0
        weight = float(SAMPLE_S) if passed else 0.0
        fade = 0.5 ** (passed / HALF_LIFE_S)
        for member, notes in self._notes.items():
            _note(notes, now_s, weight, fade, is_here=member in here)

    def at_once(self, member: MemberId) -> float:
        """The chance that a friend is there at some moment."""
        notes = self._notes.get(member, Notes())
        return _estimate(notes.seen, notes.watched, SEEN_AT_ONCE)

    def watched_s(self, member: MemberId) -> float:
        """For how long a friend was watched, discounted by age."""
        return self._notes.get(member, Notes()).watched

    def last_seen_s(self, member: MemberId) -> float:
        """When a friend was last seen, by the wall clock; 0 when never."""
        return self._notes.get(member, Notes()).last_seen_s

    def within_day(self, member: MemberId) -> float:
        """The chance that a friend is seen within 24 hours."""
        notes = self._notes.get(member, Notes())
        return _estimate(notes.within_day, notes.watched, SEEN_WITHIN_DAY)

    def within_week(self, member: MemberId) -> float:
        """The chance that a friend is seen within seven days."""
        notes = self._notes.get(member, Notes())
        return _estimate(notes.within_week, notes.watched, SEEN_WITHIN_WEEK)

    def by_hour(self, member: MemberId) -> list[float | None]:
        """For each hour of the week, from Thursday 0:00 UTC on, how often the friend was there;
        None for hours that were never watched."""
        table = _table(self._notes.get(member, Notes()))
        return [table[HOURS + hour] / table[hour] if table[hour] else None for hour in range(HOURS)]


def _note(notes: Notes, now_s: float, weight: float, fade: float, *, is_here: bool) -> None:
    if is_here:
        notes.last_seen_s = now_s
    away_s = now_s - notes.last_seen_s
    notes.watched = notes.watched * fade + weight
    notes.seen = notes.seen * fade + weight * is_here
    notes.within_day = notes.within_day * fade + weight * (away_s < _DAY_S)
    notes.within_week = notes.within_week * fade + weight * (away_s < _WEEK_S)
    table = _table(notes)
    hour = int(now_s // 3600) % HOURS
    table[hour] = table[hour] * fade + weight
    table[HOURS + hour] = table[HOURS + hour] * fade + weight * is_here
    notes.by_hour = table.tobytes()


def _table(notes: Notes) -> array[float]:
    table = array("f", notes.by_hour if len(notes.by_hour) == 2 * HOURS * 4 else b"")
    return table or array("f", bytes(2 * HOURS * 4))


def _estimate(happened: float, watched: float, prior: float) -> float:
    """Between what was seen and what most friends are like, by how long was watched."""
    return min(1.0, (happened + PRIOR_S * prior) / (watched + PRIOR_S))


class Keeper(Protocol):
    """Where small values are kept by name: the catalog."""

    def get_meta(self, key: str) -> bytes | None: ...
    def set_meta(self, key: str, value: bytes) -> None: ...


def read_presence(keeper: Keeper) -> Presence:
    """What is known by now."""
    return Presence(keeper.get_meta(_KEY))


def note_presence(
    keeper: Keeper, now_s: float, online: Iterable[MemberId], known: Iterable[MemberId]
) -> None:
    """Note who is online now, durably enough: a note that is lost in a crash is no loss."""
    presence = read_presence(keeper)
    presence.sample(now_s, online, known)
    keeper.set_meta(_KEY, presence.encode())
