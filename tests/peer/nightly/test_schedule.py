"""When a night is due."""

import datetime
import time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.nightly.schedule import RETRY_S, RETRY_S_MAX, Done, due_ns, moment_of

BERLIN = ZoneInfo("Europe/Berlin")
MEMBER = b"m" * 32
S = 10**9
HOUR, DAY = 3600 * S, 86_400 * S


def at(text: str) -> int:
    return int(datetime.datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()) * S


def local(time_ns: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(time_ns / S, BERLIN)


NOON = at("2026-06-10T12:00")
TONIGHT = moment_of(datetime.date(2026, 6, 11), MEMBER, BERLIN)


@given(member=st.binary(min_size=32, max_size=32), days=st.integers(0, 800))
def test_every_moment_lies_between_one_and_five_and_no_day_has_two(member, days):
    date = datetime.date(2026, 1, 1) + datetime.timedelta(days=days)
    moment = local(moment_of(date, member, BERLIN))
    assert moment.date() == date
    assert 1 <= moment.hour <= 5


def test_a_group_does_not_begin_at_once():
    moments = {moment_of(datetime.date(2026, 6, 11), bytes([i]) * 32, BERLIN) for i in range(20)}
    assert len(moments) == 20
    assert max(moments) - min(moments) > 2 * HOUR


def test_a_new_member_waits_for_its_first_night():
    assert due_ns(NOON, Done(NOON - HOUR), MEMBER, BERLIN) == TONIGHT


def test_a_night_that_was_done_is_not_done_twice():
    done = Done(NOON - 30 * DAY, succeeded_ns=TONIGHT + 5 * 60 * S)
    tomorrow = moment_of(datetime.date(2026, 6, 12), MEMBER, BERLIN)
    assert due_ns(TONIGHT + HOUR, done, MEMBER, BERLIN) == tomorrow


def test_a_night_that_was_asked_for_in_the_evening_does_not_replace_the_next_one():
    done = Done(NOON - 30 * DAY, succeeded_ns=TONIGHT - 3 * HOUR)
    assert due_ns(TONIGHT + S, done, MEMBER, BERLIN) == TONIGHT


def test_a_computer_that_was_off_makes_up_for_the_last_night_only():
    done = Done(NOON - 90 * DAY, succeeded_ns=NOON - 9 * DAY)
    due = due_ns(NOON, done, MEMBER, BERLIN)
    assert NOON - DAY < due < NOON


def test_a_failed_night_is_tried_again_ever_later_until_the_next_one():
    waits = []
    for failures in range(1, 12):
        done = Done(NOON - 90 * DAY, NOON - 2 * DAY, tried_ns=NOON, failures=failures)
        waits.append(due_ns(NOON, done, MEMBER, BERLIN) - NOON)
    assert waits[0] == RETRY_S * S
    assert waits == sorted(waits)
    assert max(waits) == RETRY_S_MAX * S
    late = TONIGHT - 60 * S
    done = Done(NOON - 90 * DAY, NOON - 2 * DAY, tried_ns=late, failures=3)
    assert due_ns(late, done, MEMBER, BERLIN) == TONIGHT


@pytest.mark.parametrize("date", ["2026-03-29", "2026-10-25"])
def test_nights_go_on_when_summer_time_begins_and_ends(date):
    day = datetime.date.fromisoformat(date)
    before, after = (day + datetime.timedelta(days=d) for d in (-1, 1))
    now = moment_of(before, MEMBER, BERLIN) + 60 * S
    due = due_ns(now, Done(0, succeeded_ns=now), MEMBER, BERLIN)
    assert due == moment_of(day, MEMBER, BERLIN)
    assert local(due).date() == day
    following = due_ns(due + 60 * S, Done(0, succeeded_ns=due + 60 * S), MEMBER, BERLIN)
    assert following == moment_of(after, MEMBER, BERLIN)


@pytest.fixture
def in_berlin(monkeypatch):
    """This computer's own time zone is Berlin's."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("zone", [BERLIN, None])
@pytest.mark.parametrize("evening", ["2026-03-28T22:00", "2026-10-24T22:00"])
def test_no_member_has_two_nights_when_the_clock_is_changed(in_berlin, zone, evening):
    begin = at(evening)
    for number in range(24):
        done = Done(0, succeeded_ns=begin - 12 * HOUR)
        nights = 0
        for now in range(begin, begin + 14 * HOUR, HOUR // 4):
            if due_ns(now, done, bytes([number]) * 32, zone) <= now:
                done = Done(0, succeeded_ns=now)
                nights += 1
        assert nights == 1


def test_a_last_night_in_the_future_counts_as_none():
    done = Done(NOON - 90 * DAY, succeeded_ns=NOON + 400 * DAY, tried_ns=NOON + 400 * DAY)
    assert due_ns(NOON, done, MEMBER, BERLIN) <= NOON


@given(
    now=st.integers(1_600_000_000, 1_900_000_000),
    succeeded=st.integers(0, 2_000_000_000),
    tried=st.integers(0, 2_000_000_000),
    failures=st.integers(0, 100),
)
def test_a_night_is_never_more_than_a_day_and_a_bit_away(now, succeeded, tried, failures):
    done = Done(0, succeeded * S, tried * S, failures)
    due = due_ns(now * S, done, MEMBER, BERLIN)
    assert now * S - 26 * HOUR <= due <= now * S + 26 * HOUR
