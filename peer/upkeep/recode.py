"""Which packs to write anew because another code suits the group better: a pure rule.

A pack keeps the code of the night in which it was made. It gets tonight's, as compaction makes a
copy of what lives in it, for one of two reasons:

- *Safety.* The chance that friends alone cannot rebuild it within a year is above the aim (it was
  made when the group was small, or when few were awake), and tonight's code makes it ten times
  smaller. For a pack that was good once, and of which friends who left had shares that nobody else
  can take, twenty times the aim is tolerated: somebody new makes it whole for the price of a share.
- *Space.* A friend's disk and a person's line are not the same, so one must be said in terms of the
  other: a byte that travels may cost as much as a byte that is kept for a year. A pack stays for
  years, so tonight's code pays when three years of what it saves are more than what it takes to
  send all shares of the copy, and to fetch the pack if the files are not here any more. It may not
  make the pack less safe than the aim, unless it is so already.

Who sleeps tonight is no reason: for safety all count who are not gone, and space is not looked at
when fewer friends are there than a pack has shares. The first reason makes each pack ten times
safer each time and the second never makes one unsafe, so that no pack is written to and fro.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from peer.upkeep.redundancy import (
    HOLDERS_MAX,
    LEAVING_YEARLY,
    LOSS_AIM_YEARLY,
    REPAIR_DAYS,
    Code,
    yearly_loss,
)
from peer.upkeep.sweep import Use

TOLERATED = 20 * LOSS_AIM_YEARLY
"""Yearly chance of loss at which a pack is left alone that was good until friends left."""
SAFER_FACTOR = 10
"""A copy that is hardly safer is not worth its traffic."""
HORIZON_YEARS = 3
"""For so long a pack is expected to stay."""
NIGHT_PART = 16
"""A night writes at most this part of all that lives anew for this reason, or one pack."""


@cache
def loss_of(code: Code) -> float:
    """The yearly chance that friends alone cannot rebuild a pack with this code."""
    if code.total < code.needed:
        return 1.0
    return yearly_loss(code, LEAVING_YEARLY, REPAIR_DAYS)


def is_unsafe(old: Code, new: Code, friends: int = HOLDERS_MAX) -> bool:
    """Whether safety demands the new code, in a group of which so many friends are not gone."""
    now = _loss_with(friends, old)
    if loss_of(old) <= LOSS_AIM_YEARLY and now <= TOLERATED:
        return False
    return loss_of(new) * SAFER_FACTOR <= now


def _loss_with(friends: int, code: Code) -> float:
    """The same for a pack of which no more friends than these can have a share."""
    return loss_of(Code(code.needed, min(code.total, friends)))


def saves_space(old: Code, new: Code) -> bool:
    """Whether the new code saves more than the traffic costs."""
    saved = old.total / old.needed - new.total / new.needed
    traffic = 1 + new.total / new.needed
    return (
        new.total >= old.total
        and saved * HORIZON_YEARS > traffic
        and loss_of(new) <= max(LOSS_AIM_YEARLY, loss_of(old))
    )


def choose_recodes(
    uses: Sequence[Use],
    codes: Mapping[int, Code],
    tonight: Code,
    pack_bytes: int,
    friends: int = HOLDERS_MAX,
) -> list[int]:
    """The packs to write anew tonight, by number; the least safe first, as many as a night may.

    `uses` are packs with something live in them, `codes` are theirs; `friends` are not gone.
    """
    budget = max(sum(use.needed for use in uses) // NIGHT_PART, pack_bytes)
    wanted = [
        use
        for use in uses
        if is_unsafe(codes[use.pack], tonight, friends) or saves_space(codes[use.pack], tonight)
    ]
    wanted.sort(key=lambda use: (-_loss_with(friends, codes[use.pack]), use.pack))
    chosen: list[int] = []
    for use in wanted:
        if use.needed > budget and chosen:
            break
        budget -= use.needed
        chosen.append(use.pack)
    return sorted(chosen)
