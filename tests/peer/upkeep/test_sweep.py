"""Mark and sweep over numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.upkeep.sweep import Change, UnknownNode, compare, mark, measure

NODES = {1: ([2, 3], [10]), 2: ([4], [11, 12]), 3: ([4], [12]), 4: ([], [13]), 5: ([4], [14])}


def marked(*roots: int) -> set[int]:
    live = bytearray(20)
    mark(live, roots, NODES.get)
    return {number for number, flag in enumerate(live) if flag}


def test_all_that_a_root_leads_to_is_marked_and_nothing_else():
    assert marked(1) == {1, 2, 3, 4, 10, 11, 12, 13}
    assert marked(5) == {4, 5, 13, 14}
    assert marked(1, 5) == marked(1) | marked(5)
    assert marked() == set()


def test_a_node_that_is_not_known_stops_the_sweep():
    with pytest.raises(UnknownNode) as caught:
        mark(bytearray(20), [9], NODES.get)
    assert caught.value.number == 9


def test_what_an_earlier_walk_marked_is_not_followed_again():
    live = bytearray(20)
    mark(live, [5], NODES.get)
    seen = []

    def node_of(number):
        seen.append(number)
        return NODES[number]

    mark(live, [1, 5], node_of)
    assert sorted(seen) == [1, 2, 3]


@given(st.dictionaries(st.integers(0, 30), st.lists(st.integers(0, 30), max_size=5)))
def test_any_graph_even_with_circles_is_walked_to_its_end(graph):
    live = bytearray(31)
    mark(live, [0], lambda number: (graph.get(number, []), []))
    expected, stack = set(), [0]
    while stack:
        number = stack.pop()
        if number not in expected:
            expected.add(number)
            stack += graph.get(number, [])
    assert {number for number, flag in enumerate(live) if flag} == expected


def test_a_pack_with_all_its_chunks_wastes_nothing():
    live = bytearray(b"\x01" * 10)
    use = measure(1, 1, 2048, [1, 2, 3], [500, 500, 500], live)
    assert (use.live_chunks, use.live_bytes) == (3, 1500)
    assert use.waste == 2048 - use.needed < 400


def test_a_pack_wastes_what_its_dead_chunks_take():
    use = measure(1, 1, 100_000, [1, 2], [50_000, 49_000], bytearray([0, 1, 0]))
    assert use.live_bytes == 50_000
    assert 45_000 < use.waste < 50_000


def test_the_change_between_two_snapshots_counts_what_is_no_more_and_not_what_is_new():
    before, now = bytearray([0, 1, 1, 1, 0]), bytearray([0, 1, 0, 0, 1])
    assert compare([1, 2, 3, 4], [10, 20, 30, 40], before, now) == Change(3, 60, 2, 50)


def test_most_is_more_than_half_of_the_chunks_or_of_the_bytes():
    assert Change(10, 100, 6, 0).is_drastic
    assert Change(10, 100, 1, 51).is_drastic
    assert not Change(10, 100, 5, 50).is_drastic
    assert not Change(9, 100, 9, 100).is_drastic
