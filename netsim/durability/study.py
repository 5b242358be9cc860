"""Policies x churn x group sizes: the rows that docs/redundancy.md shows, from one seed."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TextIO

import numpy as np

from netsim.durability.churn import HOURS_A_DAY, Churn
from netsim.durability.model import Model
from netsim.durability.people import DAYS_A_YEAR, People, draw_people
from netsim.durability.policies import Policy
from netsim.durability.restore import restore_hours

DATA_BYTES = 50 * 10**9
"""What a member backs up."""
CHANGE_DAILY = 0.005
"""New bytes a day, of all."""
UPLINK_BYTES_S = 10 * 10**6 // 8
REPAIR_HOURS_DAILY = 8
"""Hours of its uplink that a member gives to repairs in a day, at most."""
HOUR_CELLS_MAX = 60_000_000
"""Members times hours that are drawn at a time: bounds memory to some 400 MB."""
RESTORES_A_YEAR = 2
_HOUR_S = 3600
_Z95 = 1.959964


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the CSV. Bytes are per member; hours are those of a restore of everything."""

    policy: str
    churn: str
    members: int
    years: float
    seed: int
    loss_probability: float
    loss_ci_low: float
    loss_ci_high: float
    expansion: float
    traffic_bytes_per_member_day: float
    restore_hours_p50: float
    restore_hours_p99: float


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """The 95 % confidence interval of a proportion (Wilson, 1927)."""
    if not trials:
        return 0.0, 1.0
    part, z2 = hits / trials, _Z95**2
    middle = (part + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _Z95 * math.sqrt(part * (1 - part) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(slots=True)
class _Sum:
    groups: int = 0
    lost: int = 0
    stored: float = 0.0
    moved_daily: float = 0.0
    new_daily: float = 0.0
    hours: list[float] = field(default_factory=list)


def study(
    policies: Sequence[Policy],
    churn: Churn,
    members: int,
    years: float,
    groups: int,
    seed: int,
    told: Callable[[str], None] = lambda _: None,
) -> Iterator[Row]:
    """A row for each policy, on the very same groups. `told` hears how far it is."""
    sums = {policy.name: _Sum() for policy in policies}
    hours = round(years * DAYS_A_YEAR) * HOURS_A_DAY
    together = max(1, min(groups, HOUR_CELLS_MAX // (hours * (members - 1))))
    for first in range(0, groups, together):
        count = min(together, groups - first)
        key = [seed, members, first, *churn.name.encode()]
        people = draw_people(np.random.default_rng(key), churn, count, members - 1, years)
        for policy in policies:
            _add(sums[policy.name], policy, people, key)
        told(f"{churn.name}, {members} members: {first + count:,} of {groups:,} groups")
    for policy in policies:
        yield _row(policy, churn, members, years, seed, sums[policy.name])


def _add(total: _Sum, policy: Policy, people: People, key: list[int]) -> None:
    rng = np.random.default_rng([*key, *policy.name.encode()])
    uplink_daily = UPLINK_BYTES_S * REPAIR_HOURS_DAILY * _HOUR_S / DATA_BYTES
    last = people.days - 61
    count = max(1, round(RESTORES_A_YEAR * people.days / DAYS_A_YEAR))
    days = {int(day) for day in rng.integers(min(30, max(last, 0)), max(last, 1), size=count)}
    outcome = Model(rng, people, policy, uplink_daily).run(days)
    total.groups += len(outcome.lost)
    total.lost += int(outcome.lost.sum())
    total.stored += float(outcome.stored.sum())
    total.moved_daily += float(outcome.moved.sum()) / people.days
    total.new_daily += CHANGE_DAILY * float(outcome.stored.sum())
    hours_for_all = DATA_BYTES / UPLINK_BYTES_S / _HOUR_S
    total.hours += restore_hours(rng, people, outcome, hours_for_all).tolist()


def _row(policy: Policy, churn: Churn, members: int, years: float, seed: int, total: _Sum) -> Row:
    low, high = wilson(total.lost, total.groups)
    hours = total.hours or [math.nan]
    return Row(
        policy=policy.name,
        churn=churn.name,
        members=members,
        years=years,
        seed=seed,
        loss_probability=total.lost / total.groups,
        loss_ci_low=low,
        loss_ci_high=high,
        expansion=total.stored / total.groups,
        traffic_bytes_per_member_day=DATA_BYTES
        * (total.moved_daily + total.new_daily)
        / total.groups,
        restore_hours_p50=float(np.quantile(hours, 0.5)),
        restore_hours_p99=float(np.quantile(hours, 0.99)),
    )


def write_csv(rows: Sequence[Row], file: TextIO) -> None:
    """The rows with a header, numbers as short as they are exact enough."""
    names = [column.name for column in fields(Row)]
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        values = asdict(row)
        shown = {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in values.items()}
        writer.writerow(shown)
