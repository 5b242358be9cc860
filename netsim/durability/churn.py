"""When members are there, hour by hour.

The Weibull fits of Skype, Microsoft, PlanetLab and Overnet are those of Javadi et al., "The Failure
Trace Archive", JPDC 2013. They know neither day and night nor leaving for good. Phones and offices
follow the clock and the week. Outages (a power cut, a provider that is down) take half of a group
at the same time and are laid over any of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Hours = NDArray[np.bool_]
"""[members, hours]: whether a member is there."""

HOURS_A_DAY, DAYS_A_WEEK = 24, 7
WARM_UP_H = 2000
"""Thrown away, since all members begin a session at the same time."""

OUTAGES_A_YEAR = 1.0
OUTAGE_MEAN_H = 24.0
OUTAGE_PART = 0.5
"""How much of a group an outage takes."""


@dataclass(frozen=True, slots=True)
class Churn:
    """A way to be there or away. `hours(rng, members, horizon_h)` draws independent members."""

    name: str
    text: str
    hours: Callable[[np.random.Generator, int, int], Hours]


@dataclass(frozen=True, slots=True)
class Weibull:
    """Shape and scale in hours."""

    shape: float
    scale: float

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float64]:
        """That many durations, hours."""
        drawn: NDArray[np.float64] = self.scale * rng.weibull(self.shape, size)
        return drawn


def sessions(up: Weibull, down: Weibull) -> Callable[[np.random.Generator, int, int], Hours]:
    """Members who come and go at any hour: in turn up and down for Weibull-distributed times."""

    def hours(rng: np.random.Generator, members: int, horizon_h: int) -> Hours:
        end = horizon_h + WARM_UP_H
        changes = np.zeros((members, end + 1), dtype=np.int32)
        at: NDArray[np.float64] = np.zeros(members)
        while float(np.min(at)) < end:
            count = 64
            spans = np.stack((up.draw(rng, (members, count)), down.draw(rng, (members, count))), 2)
            edges = at[:, None] + np.cumsum(spans.reshape(members, -1), axis=1)
            begins = np.concatenate((at[:, None], edges[:, 1:-1:2]), axis=1)
            for moments, step in ((begins, 1), (edges[:, ::2], -1)):
                place = np.minimum(moments, end).astype(np.int64)
                np.add.at(changes, (np.arange(members)[:, None], place), step)
            at = edges[:, -1]
        there: Hours = np.cumsum(changes, axis=1)[:, WARM_UP_H:end] > 0
        return there

    return hours


def habits(
    by_hour: NDArray[np.float64], days_kept: float, spread: float
) -> Callable[[np.random.Generator, int, int], Hours]:
    """Members who keep to the clock: `by_hour` [7, 24] is the chance to be there in each hour of
    the week, `days_kept` the chance that a day is kept at all, `spread` how much members differ."""

    def hours(rng: np.random.Generator, members: int, horizon_h: int) -> Hours:
        days = -(-horizon_h // HOURS_A_DAY)
        kept = np.clip(rng.normal(days_kept, spread, members), 0.05, 1)
        weekday = np.arange(days) % DAYS_A_WEEK
        usual = rng.random((members, days, HOURS_A_DAY)) < by_hour[weekday]
        there = usual & (rng.random((members, days)) < kept[:, None])[:, :, None]
        flat: Hours = there.reshape(members, -1)[:, :horizon_h]
        return flat

    return hours


def _week(workday: dict[range, float], weekend: dict[range, float]) -> NDArray[np.float64]:
    week = np.zeros((DAYS_A_WEEK, HOURS_A_DAY))
    for day in range(DAYS_A_WEEK):
        for span, chance in (workday if day < 5 else weekend).items():
            week[day, list(span)] = chance
    return week


_PHONES = _week(
    {range(7): 0.75, range(7, 18): 0.02, range(18, 24): 0.12},
    {range(9): 0.75, range(9, 20): 0.04, range(20, 24): 0.12},
)
_OFFICE = _week({range(8, 18): 0.95, range(18, 20): 0.3}, {range(8, 18): 0.03})
_LAPTOPS = _week({range(8, 17): 0.15, range(17, 23): 0.75}, {range(9, 23): 0.6, range(23, 24): 0.3})

PROFILES: dict[str, Churn] = {
    churn.name: churn
    for churn in (
        Churn("skype", "superpeers, 2006", sessions(Weibull(0.64, 10.86), Weibull(0.63, 9.48))),
        Churn("microsoft", "office PCs, 1999", sessions(Weibull(0.55, 35.3), Weibull(0.6, 9.34))),
        Churn("planetlab", "servers, 2005", sessions(Weibull(0.33, 19.35), Weibull(0.36, 5.59))),
        Churn("overnet", "file sharing, 2003", sessions(Weibull(0.85, 2.04), Weibull(0.44, 2.98))),
        Churn("phones", "on a charger at night", habits(_PHONES, 0.8, 0.1)),
        Churn("office", "working hours", habits(_OFFICE, 0.92, 0.05)),
        Churn("laptops", "evenings and weekends", habits(_LAPTOPS, 0.8, 0.12)),
    )
}


def with_outages(rng: np.random.Generator, hours: Hours, group_size: int) -> Hours:
    """Lay outages over groups of `group_size` members each, one after the other in `hours`."""
    members, horizon_h = hours.shape
    groups = members // group_size
    count = rng.poisson(OUTAGES_A_YEAR * horizon_h / (365.25 * HOURS_A_DAY), groups)
    for group in np.repeat(np.arange(groups), count):
        begin = int(rng.integers(horizon_h))
        length = max(1, round(rng.exponential(OUTAGE_MEAN_H)))
        taken = np.flatnonzero(rng.random(group_size) < OUTAGE_PART) + group * group_size
        hours[taken, begin : begin + length] = False
    return hours
