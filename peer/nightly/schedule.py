"""When the next night is due: a pure function of the clock and of what was done.

A night belongs to a date. Its moment lies between 1:00 and 5:00 local time, spread by the member's
id so that a group does not begin at once. A computer that was off then makes up for it at the
first idle moment. After a failure it is tried again after a quarter of an hour, and then after ever
longer, until the next night's moment.

Local time is handed in as a time zone with its rules, None for this computer's own, so that nights
keep their hour when summer time begins or ends. What it was a moment ago will not do: a night that
was done before the clock went back would be due again. A moment that the clock jumps over is taken
an hour later. A last night that lies in the future (the clock was wrong) counts as none.
"""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import dataclass

BEGINS_HOUR, SPREAD_HOURS = 1, 4
RETRY_S, RETRY_S_MAX = 900, 4 * 3600
MORNING = datetime.time(9)
"""Until then tomorrow a pause «until tomorrow» lasts."""
_SECOND_NS = 10**9
_DAY = datetime.timedelta(days=1)
_FUTURE_NS = 3600 * _SECOND_NS
"""A clock may be off by so much; what lies further ahead is an error."""

Zone = datetime.tzinfo | None


@dataclass(frozen=True, slots=True)
class Done:
    """What is known of the nights so far. Times are wall-clock nanoseconds, 0 for never."""

    since_ns: int
    """When the member was made: nights before are not missed."""
    succeeded_ns: int = 0
    tried_ns: int = 0
    failures: int = 0
    """How often it was tried in vain since the last success."""


def moment_of(date: datetime.date, member: bytes, zone: Zone) -> int:
    """When the night of this date is due, wall-clock nanoseconds."""
    part = int.from_bytes(hashlib.blake2b(member, digest_size=4).digest(), "big") / 2**32
    begin = datetime.datetime.combine(date, datetime.time(BEGINS_HOUR), tzinfo=zone)
    due = begin + datetime.timedelta(hours=SPREAD_HOURS * part)
    return round(due.timestamp()) * _SECOND_NS


def due_ns(now_ns: int, done: Done, member: bytes, zone: Zone) -> int:
    """When a night is due next; now or earlier when it is. Wall-clock nanoseconds."""
    now = datetime.datetime.fromtimestamp(now_ns / _SECOND_NS, zone)
    moments = [moment_of(now.date() + days * _DAY, member, zone) for days in (-1, 0, 1, 2)]
    last = max(moment for moment in moments if moment <= now_ns)
    following = min(moment for moment in moments if moment > now_ns)
    succeeded = _believed(done.succeeded_ns, now_ns)
    if max(succeeded, _believed(done.since_ns, now_ns)) >= last:
        return following
    tried = _believed(done.tried_ns, now_ns)
    if tried < last or not done.failures:
        return last
    wait_s = min(RETRY_S << min(done.failures - 1, 10), RETRY_S_MAX)
    return min(tried + wait_s * _SECOND_NS, following)


def morning_after_ns(now_ns: int, zone: Zone) -> int:
    """When tomorrow's morning begins, wall-clock nanoseconds."""
    tomorrow = datetime.datetime.fromtimestamp(now_ns / _SECOND_NS, zone).date() + _DAY
    moment = datetime.datetime.combine(tomorrow, MORNING, tzinfo=zone)
    return round(moment.timestamp()) * _SECOND_NS


def _believed(time_ns: int, now_ns: int) -> int:
    return time_ns if time_ns <= now_ns + _FUTURE_NS else 0
