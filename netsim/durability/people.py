"""Who is in the groups, day by day: who leaves for good, who comes instead, who was seen when.

A group has places. The person in a place leaves for good after an exponential time, without a
word; after another exponential time somebody else takes the place, with an empty disk. Whether a
member is there at an hour is the churn's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netsim.durability.churn import HOURS_A_DAY, Churn, Hours, with_outages
from peer.upkeep.redundancy import LEAVING_YEARLY

DAYS_A_YEAR = 365.25
LIFE_YEARS = 1 / LEAVING_YEARLY
VACANT_DAYS = 30.0
"""From somebody's leaving until somebody else joins, in the mean."""
NEVER = -(10**6)


@dataclass(frozen=True, slots=True)
class People:
    """Of `groups` groups: [group, place, day] arrays, and hours for the restores.

    `person` numbers who has the place (0, 1, ...; -1 while it is empty), `seen` is whether that
    person was there for an hour of the day or more, `absent_days` how long ago that was.
    """

    person: NDArray[np.int16]
    seen: NDArray[np.bool_]
    absent_days: NDArray[np.int32]
    hours: Hours
    """[group, place, hour], persons who left included as away."""
    within_day: NDArray[np.float64]
    """[group, place]: how often a place's person is seen within 24 hours, measured."""

    @property
    def days(self) -> int:
        """The horizon."""
        return int(self.person.shape[2])


def draw_people(
    rng: np.random.Generator, churn: Churn, groups: int, places: int, years: float
) -> People:
    """Draw so many groups of so many places."""
    days = round(years * DAYS_A_YEAR)
    hours = churn.hours(rng, groups * places, days * HOURS_A_DAY)
    hours = with_outages(rng, hours, places)
    person = _persons(rng, groups * places, days)
    there = person >= 0
    hours &= np.repeat(there, HOURS_A_DAY, axis=1)
    seen = hours.reshape(groups * places, days, HOURS_A_DAY).any(axis=2)
    within_day = seen.sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    shape = (groups, places, days)
    return People(
        person=person.reshape(shape),
        seen=seen.reshape(shape),
        absent_days=absence(seen, person).reshape(shape),
        hours=hours.reshape(groups, places, -1),
        within_day=within_day.reshape(groups, places),
    )


def _persons(rng: np.random.Generator, places: int, days: int) -> NDArray[np.int16]:
    person = np.zeros((places, days), dtype=np.int16)
    for place in range(places):
        day, number = 0.0, 0
        while True:
            day += rng.exponential(LIFE_YEARS * DAYS_A_YEAR)
            if day >= days:
                break
            empty_until = day + rng.exponential(VACANT_DAYS)
            number += 1
            person[place, int(day) : int(empty_until) + 1] = -1
            person[place, int(empty_until) + 1 :] = number
            day = empty_until
    return person


def absence(seen: NDArray[np.bool_], person: NDArray[np.int16]) -> NDArray[np.int32]:
    """Days since the place was last seen; a new person counts as seen on the day it joins."""
    days = np.arange(seen.shape[1], dtype=np.int32)
    joined = np.zeros_like(seen)
    joined[:, 1:] = (person[:, 1:] != person[:, :-1]) & (person[:, 1:] >= 0)
    joined[:, 0] = True
    last = np.maximum.accumulate(np.where(seen | joined, days, NEVER), axis=1)
    absent: NDArray[np.int32] = (days - last).astype(np.int32)
    return absent
