"""What a member learns about when its friends are there."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.upkeep.presence import HOURS, LEAP_S, SAMPLE_S, Presence
from peer.upkeep.redundancy import SEEN_WITHIN_DAY
from signaling.messages import MemberId

ANN, BEN = MemberId(b"a" * 32), MemberId(b"b" * 32)
START_S = 1_700_000_000.0
DAY_S = 86_400


def watched(days, is_here, presence=None, start_s=START_S):
    """Watch Ann, who is there when `is_here(seconds since the start)`."""
    presence = presence or Presence()
    for step in range(int(days * DAY_S / SAMPLE_S)):
        at = step * SAMPLE_S
        presence.sample(start_s + at, [ANN] if is_here(at) else [], [ANN, BEN])
    return presence


def test_of_a_stranger_nothing_is_known_and_it_counts_as_most_friends_do():
    assert Presence().within_day(ANN) == SEEN_WITHIN_DAY
    assert Presence().by_hour(ANN) == [None] * HOURS


def test_a_friend_of_every_evening_is_seen_within_each_day_and_rarely_at_once():
    presence = watched(56, lambda at: at % DAY_S < 4 * 3600)
    assert presence.at_once(ANN) == pytest.approx(4 / 24, abs=0.04)
    assert presence.within_day(ANN) > 0.99
    assert presence.within_day(BEN) < 0.1
    assert presence.within_week(BEN) < 0.1


def test_a_friend_of_the_weekends_is_seen_within_a_day_three_days_of_seven():
    presence = watched(84, lambda at: at % (7 * DAY_S) < 2 * DAY_S)
    assert presence.within_day(ANN) == pytest.approx(3 / 7, abs=0.06)
    assert presence.within_week(ANN) > 0.98


def test_each_hour_of_the_week_is_told_apart():
    hours = watched(28, lambda at: (START_S + at) // 3600 % HOURS == 5).by_hour(ANN)
    assert hours[5] == pytest.approx(1)
    assert sum(hours) == pytest.approx(1)


def test_a_new_habit_counts_as_much_as_the_old_one_after_four_weeks():
    presence = watched(200, lambda at: True)
    presence = watched(28, lambda at: False, presence, START_S + 200 * DAY_S)
    assert presence.at_once(ANN) == pytest.approx(0.5, abs=0.05)


def test_a_friend_who_leaves_the_group_is_forgotten():
    presence = watched(10, lambda at: True)
    size = len(presence.encode())
    presence.sample(START_S + 10 * DAY_S, [], [BEN])
    assert presence.at_once(ANN) == 0.5
    assert len(presence.encode()) < size


@pytest.mark.parametrize("leap", [-30 * DAY_S, 365 * DAY_S, LEAP_S + 1])
def test_a_clock_that_leaps_makes_nobody_look_absent_or_present(leap):
    presence = watched(10, lambda at: True)
    before = presence.at_once(ANN), presence.within_day(ANN)
    presence.sample(START_S + 10 * DAY_S + leap, [], [ANN, BEN])
    assert (presence.at_once(ANN), presence.within_day(ANN)) == before
    presence.sample(START_S + 10 * DAY_S + leap + SAMPLE_S, [ANN], [ANN, BEN])
    assert presence.within_day(ANN) >= before[1] - 0.01


def test_notes_survive_a_restart_and_damaged_ones_are_begun_anew():
    presence = watched(5, lambda at: at % DAY_S < 40_000)
    again = Presence(presence.encode())
    assert again.by_hour(ANN) == presence.by_hour(ANN)
    assert again.within_day(ANN) == presence.within_day(ANN)
    assert Presence(b"\x93\x02\x00\x80").within_day(ANN) == SEEN_WITHIN_DAY


@given(data=st.binary(max_size=200))
def test_any_bytes_are_notes_or_no_notes(data):
    Presence(data).sample(START_S, [ANN], [ANN])


@given(seed=st.integers(0, 2**32))
def test_every_chance_is_one_and_longer_looks_see_no_less(seed):
    chance = random.Random(seed)
    presence = watched(6, lambda at: chance.random() < 0.02)
    at_once, day, week = (
        presence.at_once(ANN),
        presence.within_day(ANN),
        presence.within_week(ANN),
    )
    assert 0 <= at_once <= 1
    assert 0 <= day <= week <= 1
