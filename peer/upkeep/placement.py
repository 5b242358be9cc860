"""Who gets which share: pure functions of what is known of the friends tonight.

Redundancy. With n friends, any n - k may be lost. We want to survive three permanent losses where
there are five friends or more, and all but one below that, while no pack takes more than three
times its size. Groups of four cannot have both (k = 1 would take four times), so the limit on space
wins: k = 2.

Spread. No friend gets two shares of a pack, since its loss must cost one share only. Friends with
the least of our data come first, so that fill levels stay within one share per pack of each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from signaling.messages import MemberId

HOLDERS_MAX = 20
"""More friends than this add traffic and bookkeeping, not safety."""
LOSSES_AIM = 3
"""Permanent losses to survive, where the group is large enough."""
EXPANSION_MAX = 3
"""Bytes stored at friends per byte backed up, at most."""


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


@dataclass(frozen=True, slots=True)
class Candidate:
    """A friend who could take a share now. `fill_bytes` is what it holds of this owner."""

    member: MemberId
    free_bytes: int
    fill_bytes: int


def choose_code(friends: int) -> Code:
    """k and n for a pack when so many friends can take a share. ValueError when none can."""
    if friends < 1:
        raise ValueError("a pack needs at least one holder")
    total = min(friends, HOLDERS_MAX)
    needed = max(1, total - LOSSES_AIM)
    while total > EXPANSION_MAX * needed:
        needed += 1
    return Code(needed, total)


def place(
    numbers: Sequence[int],
    candidates: Iterable[Candidate],
    taken: Mapping[int, MemberId],
    share_bytes: int,
    *,
    turn: int = 0,
) -> dict[int, MemberId]:
    """A holder for as many of `numbers` as possible: number -> holder.

    `taken` says who has (or is being sent) which shares of this pack already. Deterministic:
    the emptiest first, then by id; `turn` (say, a byte of the pack's id) shifts which of the
    chosen gets which number, so that the plain slices, which restores like best, go round.
    """
    busy = set(taken.values())
    able = [c for c in candidates if c.member not in busy and c.free_bytes >= share_bytes]
    able.sort(key=lambda c: (c.fill_bytes, c.member))
    chosen = sorted(c.member for c in able[: len(numbers)])
    if not chosen:
        return {}
    start = turn % len(chosen)
    return dict(zip(numbers, chosen[start:] + chosen[:start], strict=False))
