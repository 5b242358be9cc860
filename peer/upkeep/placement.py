"""Who gets which share: pure functions of what is known of the friends tonight.

No friend gets two shares of a pack, since its loss must cost one share only. Friends with
the least of our data come first, so that fill levels stay within one share per pack of each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from signaling.messages import MemberId


@dataclass(frozen=True, slots=True)
class Candidate:
    """A friend who could take a share now. `fill_bytes` is what it holds of this owner."""

    member: MemberId
    free_bytes: int
    fill_bytes: int


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
