"""The table of docs/redundancy.md: what 1 to 20 friends get, and what it is good for.

Friends come and go once a day in the mean, at any hour: they are there for an exponential time of
24 u hours and away for one of 24 (1 - u), u being their uptime. How often they leave for good and
how long it takes until their shares are elsewhere are what the rule itself assumes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from peer.upkeep.redundancy import (
    HOLDERS_MAX,
    LEAVING_YEARLY,
    REPAIR_DAYS,
    Code,
    chance_of_at_least,
    choose_code,
    yearly_loss,
)

UPTIMES = (0.25, 0.5, 0.8, 0.95)
CYCLE_H = 24.0
DAY_H, WEEK_H = 24.0, 168.0


@dataclass(frozen=True, slots=True)
class Line:
    """One group. Chances to restore everything at once, within a day and within a week; the chance
    per year that the friends alone cannot."""

    friends: int
    uptime: float
    code: Code
    at_once: float
    within_day: float
    within_week: float
    loss_yearly: float


def seen_within(uptime: float, hours: float) -> float:
    """The chance that a friend of this uptime is there at some moment of the next hours."""
    return 1 - (1 - uptime) * math.exp(-hours / (CYCLE_H * (1 - uptime)))


def line(friends: int, uptime: float) -> Line:
    """What so many friends of this uptime get."""
    code = choose_code([seen_within(uptime, DAY_H)] * friends)

    def chance(seen: float) -> float:
        return chance_of_at_least(code.needed, [seen] * code.total)

    return Line(
        friends=friends,
        uptime=uptime,
        code=code,
        at_once=chance(uptime),
        within_day=chance(seen_within(uptime, DAY_H)),
        within_week=chance(seen_within(uptime, WEEK_H)),
        loss_yearly=yearly_loss(code, LEAVING_YEARLY, REPAIR_DAYS),
    )


def as_markdown() -> Iterator[str]:
    """The lines of the table."""
    yield "| friends | uptime | k of n | n/k | at once | in a day | in a week | loss a year |"
    yield "|---|---|---|---|---|---|---|---|"
    for friends in range(1, HOLDERS_MAX + 1):
        for uptime in UPTIMES:
            found = line(friends, uptime)
            code = found.code
            yield (
                f"| {friends} | {uptime:.0%} | {code.needed} of {code.total} "
                f"| {code.total / code.needed:.2f} | {_shown(found.at_once)} "
                f"| {_shown(found.within_day)} | {_shown(found.within_week)} "
                f"| {found.loss_yearly:.1e} |"
            )


def _shown(chance: float) -> str:
    """As many nines as there are, up to six."""
    if chance >= 0.9999995:
        return "> 0.999999"
    digits = 3 if chance < 0.999 else 6
    return f"{math.floor(chance * 10**digits) / 10**digits:.{digits}f}"


if __name__ == "__main__":
    print("\n".join(as_markdown()))
