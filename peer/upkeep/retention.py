"""Which snapshots stay. A pure function of when they were made.

Of the newest days, weeks, months and years that have a snapshot, the last snapshot of each stays;
of the very newest day the last three, so that backing up twice in an hour takes nothing away.
The present time plays no part: a clock that jumps ahead for a night costs nobody a snapshot, since
days without a backup do not count. Days are those of UTC.

The rule of seven days, five weeks, twelve months and three years is `Keep()`; a person changes it
by `covey keep`, and it travels in the root record.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, fields

KEEP_MAX = 1000
"""Of each kind; the root record names every snapshot."""

NEWEST_DAY = 3
"""So many snapshots of the newest day stay beside what the rule says."""

_DAY_NS = 86_400 * 10**9
_EPOCH = datetime.date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Keep:
    """How many days, weeks, months and years keep their last snapshot."""

    daily: int = 7
    weekly: int = 5
    monthly: int = 12
    yearly: int = 3

    def __str__(self) -> str:
        return " ".join(f"{getattr(self, f.name)} {f.name}" for f in fields(self))


def parse_keep(text: str) -> Keep:
    """The inverse of `str(keep)`; what is not named stays as in `Keep()`. Raises ValueError."""
    words = text.split()
    names = {f.name for f in fields(Keep)}
    numbers: dict[str, int] = {}
    for count, name in zip(words[::2], words[1::2], strict=True):
        if name not in names or name in numbers or not re.fullmatch(r"[0-9]{1,4}", count):
            raise ValueError(f"«{count} {name}» is not a number and one of {', '.join(names)}")
        numbers[name] = int(count)
    keep = Keep(**numbers)
    if max(numbers.values(), default=0) > KEEP_MAX:
        raise ValueError(f"more than {KEEP_MAX} of a kind are not kept")
    return keep


def kept(times_ns: Sequence[int], keep: Keep, *, pinned: int = 0) -> list[bool]:
    """For each snapshot, in the order in which they were made, whether it stays.

    The newest stays always, and so do the first `pinned` ones.
    """
    stays = [place < pinned for place in range(len(times_ns))]
    for place in range(len(times_ns) - 1, max(len(times_ns) - 1 - NEWEST_DAY, -1), -1):
        stays[place] = stays[place] or _day(times_ns[place]) == _day(times_ns[-1])
    for count, bucket_of in (
        (keep.daily, _day),
        (keep.weekly, _week),
        (keep.monthly, _month),
        (keep.yearly, _year),
    ):
        for place in _last_of_each(times_ns, bucket_of, count):
            stays[place] = True
    return stays


def _last_of_each(
    times_ns: Sequence[int], bucket_of: Callable[[int], Hashable], count: int
) -> list[int]:
    seen: set[Hashable] = set()
    places: list[int] = []
    for place in range(len(times_ns) - 1, -1, -1):
        bucket = bucket_of(times_ns[place])
        if bucket not in seen and len(seen) < count:
            seen.add(bucket)
            places.append(place)
    return places


def _date(time_ns: int) -> datetime.date:
    day = min(max(time_ns // _DAY_NS + _EPOCH, 1), datetime.date.max.toordinal())
    return datetime.date.fromordinal(day)


def _day(time_ns: int) -> Hashable:
    return time_ns // _DAY_NS


def _week(time_ns: int) -> Hashable:
    return _date(time_ns).isocalendar()[:2]


def _month(time_ns: int) -> Hashable:
    date = _date(time_ns)
    return date.year, date.month


def _year(time_ns: int) -> Hashable:
    return _date(time_ns).year
