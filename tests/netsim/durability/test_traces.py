"""Presence from a file."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.durability.traces import BadTrace, read_trace

HOUR = 3600


def drawn(lines, members, hours):
    return read_trace(lines).hours(np.random.default_rng(3), members, hours)


def test_a_trace_is_read_with_and_without_a_header_and_in_any_order():
    lines = ["member,online_from,online_until", "ben,7200,10800", "ann,0,3600", "ben,0,3600"]
    with_header = drawn(lines, 2, 30)
    assert (with_header == drawn(lines[1:], 2, 30)).all()
    assert sorted(with_header.sum(axis=1)) == [10, 20]


def test_an_hour_counts_from_the_half_of_it_on_and_overlaps_count_once():
    hours = drawn(["a,0,1700", "a,1000,1900", "a,5500,7200", "a,7200,8900"], 1, 3)
    assert hours.sum() == 1


def test_members_and_horizon_are_repeated_as_needed():
    hours = drawn([f"m{i},0,{HOUR * (i + 1)}" for i in range(3)], 50, 400)
    assert hours.shape == (50, 400)
    assert {round(part, 1) for part in hours.mean(axis=1)} <= {0.3, 0.7, 1.0}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("a,1", "2 fields instead of 3"),
        ("a,1,2,3", "4 fields instead of 3"),
        ("a,one,2", "not a number"),
        (" ,1,2", "no name"),
        ("a,-1,2", "negative or not finite"),
        ("a,nan,2", "negative or not finite"),
        ("a,1,inf", "negative or not finite"),
        ("a,2,2", "leaves before it comes"),
        ("a,0,1e12", "hours long"),
    ],
)
def test_a_bad_line_is_refused_with_its_number(line, why):
    with pytest.raises(BadTrace, match=f"line 3: .*{why}"):
        read_trace(["member,online_from,online_until", "good,0,10", line])


def test_a_trace_without_members_is_none():
    with pytest.raises(BadTrace, match="no line"):
        read_trace(["member,online_from,online_until", ""])


@given(
    spans=st.lists(
        st.tuples(st.integers(0, 200_000), st.integers(1, 90_000)), min_size=1, max_size=8
    )
)
def test_the_hours_are_those_that_were_covered_by_half(spans):
    lines = [f"a,{begin},{begin + length}" for begin, length in spans]
    covered = np.zeros(300_000, dtype=bool)
    for begin, length in spans:
        covered[begin : begin + length] = True
    horizon = -(-max(begin + length for begin, length in spans) // HOUR)
    expected = covered[: horizon * HOUR].reshape(-1, HOUR).mean(axis=1) >= 0.5
    assert drawn(lines, 1, horizon).sum() == expected.sum()
