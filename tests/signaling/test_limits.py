"""Limits: nobody gets more than the rate allows, honest people never notice, members never wait."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.config import Limits
from signaling.limits import FORGIVEN_S, Admission, BackOff, Bucket, Buckets, address_key

LIMITS = Limits()
NAME, OTHER_NAME = b"n" * 32, b"o" * 32
HOME, ABROAD = "192.0.2.1", "198.51.100.7"

rates = st.tuples(st.floats(0.01, 100), st.integers(1, 50))
pauses = st.lists(st.floats(0, 20), max_size=80)


@given(rates, pauses)
def test_a_bucket_gives_no_more_than_its_burst_and_its_rate(
    rate: tuple[float, int], pauses: list[float]
):
    bucket, now, given_ = Bucket(rate, now=100.0), 100.0, 0
    for pause in pauses:
        now += pause
        given_ += not bucket.take(now=now)
        assert given_ <= rate[1] + rate[0] * (now - 100.0) + 1e-6


@given(rates, pauses)
def test_who_waits_as_long_as_told_gets_a_token(rate: tuple[float, int], pauses: list[float]):
    bucket, now = Bucket(rate, now=0.0), 0.0
    for pause in pauses:
        now += pause
        wait = bucket.take(now=now)
        if wait:
            now += wait * (1 + 1e-9) + 1e-6
            assert bucket.wait(now=now) == 0.0
            assert bucket.take(now=now) == 0.0


def test_asking_takes_nothing():
    bucket = Bucket((1.0, 1), now=0.0)
    assert [bucket.wait(now=0.0) for _ in range(5)] == [0.0] * 5
    assert bucket.take(now=0.0) == 0.0
    assert bucket.take(now=0.0) == 1.0
    assert bucket.wait(now=0.75) == 0.25


@given(rates, st.lists(st.floats(-1e6, 1e6), max_size=60))
def test_a_clock_that_jumps_gives_no_more_than_its_highest_reading(
    rate: tuple[float, int], readings: list[float]
):
    bucket, given_ = Bucket(rate, now=0.0), 0
    for now in readings:
        given_ += not bucket.take(now=now)
    assert given_ <= rate[1] + rate[0] * max([0.0, *readings]) + 1e-6


def test_a_clock_that_goes_back_takes_nothing():
    bucket = Bucket((1.0, 2), now=1000.0)
    assert [bucket.take(now=now) for now in (1000.0, 10.0, 10.0)] == [0.0, 0.0, 1.0]
    assert bucket.wait(now=1001.0) == 0.0


def test_keys_have_buckets_of_their_own():
    buckets = Buckets((1.0, 1))
    assert buckets.take("a", now=0.0) == 0.0
    assert buckets.take("b", now=0.0) == 0.0
    assert buckets.take("a", now=0.5) == 0.5
    assert buckets.wait("never seen", now=0.0) == 0.0


@given(st.lists(st.integers(0, 30), max_size=200))
def test_memory_is_bounded_and_the_one_unused_for_longest_goes(keys: list[int]):
    buckets = Buckets((0.001, 1), keys_max=5)
    for key in keys:
        buckets.take(key, now=0.0)
        assert len(buckets) <= 5
        assert buckets.wait(key, now=0.0) > 0
    recent = list(dict.fromkeys(reversed(keys)))[:5]
    assert all(buckets.wait(key, now=0.0) > 0 for key in recent)


def test_asking_makes_no_bucket():
    buckets = Buckets((1.0, 1))
    buckets.wait("a", now=0.0)
    assert len(buckets) == 0


def wait_to_join(
    admission: Admission,
    *,
    address: str = HOME,
    name: bytes = NAME,
    is_known: bool = True,
    create: bool = False,
    now: float = 0.0,
) -> float:
    return admission.join(address, name, is_known=is_known, create=create, now=now)


def test_a_guesser_waits_at_every_group_and_others_do_not():
    admission = Admission(LIMITS)
    for _ in range(LIMITS.wrong_passwords_per_address[1]):
        assert wait_to_join(admission) == 0.0
        admission.count_wrong_password(HOME, NAME, now=0.0)
    assert wait_to_join(admission) == pytest.approx(50.0)
    assert wait_to_join(admission, name=OTHER_NAME) > 0
    assert wait_to_join(admission, address=ABROAD) == 0.0
    assert wait_to_join(admission, now=51.0) == 0.0


def test_guessers_with_many_addresses_wait_at_their_group_and_nobody_else_does():
    admission = Admission(LIMITS)
    for number in range(LIMITS.wrong_passwords_per_group[1]):
        assert wait_to_join(admission, address=f"203.0.113.{number}") == 0.0
        admission.count_wrong_password(f"203.0.113.{number}", NAME, now=0.0)
    assert wait_to_join(admission, address="203.0.113.7") > 0
    assert wait_to_join(admission, address="203.0.113.7", name=OTHER_NAME) == 0.0
    assert wait_to_join(admission, address=ABROAD) == 0.0


def test_a_guesser_waits_twice_as_long_after_each_further_guess_and_no_longer_than_an_hour():
    admission, now, waits = Admission(LIMITS), 0.0, list[float]()
    for _ in range(LIMITS.wrong_passwords_per_address[1] - 1):
        admission.count_wrong_password(HOME, NAME, now=now)
    for _ in range(9):
        admission.count_wrong_password(HOME, NAME, now=now)
        waits.append(wait_to_join(admission, now=now))
        assert wait_to_join(admission, now=now + waits[-1] / 2) > 0
        now += waits[-1]
        assert wait_to_join(admission, now=now) == 0.0
    assert waits[:4] == pytest.approx([50, 100, 200, 400])
    assert waits[-1] == pytest.approx(3600)


def test_a_guess_is_forgiven_after_hours():
    admission = Admission(LIMITS)
    for _ in range(20):
        admission.count_wrong_password(HOME, NAME, now=0.0)
    admission.count_wrong_password(HOME, NAME, now=FORGIVEN_S)
    assert wait_to_join(admission, now=FORGIVEN_S) == 0.0


failures = st.lists(st.tuples(st.integers(0, 9), st.floats(0, 5000)), max_size=100)


@given(failures)
def test_failures_are_remembered_in_bounded_memory(failures: list[tuple[int, float]]):
    backoff, now = BackOff((0.01, 2), keys_max=5), 0.0
    for key, pause in failures:
        now += pause
        assert 0.0 <= backoff.wait(key, now=now) <= 3600.0
        backoff.fail(key, now=now)
        assert backoff.has_failed(key, now=now)
        assert len(backoff) <= 5


def test_what_says_nothing_any_more_is_not_kept():
    buckets, backoff = Buckets((1.0, 5)), BackOff((1.0, 5))
    for number in range(1000):
        buckets.take(number, now=0.0)
        backoff.fail(number, now=0.0)
    assert len(buckets) == len(backoff) == 1000
    for number in range(500):
        buckets.take(f"later {number}", now=10.0)
        backoff.fail(f"later {number}", now=FORGIVEN_S)
    assert len(buckets) == len(backoff) == 500


def test_a_bad_signature_counts_for_its_address_only():
    admission = Admission(LIMITS)
    for number in range(1000):
        admission.count_bad_signature(f"203.0.113.{number % 250}", now=0.0)
    assert wait_to_join(admission, address=HOME) == 0.0
    for _ in range(LIMITS.wrong_passwords_per_address[1]):
        admission.count_bad_signature(HOME, now=0.0)
    assert wait_to_join(admission, address=HOME) > 0


def test_names_are_not_tried_out_without_end():
    admission = Admission(LIMITS)
    for _ in range(LIMITS.unknown_groups_per_address[1]):
        assert wait_to_join(admission, is_known=False) == 0.0
        admission.count_unknown_group(HOME, now=0.0)
    assert wait_to_join(admission, is_known=False) > 0
    assert wait_to_join(admission, is_known=True) == 0.0


def test_groups_and_members_are_not_made_without_end():
    limits = replace(LIMITS, new_groups_per_address=(0.1, 2), new_members_per_address=(0.1, 3))
    admission = Admission(limits)
    for created in (True, True):
        admission.count_new_member(HOME, created=created, now=0.0)
    assert wait_to_join(admission, is_known=False, create=True) > 0
    assert wait_to_join(admission) == 0.0
    admission.count_new_member(HOME, created=False, now=0.0)
    assert wait_to_join(admission) > 0


def test_a_home_of_twenty_may_start_together_three_times_in_a_row():
    admission = Admission(LIMITS)
    for number in range(60):
        assert admission.connect(HOME, now=0.0) == 0.0
        assert wait_to_join(admission, is_known=number > 0, create=True) == 0.0
        admission.count_new_member(HOME, created=number == 0, now=0.0)


def test_connections_are_counted_by_address():
    admission = Admission(replace(LIMITS, connects_per_address=(1.0, 2)))
    waits = [admission.connect(address, now=0.0) for address in ("2001:db8::1", "2001:db8::2")]
    assert waits == [0.0, 0.0]
    assert admission.connect("2001:db8::3", now=0.0) == 1.0
    assert admission.connect("2001:db8:0:1::1", now=0.0) == 0.0


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:201", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("not an address", "not an address"),
    ],
)
def test_an_address_is_an_ipv4_address_or_an_ipv6_network(address: str, key: str):
    assert address_key(address) == key


@given(st.text(max_size=50))
def test_any_text_has_a_key(text: str):
    assert isinstance(address_key(text), str)


@pytest.mark.parametrize("name", [name for name in Limits.__slots__ if name.count("_per_") == 1])
def test_every_default_rate_refills(name: str):
    rate = getattr(LIMITS, name)
    if isinstance(rate, tuple):
        assert rate[0] > 0
        assert math.isfinite(rate[0])
        assert rate[1] >= 1
