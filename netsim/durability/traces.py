"""Members' presence from a file: CSV lines `member,online_from,online_until`, times in seconds.

A header is optional. Members and horizon are those of the file; a study that needs more members or
a longer time repeats them, each repetition beginning at another hour of the file.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable

import numpy as np

from netsim.durability.churn import Churn, Hours

HEADER = ["member", "online_from", "online_until"]
LINES_MAX = 5_000_000
HORIZON_H_MAX = 20 * 8766
MEMBERS_MAX = 100_000
_HOUR_S = 3600


class BadTrace(Exception):
    """A line of a trace that is none; the message tells which and why."""


def read_trace(lines: Iterable[str]) -> Churn:
    """The churn of a trace. An hour counts when the member was there for half of it or more.

    Raises BadTrace.
    """
    spans: dict[str, list[tuple[float, float]]] = {}
    last_s = 0.0
    for number, row in enumerate(csv.reader(lines), start=1):
        if not row or (number == 1 and [cell.strip().lower() for cell in row] == HEADER):
            continue
        if number > LINES_MAX:
            raise BadTrace(f"line {number}: a trace has at most {LINES_MAX:,} lines")
        member, begin, end = _span(number, row)
        spans.setdefault(member, []).append((begin, end))
        if len(spans) > MEMBERS_MAX:
            raise BadTrace(f"line {number}: a trace has at most {MEMBERS_MAX:,} members")
        last_s = max(last_s, end)
    if not spans:
        raise BadTrace("there is no line with a member in it")
    horizon_h = max(1, math.ceil(last_s / _HOUR_S))
    table = np.stack([_hours(spans[member], horizon_h) for member in sorted(spans)])
    return Churn("trace", f"{len(spans):,} members over {horizon_h:,} hours", _repeated(table))


def _span(number: int, row: list[str]) -> tuple[str, float, float]:
    if len(row) != len(HEADER):
        raise BadTrace(f"line {number}: {len(row)} fields instead of {len(HEADER)}")
    member = row[0].strip()
    try:
        begin, end = float(row[1]), float(row[2])
    except ValueError:
        raise BadTrace(f"line {number}: a time is not a number") from None
    if not member:
        raise BadTrace(f"line {number}: the member has no name")
    if not (math.isfinite(begin) and math.isfinite(end)) or begin < 0:
        raise BadTrace(f"line {number}: a time is negative or not finite")
    if end <= begin:
        raise BadTrace(f"line {number}: the member leaves before it comes")
    if end > HORIZON_H_MAX * _HOUR_S:
        raise BadTrace(f"line {number}: a trace is at most {HORIZON_H_MAX:,} hours long")
    return member, begin, end


def _hours(spans: list[tuple[float, float]], horizon_h: int) -> Hours:
    """The part of each hour that the member was there, from spans in any order."""
    part = np.zeros(horizon_h)
    reached = 0.0
    for begin, end in sorted(spans):
        start = max(begin, reached) / _HOUR_S
        stop = end / _HOUR_S
        if stop <= start:
            continue
        reached = end
        first, last = int(start), min(int(stop), horizon_h - 1)
        if first == last:
            part[first] += stop - start
            continue
        part[first] += first + 1 - start
        part[first + 1 : last] += 1
        part[last] += stop - last
    there: Hours = part >= 0.5
    return there


def _repeated(table: Hours) -> Callable[[np.random.Generator, int, int], Hours]:
    def hours(rng: np.random.Generator, members: int, horizon_h: int) -> Hours:
        which = rng.integers(len(table), size=members)
        if members <= len(table):
            which = rng.permutation(len(table))[:members]
        shift = rng.integers(table.shape[1], size=members)
        place = (shift[:, None] + np.arange(horizon_h)) % table.shape[1]
        there: Hours = table[which[:, None], place]
        return there

    return hours
