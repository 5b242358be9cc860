"""Which packs to write anew, because most of them is dead or because they are many and tiny.

A pack cannot be changed, so that space comes back only when all of a pack is dead or when what is
left of it is copied to another. Copying costs traffic, waiting costs space. The rule: as long as
more than `WASTE_MAX` of what is stored is dead, rewrite the deadest packs; never one of which more
than `LIVE_MAX` lives, which would cost much and give little. docs/architecture.md has the
measurements behind the numbers.

Quiet nights leave tiny packs. When `SMALL_PACKS` of a kind have gathered, they become one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from peer.upkeep.sweep import Use

WASTE_MAX = 0.25
"""Dead bytes that may lie around, as a part of the live ones."""
LIVE_MAX = 0.6
SMALL_PACKS = 32
SMALL_PART = 64
"""A pack is tiny below this part of a full one."""
REWRITE_PACKS_MIN = 4
REWRITE_PART = 8
"""A night copies at most this part of all that lives, or a few packs."""


def choose_rewrites(uses: Sequence[Use], pack_bytes: int) -> list[int]:
    """The packs to rewrite tonight, by number. `uses` are those with something live in them."""
    live = sum(use.needed for use in uses)
    budget = max(live // REWRITE_PART, REWRITE_PACKS_MIN * pack_bytes)
    chosen: list[int] = []
    for use in (*_wasteful(uses, live), *_tiny(uses, pack_bytes)):
        if use.pack not in chosen and use.needed <= budget:
            budget -= use.needed
            chosen.append(use.pack)
    return sorted(chosen)


def _wasteful(uses: Sequence[Use], live: int) -> Iterable[Use]:
    """The deadest first, while too much is wasted."""
    waste = sum(use.waste for use in uses)
    for use in sorted(uses, key=lambda use: (use.needed / use.length, use.pack)):
        if waste <= live * WASTE_MAX or use.needed > use.length * LIVE_MAX:
            return
        waste -= use.waste
        yield use


def _tiny(uses: Sequence[Use], pack_bytes: int) -> Iterable[Use]:
    for kind in sorted({use.kind for use in uses}):
        tiny = [u for u in uses if u.kind == kind and u.length < pack_bytes // SMALL_PART]
        if len(tiny) >= SMALL_PACKS:
            yield from tiny


def choose_merges(sizes: Sequence[tuple[int, int]], tonight: int) -> list[int]:
    """Which index packs to write anew with tonight's, which lists `tonight` entries: `sizes` are
    (pack, entries), oldest first.

    As in a log-structured merge tree: from the newest back, an index pack is merged when it is less
    than twice the size of all newer ones together. So there are never more than the logarithm of
    the whole, and each entry is rewritten about as often. Those that list nothing any more always
    go.
    """
    merged = [pack for pack, entries in sizes if not entries]
    newer = max(tonight, 1)
    for pack, entries in reversed([size for size in sizes if size[1]]):
        if entries >= 2 * newer:
            break
        newer += entries
        merged.append(pack)
    return sorted(merged)
