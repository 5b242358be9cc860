"""How many shares a pack gets, and how many of them rebuild it: a pure function of the friends.

n is the number of friends, at most 20. k is as large as it may be, since n/k is what the group
pays, and goes down until three things hold, or until n/k reaches 3:

1. any 3 friends may leave for good (from five friends on; below that all but one);
2. by what was measured of each friend, enough of them are seen within 24 hours to restore, with a
   chance of 0.999;
3. by how often friends leave and how long it takes to have their shares elsewhere, the chance that
   more of them are gone at once than a pack can bear is below 1e-4 a year. Something is lost only
   if the owner's own computer breaks in that same time.

The third is why a large group needs more spare shares than a small one: of twenty friends somebody
is always just leaving. What comes out is in docs/redundancy.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

HOLDERS_MAX = 20
"""More friends than this add traffic and bookkeeping, not safety."""
LOSSES_AIM = 3
"""Permanent losses to survive at least, where the group is large enough."""
EXPANSION_MAX = 3
"""Bytes stored at friends per byte backed up, at most."""
READABLE_AIM = 0.999
"""Chance to be able to restore within 24 hours."""
LOSS_AIM_YEARLY = 1e-4
"""Chance per year that the friends alone cannot rebuild a pack."""

LEAVING_YEARLY = 1 / 3
"""Before anything is known of a group: how often a friend leaves for good, per year."""
SEEN_WITHIN_DAY = 0.97
"""Before anything is known of a friend: the chance that it is seen within 24 hours."""
REPAIR_DAYS = 34.0
"""From a friend's leaving until all its shares are elsewhere: a few days of grace, a night or two,
and, where all others have their share of each pack already, the time until somebody new comes."""
_DAYS_A_YEAR = 365.25


@dataclass(frozen=True, slots=True)
class Code:
    """Any `needed` of `total` shares rebuild a pack."""

    needed: int
    total: int

    @property
    def safe(self) -> int:
        """Acknowledged shares from which on a pack counts as safe.

        Half of the spare shares may still be under way: a friend who falls asleep in the middle
        of a night must not spoil it, and the missing shares follow.
        """
        return self.needed + (self.total - self.needed + 1) // 2


def choose_code(
    within_day: Sequence[float],
    *,
    leaving_yearly: float = LEAVING_YEARLY,
    repair_days: float = REPAIR_DAYS,
) -> Code:
    """The code for packs that these friends are to hold.

    `within_day` is for each friend the chance that it is seen within any 24 hours. Of more than
    HOLDERS_MAX friends those who are seen least are counted on. ValueError when there is none.
    """
    if not within_day:
        raise ValueError("a pack needs at least one holder")
    seen = sorted(within_day)[:HOLDERS_MAX]
    total = len(seen)
    lowest = -(-total // EXPANSION_MAX)
    needed = max(lowest, total - LOSSES_AIM)
    while needed > lowest and not (
        chance_of_at_least(needed, seen) >= READABLE_AIM
        and yearly_loss(Code(needed, total), leaving_yearly, repair_days) <= LOSS_AIM_YEARLY
    ):
        needed -= 1
    return Code(needed, total)


def chance_of_at_least(count: int, chances: Sequence[float]) -> float:
    """That at least so many of these independent events happen."""
    exactly = [1.0]  # exactly[i]: that i of those so far happen
    for chance in chances:
        happens = [0.0, *(part * chance for part in exactly)]
        fails = [*(part * (1 - chance) for part in exactly), 0.0]
        exactly = [a + b for a, b in zip(happens, fails, strict=True)]
    return min(1.0, math.fsum(exactly[count:]))


def yearly_loss(code: Code, leaving_yearly: float, repair_days: float) -> float:
    """The chance that within a year fewer than `needed` shares are left.

    Friends leave one by one and independently, and each one's shares are back elsewhere after an
    exponential time: a birth-death process, and how often it is in its last state times how fast
    it leaves that. Good for small chances, a little high for large ones.
    """
    if leaving_yearly <= 0:
        return 0.0
    spare = code.total - code.needed
    ratio = leaving_yearly * repair_days / _DAYS_A_YEAR
    weights = [math.comb(code.total, gone) * ratio**gone for gone in range(spare + 1)]
    rate = weights[spare] / math.fsum(weights) * code.needed * leaving_yearly
    return -math.expm1(-rate)
