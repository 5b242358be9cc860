"""Rates that hold, and rates that leave the line to the person: on a simulated line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datachannel.bandwidth import (
    BURST_BYTES_MIN,
    BURST_S,
    LEAST_BYTES_PER_S,
    Bucket,
    Delay,
    Line,
    Spare,
)

TICK_S = 0.25
MBIT = 125_000.0


@given(
    rate=st.floats(1e3, 1e8),
    sizes=st.lists(st.integers(1, 61_440), min_size=1, max_size=200),
)
def test_a_bucket_lets_no_more_pass_than_its_rate_a_burst_and_a_frame(rate, sizes):
    bucket = Bucket(0.0)
    bucket.rate = rate
    now, passed = 0.0, 0
    for size in sizes:
        while (wait_s := bucket.wait_s(now)) > 0:
            now += wait_s
        bucket.take(size)
        passed += size
        burst = max(BURST_BYTES_MIN, rate * BURST_S)
        assert passed <= rate * now * 1.001 + burst + 61_440


def test_a_bucket_without_a_rate_lets_everything_pass():
    bucket = Bucket(0.0)
    bucket.take(10**12)
    assert bucket.wait_s(0.0) == 0.0


def test_a_queue_is_what_round_trips_are_longer_than_the_shortest():
    delay = Delay()
    for at, rtt_s in enumerate((0.04, 0.15, 0.12, 0.13)):
        delay.note(rtt_s, float(at))
    assert delay.queued_s == pytest.approx(0.08)


def test_one_slow_answer_is_no_queue():
    delay = Delay()
    for at, rtt_s in enumerate((0.04, 0.04, 0.9)):
        delay.note(rtt_s, float(at))
    assert delay.queued_s == 0.0


def test_a_longer_route_counts_as_the_shortest_after_ten_minutes():
    delay = Delay()
    delay.note(0.04, 0.0)
    for at in range(700):
        delay.note(0.2, float(at))
    assert delay.queued_s == 0.0


class House:
    """A line with a queue, the person's traffic and our own, a tick at a time."""

    def __init__(self, line: float, *, queue_s: float = 0.2, knows_person: bool = True) -> None:
        self.capacity, self.queue_max = line, line * queue_s
        self.knows_person = knows_person
        self.spare, self.line, self.delay = Spare(), Line(), Delay()
        self.now = self.queue = self.ours = self.others = self.lost = 0.0

    def run(self, seconds: float, person: float = 0.0, wanted: float = 1e9) -> tuple[float, float]:
        """Our rate, and which part of the person's traffic got through."""
        ours = lost = 0.0
        ticks = round(seconds / TICK_S)
        for _ in range(ticks):
            self.now += TICK_S
            sent = min(self.spare.rate, wanted) * TICK_S
            offered = sent + person * TICK_S
            self.queue += offered - self.capacity * TICK_S
            spilled = max(self.queue - self.queue_max, 0.0)
            self.queue = min(max(self.queue, 0.0), self.queue_max)
            ours += sent - spilled * sent / offered if offered else 0.0
            lost += spilled * person * TICK_S / offered if offered else 0.0
            self.ours += sent
            self.others += person * TICK_S * self.knows_person
            self.line.note(self.ours, self.ours + self.others, self.now)
            self.delay.note(0.03 + self.queue / self.capacity, self.now)
            self.spare.note(self.delay.queued_s, self.line)
        got = 1.0 - lost / (person * seconds) if person else 1.0
        return ours / seconds, got


@pytest.mark.parametrize("mbit", [1, 10, 100, 1000])
def test_alone_we_take_most_of_the_line(mbit):
    house = House(mbit * MBIT)
    house.run(20)
    ours, _ = house.run(60)
    assert ours > 0.8 * mbit * MBIT


@pytest.mark.parametrize("knows_person", [True, False])
@pytest.mark.parametrize("mbit", [2, 10, 100])
def test_the_person_loses_nothing_and_we_take_the_rest(mbit, knows_person):
    house = House(mbit * MBIT, knows_person=knows_person)
    house.run(20)
    ours, got = house.run(60, person=mbit * MBIT / 2)
    assert got > 0.95
    assert ours > 0.7 * mbit * MBIT / 2


def test_we_make_room_within_two_seconds_for_what_this_computer_sends():
    house = House(10 * MBIT)
    house.run(20)
    house.run(2, person=5 * MBIT)
    _, got = house.run(3, person=5 * MBIT)
    assert got > 0.99


def test_when_the_person_stops_the_line_is_ours_again_within_ten_seconds():
    house = House(10 * MBIT)
    house.run(20)
    house.run(30, person=8 * MBIT)
    house.run(10)
    ours, _ = house.run(10)
    assert ours > 0.75 * 10 * MBIT


def test_a_line_that_others_fill_is_left_to_them_but_for_a_trickle():
    house = House(10 * MBIT, knows_person=False)
    house.run(20)
    house.run(30, person=11 * MBIT)
    assert house.spare.rate <= 2 * LEAST_BYTES_PER_S


def test_a_rate_that_is_not_used_does_not_grow():
    house = House(100 * MBIT)
    house.run(60, wanted=1 * MBIT)
    assert house.spare.rate < 4 * MBIT
