"""Which snapshots stay: the rule, and what no clock may do to it."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.upkeep.retention import NEWEST_DAY, Keep, kept, parse_keep

DAY_NS = 86_400 * 10**9


def moment(text: str) -> int:
    return int(datetime.datetime.fromisoformat(text + "+00:00").timestamp()) * 10**9


def nights(first: str, count: int) -> list[int]:
    return [moment(first) + night * DAY_NS for night in range(count)]


def test_after_years_of_nights_seven_days_five_weeks_twelve_months_and_three_years_are_there():
    times = nights("2020-01-01T03:00:00", 4 * 365)
    stays = kept(times, Keep())
    dates = [
        datetime.datetime.fromtimestamp(t / 1e9, tz=datetime.UTC).date().isoformat()
        for t, stay in zip(times, stays, strict=True)
        if stay
    ]
    assert dates[-7:] == [f"2023-12-{day}" for day in range(24, 31)]
    assert {"2021-12-31", "2022-12-31"} <= set(dates)
    months = {date[:7] for date in dates}
    assert {f"2023-{month:02}" for month in range(1, 13)} <= months
    assert len(dates) <= 7 + 5 + 12 + 3


def test_of_several_on_one_day_the_last_stays_and_on_the_newest_day_the_last_three():
    times = [moment(f"2024-05-0{day}T{hour:02}:00:00") for day in (5, 6) for hour in range(10)]
    assert kept(times, Keep()) == [False] * 9 + [True] + [False] * 7 + [True] * 3


def test_the_first_so_many_may_be_pinned():
    times = nights("2024-01-01T00:00:00", 40)
    stays = kept(times, Keep(1, 0, 0, 0), pinned=3)
    assert [place for place, stay in enumerate(stays) if stay] == [0, 1, 2, 39]


def test_a_clock_that_jumps_ahead_for_a_night_costs_at_most_one_of_each_kind():
    times = nights("2024-01-01T00:00:00", 100)
    wild = [*times[:50], times[50] + 3650 * DAY_NS, *times[51:]]
    lost = [k and not w for k, w in zip(kept(times, Keep()), kept(wild, Keep()), strict=True)]
    assert sum(lost) <= 4


def test_a_clock_that_stands_at_its_first_day_keeps_the_newest():
    assert kept([0, 0, 0, 0], Keep()) == [False, True, True, True]


@given(
    st.lists(st.integers(-(2**62), 2**62), max_size=60),
    st.tuples(*[st.integers(0, 9)] * 4),
    st.integers(0, 70),
)
def test_the_newest_stays_whatever_the_times_and_never_more_than_the_rule_says(
    times, numbers, pinned
):
    stays = kept(times, Keep(*numbers), pinned=pinned)
    assert len(stays) == len(times)
    assert all(stays[:pinned])
    if times:
        assert stays[-1]
    assert sum(stays[pinned:]) <= sum(numbers) + NEWEST_DAY


@given(st.tuples(*[st.integers(0, 1000)] * 4))
def test_a_rule_in_words_is_read_back(numbers):
    assert parse_keep(str(Keep(*numbers))) == Keep(*numbers)


def test_what_is_not_named_stays_as_it_is_by_default():
    assert parse_keep("30 daily") == Keep(daily=30)
    assert parse_keep("") == Keep()


@pytest.mark.parametrize(
    "text", ["7", "daily 7", "7 hourly", "-1 daily", "7 daily 8 daily", "1001 daily", "1e3 daily"]
)
def test_a_rule_that_makes_no_sense_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        parse_keep(text)
