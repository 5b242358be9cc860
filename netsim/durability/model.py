"""Shares from day to day: who has one, who is missed, what is repaired and coded anew.

A member's data lie in `PACK_CLASSES` classes of packs, and all packs of a class share their fate.
A day:

1. Who leaves takes its shares away at once; that it is gone shows when it is absent for longer than
   the grace. A class of which fewer than k shares are left is lost, whatever its owner still has.
2. Classes with fewer shares in reach than the policy wants are repaired onto friends who have none
   and are there, those with the fewest spare shares first, as far as a day's uplink goes, when k
   holders were seen in the last days. k shares travel to the repairer, and one to each new holder.
3. A policy that adapts codes a class anew from the owner's files when its rule wants a smaller k
   for the friends there are, and no spare share or one is left: n' new shares travel.
4. Whoever is back with a share that was given up is a holder again. What is surplus is dropped only
   when as many others as are wanted were seen within a day.

Not in the model: friends' offers and a full disk, the owner's absence, data that changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from netsim.durability.people import People
from netsim.durability.policies import Policy
from peer.upkeep.redundancy import Code

PACK_CLASSES = 16
GRACE_DAYS = 3
GRACE_DAYS_MAX = 14
GRACE_QUANTILE = 0.999
"""Who is often away for longer has a longer grace: one day in a thousand finds it away so long."""
SEEN_LATELY_DAYS = 3
"""Within so many days k holders suffice for a repair: what came of a pack is kept."""

Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]


@dataclass(slots=True)
class Outcome:
    """What became of each group; sizes in units of the owner's data."""

    lost: Flags
    stored: NDArray[np.float64]
    """[group]: mean over the days of what all friends hold."""
    moved: NDArray[np.float64]
    """[group]: bytes that repairs and coding anew moved, over the whole time."""
    first: NDArray[np.float64]
    """[group]: what the first backup moved."""
    holders: dict[int, Flags] = field(default_factory=dict)
    """[group, class, place] on the days for which it was asked."""
    needed: dict[int, Numbers] = field(default_factory=dict)
    """[group, class]: k on those days."""


def grace_of(people: People) -> NDArray[np.int32]:
    """[group, place]: days after which a friend's shares count as lost."""
    came_back = people.person >= 0  # from absences that ended; the others say nothing about habits
    capped = np.where(came_back, np.minimum(people.absent_days, GRACE_DAYS_MAX), 0)
    usual = np.quantile(capped, GRACE_QUANTILE, axis=2)
    grace: NDArray[np.int32] = np.clip(np.ceil(usual), GRACE_DAYS, GRACE_DAYS_MAX).astype(np.int32)
    return grace


