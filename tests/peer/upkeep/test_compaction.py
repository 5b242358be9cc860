"""Which packs are written anew."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chunking.pack import length_of
from peer.upkeep.compaction import SMALL_PACKS, WASTE_MAX, choose_merges, choose_rewrites
from peer.upkeep.sweep import Use

PACK = 8 << 20


def use(pack: int, live: float, *, length: int = PACK, kind: int = 1) -> Use:
    return Use(pack, kind, length, int(length * live), 8)


def test_while_little_is_dead_nothing_is_copied():
    assert choose_rewrites([use(n, 0.9) for n in range(50)], PACK) == []


def test_the_deadest_packs_are_copied_first_and_no_more_than_it_takes():
    uses = [use(1, 0.95), use(2, 0.05), use(3, 0.3), *(use(n, 0.98) for n in range(4, 8))]
    assert choose_rewrites(uses, PACK) == [2]


def test_a_pack_that_mostly_lives_is_left_alone_however_much_is_dead():
    assert choose_rewrites([use(n, 0.7) for n in range(50)], PACK) == []


def test_a_night_copies_a_part_of_all_at_most():
    uses = [use(n, 0.5) for n in range(1000)]
    copied = sum(u.live_bytes for u in uses if u.pack in choose_rewrites(uses, PACK))
    assert 0 < copied <= sum(u.live_bytes for u in uses) / 7


def test_many_tiny_packs_of_a_kind_become_one():
    tiny = [Use(n, 2, length_of(1, 500), 500, 1) for n in range(SMALL_PACKS)]
    assert choose_rewrites(tiny[1:], PACK) == []
    assert choose_rewrites(tiny, PACK) == [u.pack for u in tiny]


def test_tiny_packs_of_two_kinds_are_not_counted_together():
    tiny = [Use(n, 1 + n % 2, length_of(1, 500), 500, 1) for n in range(SMALL_PACKS)]
    assert choose_rewrites(tiny, PACK) == []


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=60))
def test_after_enough_nights_the_waste_is_bounded_or_every_pack_mostly_lives(parts):
    uses = [use(n, part) for n, part in enumerate(parts)]
    for _ in range(100):
        chosen = set(choose_rewrites(uses, PACK))
        if not chosen:
            break
        uses = [
            Use(u.pack, u.kind, length_of(u.live_chunks, u.live_bytes), u.live_bytes, u.live_chunks)
            if u.pack in chosen
            else u
            for u in uses
        ]
    else:
        raise AssertionError("it never ends")
    live = sum(u.needed for u in uses)
    assert sum(u.waste for u in uses) <= live * max(WASTE_MAX, 0.7)


def test_there_are_never_more_index_packs_than_a_logarithm_of_the_nights():
    sizes: list[tuple[int, int]] = [(0, 100_000)]
    written = most = 0
    for night in range(1, 1000):
        merged = set(choose_merges(sizes, 9))
        new = 9 + sum(entries for pack, entries in sizes if pack in merged)
        sizes = [size for size in sizes if size[0] not in merged] + [(night, new)]
        written += new
        most = max(most, len(sizes))
    assert most <= 11
    assert written < 1000 * 9 * 10
    assert sum(entries for _, entries in sizes) == 100_000 + 999 * 9


def test_an_index_pack_that_lists_nothing_any_more_goes():
    assert choose_merges([(1, 0), (2, 10_000)], 5) == [1]
