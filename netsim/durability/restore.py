"""How long a restore of everything takes, begun at some hour.

Each holder sends while it is there, at the speed of its uplink. Of a class any k shares do, and of
each of them any part, so a holder sends at most a k-th of the class and all is there when the
holders together have sent all of it: how parts are shared out among them is then always possible
(McNaughton's rule). Holders serve their classes side by side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from netsim.durability.churn import HOURS_A_DAY
from netsim.durability.model import Outcome
from netsim.durability.people import People

HOURS_MAX = 60 * HOURS_A_DAY
"""A restore that takes longer counts as so long."""


def restore_hours(
    rng: np.random.Generator, people: People, outcome: Outcome, hours_for_all: float
) -> NDArray[np.float64]:
    """Hours until everything is back, one for each group and each day that `outcome` was sampled.

    `hours_for_all` is how long one uplink needs for all of the owner's data. Groups that have lost
    something by then are left out: they are counted elsewhere.
    """
    found: list[float] = []
    for day in sorted(outcome.holders):
        holds, needed = outcome.holders[day], outcome.needed[day]
        whole = (holds.sum(axis=2) >= needed).all(axis=1)
        for group in np.flatnonzero(whole):
            begin = day * HOURS_A_DAY + int(rng.integers(HOURS_A_DAY))
            hours = people.hours[group, :, begin : begin + HOURS_MAX]
            found.append(_hours(hours, holds[group], needed[group], hours_for_all))
    return np.array(found)


def _hours(
    hours: NDArray[np.bool_],
    holds: NDArray[np.bool_],
    needed: NDArray[np.int64],
    hours_for_all: float,
) -> float:
    """The first hour by which all classes can have arrived; by bisection over the hours."""
    sent = np.cumsum(hours, axis=1)
    classes = len(needed)
    share = 1 / needed  # of a class
    served = np.maximum((holds * share[:, None]).sum(axis=0), 1e-12)

    def is_there(hour: int) -> bool:
        # Of each class a holder has sent its part of what its uplink could carry by then.
        could = sent[:, hour - 1] * classes / hours_for_all
        part = np.minimum(could / served, 1)
        return bool((((holds * share[:, None]) * part).sum(axis=1) >= 1 - 1e-9).all())

    low, high = 0, hours.shape[1]
    if high == 0 or not is_there(high):
        return float(HOURS_MAX)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_there(middle) else (middle, high)
    return float(high)