class Model:
    """All groups of `people` under one policy."""

    def __init__(
        self, rng: np.random.Generator, people: People, policy: Policy, uplink_daily: float
    ) -> None:
        """`uplink_daily` is what a member can send in a day, in units of the owner's data."""
        self._rng, self._people, self._policy = rng, people, policy
        self._budget = uplink_daily
        groups, places, _ = people.person.shape
        self._grace = grace_of(people)
        self._codes: dict[tuple[int, ...], Code] = {}
        self._holds = np.zeros((groups, PACK_CLASSES, places), dtype=np.bool_)
        self._whose = np.full((groups, PACK_CLASSES, places), -1, dtype=np.int16)
        self._needed = np.ones((groups, PACK_CLASSES), dtype=np.int64)
        self._want = np.ones((groups, PACK_CLASSES), dtype=np.int64)
        self._eligible = np.zeros((groups, places), dtype=np.bool_)
        self._lost = np.zeros(groups, dtype=np.bool_)
        self._moved = np.zeros(groups)

    def run(self, sample_days: set[int]) -> Outcome:
        """All days."""
        self._place_first()
        first, self._moved = self._moved, np.zeros_like(self._moved)
        stored = np.zeros(len(self._lost))
        outcome = Outcome(self._lost, stored, self._moved, first)
        for day in range(self._people.days):
            self._leave(day)
            self._mend(day)
            stored += self._stored()
            if day in sample_days:
                outcome.holders[day] = self._holds.copy()
                outcome.needed[day] = self._needed.copy()
        stored /= self._people.days
        return outcome

    def _stored(self) -> NDArray[np.float64]:
        shares = self._holds.sum(axis=2) / self._needed
        total: NDArray[np.float64] = shares.sum(axis=1) / PACK_CLASSES
        return total

    def _code(self, group: int, eligible: Flags) -> Code:
        """The policy's code for these friends of a group; cached by how often they are seen."""
        chances = self._people.within_day[group][eligible]
        key = tuple(sorted(int(chance * 50) for chance in chances))
        if key not in self._codes:
            self._codes[key] = self._policy.code([part / 50 for part in key] or [0.0])
        return self._codes[key]

    def _place_first(self) -> None:
        groups, _, places = self._holds.shape
        for group in range(groups):
            code = self._code(group, np.ones(places, dtype=np.bool_))
            for number in range(PACK_CLASSES):
                chosen = self._rng.permutation(places)[: code.total]
                self._give(group, number, chosen, 0)
            self._needed[group], self._want[group] = code.needed, code.total
            self._moved[group] = code.total / code.needed

    def _give(self, group: int, number: int, places: NDArray[np.int64], day: int) -> None:
        self._holds[group, number, places] = True
        self._whose[group, number, places] = self._people.person[group, places, day]

    def _leave(self, day: int) -> None:
        person = self._people.person[:, None, :, day]
        self._holds &= self._whose == person
        left = self._holds.sum(axis=2)
        self._lost |= (left < self._needed).any(axis=1)

    def _mend(self, day: int) -> None:
        people = self._people
        absent = people.absent_days[:, :, day]
        # Who has left is not known to have until the grace is over.
        believed = absent <= self._grace
        there = people.person[:, :, day] >= 0
        reach = (self._holds & believed[:, None, :]).sum(axis=2)
        hidden = self._unnoticed(day, believed)
        wanting = (reach + hidden < self._want) & ~self._lost[:, None]
        just_seen = (self._holds & (absent <= 1)[:, None, :]).sum(axis=2)
        surplus = just_seen > self._want
        eligible = believed & there
        others = (eligible != self._eligible).any(axis=1)
        self._eligible = eligible
        for group in np.flatnonzero(wanting.any(axis=1) | surplus.any(axis=1) | others):
            known = reach[group] + hidden[group]
            self._mend_group(int(group), day, eligible[group], known, just_seen[group])

    def _unnoticed(self, day: int, believed: Flags) -> Numbers:
        """[group, class]: shares that went with somebody whose leaving has not shown yet."""
        gone = (self._whose >= 0) & ~self._holds
        since = gone & believed[:, None, :]
        fresh = self._people.person[:, None, :, day] == -1
        counted: Numbers = (since & fresh).sum(axis=2)
        return counted

    def _mend_group(
        self, group: int, day: int, eligible: Flags, reach: Numbers, just_seen: Numbers
    ) -> None:
        people = self._people
        code = self._code(group, eligible)
        seen = people.seen[group, :, day]
        lately = people.absent_days[group, :, day] <= SEEN_LATELY_DAYS
        budget = self._budget
        for number in np.argsort(reach - self._needed[group], kind="stable"):
            holds, needed = self._holds[group, number], int(self._needed[group, number])
            unit = 1 / (needed * PACK_CLASSES)
            want = max(code.total, needed) if self._policy.adapts else code.total
            self._want[group, number] = want
            if just_seen[number] > want:
                self._drop(group, int(number), int(just_seen[number]) - want, seen)
                continue
            missing = want - int(reach[number])
            if missing <= 0:
                continue
            free = np.flatnonzero(eligible & ~holds & seen)
            self._rng.shuffle(free)
            new = free[:missing]
            can_rebuild = int((holds & lately).sum()) >= needed
            cost = (needed + len(new)) * unit
            if len(new) and can_rebuild and cost <= budget:
                budget -= cost
                self._moved[group] += cost
                self._give(group, int(number), new, day)
                continue
            thin = int(reach[number]) - needed <= 1
            if self._policy.adapts and thin and code.needed < needed:
                budget -= self._code_anew(group, int(number), code, eligible & seen, day, budget)

    def _drop(self, group: int, number: int, count: int, seen: Flags) -> None:
        surplus = np.flatnonzero(self._holds[group, number] & seen)[:count]
        self._holds[group, number, surplus] = False
        self._whose[group, number, surplus] = -1

    def _code_anew(
        self, group: int, number: int, code: Code, able: Flags, day: int, budget: float
    ) -> float:
        """Give a class the code for the friends of today, when enough of them are there."""
        chosen = np.flatnonzero(able)[: code.total]
        cost = len(chosen) / (code.needed * PACK_CLASSES)
        if len(chosen) < code.safe or cost > budget:
            return 0.0
        self._holds[group, number] = False
        self._whose[group, number] = -1
        self._give(group, number, chosen, day)
        self._needed[group, number], self._want[group, number] = code.needed, code.total
        self._moved[group] += cost
        return cost
