"""What is believed of friends' speeds, and whom that makes a race ask."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from peer.restore.racing import (
    HEDGE_FACTOR,
    HEDGE_MAX_S,
    HEDGE_MIN_S,
    Goal,
    Transfer,
    choose,
    late_after_s,
)
from peer.restore.speed import FORGET_S, LATENCY_UNKNOWN_S, RATE_UNKNOWN, Speeds
from signaling.messages import MemberId

ANNA, BEA, CARL = (MemberId(bytes([number]) * 32) for number in range(3))
MB = 1_000_000


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def send(speeds: Speeds, clock: Clock, member: MemberId, size: int, rate: float) -> Transfer:
    """A transfer at a steady rate, in pieces of a tenth of a second."""
    transfer = Transfer(0, member, size, speeds)
    transfer.admit()
    clock.now += 0.05
    transfer.answer()
    while transfer.received < size:
        clock.now += 0.1
        transfer.arrive(min(round(rate / 10), size - transfer.received))
    transfer.end()
    return transfer


@given(st.floats(5e3, 5e7), st.integers(1, 40))
def test_a_steady_friend_is_known_after_a_while(rate, tenths):
    clock = Clock()
    speeds = Speeds(clock)
    send(speeds, clock, ANNA, math.ceil(rate * (3 + tenths / 10)), rate)
    assert 0.9 * rate < speeds.rate(ANNA) < 1.1 * rate
    wait_s = 0.05 + MB / rate
    assert 0.85 * wait_s < speeds.expected_s(ANNA, MB) < 1.15 * wait_s


def test_a_friend_that_becomes_slow_is_known_as_slow_within_seconds():
    clock = Clock()
    speeds = Speeds(clock)
    send(speeds, clock, ANNA, 50 * MB, 10 * MB)
    send(speeds, clock, ANNA, MB, MB / 5)
    assert speeds.rate(ANNA) < 3 * MB
    transfer = Transfer(0, ANNA, MB, speeds)
    transfer.admit()
    clock.now += 6
    assert speeds.silent_s(ANNA) == 6
    assert speeds.expected_s(ANNA, 0) > 6
    transfer.answer()
    clock.now += 6
    assert speeds.rate(ANNA) < MB / 2
    transfer.end()
    assert speeds.expected_s(ANNA, 0) == 6  # for the next minute


def test_nobody_is_asked_for_ever_only_because_nobody_else_is_known():
    clock = Clock()
    speeds = Speeds(clock)
    send(speeds, clock, ANNA, 10 * MB, 10 * MB)
    assert speeds.rate(BEA) == speeds.rate(ANNA)
    send(speeds, clock, BEA, MB // 10, MB / 50)
    assert speeds.rate(CARL) == speeds.rate(ANNA)
    assert Speeds(clock).expected_s(ANNA, MB) == LATENCY_UNKNOWN_S + MB / RATE_UNKNOWN


def test_what_was_seen_is_forgotten_after_a_minute():
    clock = Clock()
    speeds = Speeds(clock)
    send(speeds, clock, ANNA, MB // 10, MB / 50)
    assert speeds.rate(ANNA) < MB / 10
    clock.now += FORGET_S + 1
    assert speeds.rate(ANNA) == RATE_UNKNOWN


class AnyCourse(RuleBasedStateMachine):
    """Whatever happens in whatever order, what is expected is a number that makes sense."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.speeds = Speeds(self.clock)
        self.running: list[Transfer] = []
        self.admitted: set[int] = set()

    @rule(member=st.sampled_from([ANNA, BEA]), size=st.integers(1, 64 * MB))
    def begin(self, member, size):
        self.running.append(Transfer(0, member, size, self.speeds))

    @rule(seconds=st.floats(0, 100))
    def wait(self, seconds):
        self.clock.now += seconds

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def go_on(self, data):
        transfer = data.draw(st.sampled_from(self.running))
        if id(transfer) not in self.admitted:
            self.admitted.add(id(transfer))
            transfer.admit()
            return
        if not transfer._answered:
            transfer.answer()
        transfer.arrive(data.draw(st.integers(0, 2 * transfer.size)))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def end(self, data):
        transfer = data.draw(st.sampled_from(self.running))
        self.running.remove(transfer)
        self.admitted.discard(id(transfer))
        transfer.end()

    @invariant()
    def expectations_are_finite_and_grow_with_what_is_asked(self):
        for member in (ANNA, BEA, CARL):
            small, large = (self.speeds.expected_s(member, size) for size in (0, MB))
            assert 0 <= small < large < math.inf
            assert self.speeds.silent_s(member) >= 0
        waiting = sum(t.size - t.received for t in self.running)
        assert sum(friend.backlog for friend in self.speeds._friends.values()) == waiting


TestAnyCourse = AnyCourse.TestCase
TestAnyCourse.settings = settings(max_examples=60, deadline=None)


# --- choosing -------------------------------------------------------------------------------

seconds = st.floats(0.001, 100)


@st.composite
def choices(draw):
    needed = draw(st.integers(1, 6))
    wanted = frozenset(draw(st.sets(st.integers(0, needed - 1))))
    coming = draw(st.sets(st.integers(0, 9)))
    numbers = draw(st.sets(st.integers(0, 9).filter(lambda number: number not in coming)))
    return Goal(needed, wanted), coming, {number: draw(seconds) for number in sorted(numbers)}


@given(choices())
def test_what_is_chosen_meets_the_goal_with_nothing_to_spare(choice):
    goal, coming, offers = choice
    chosen = choose(goal, coming, offers)
    if chosen is None:
        assert not goal.is_met({*coming, *offers})
        return
    assert set(chosen) <= set(offers)
    assert goal.is_met({*coming, *chosen})
    assert not chosen or not any(goal.is_met({*coming, *chosen} - {one}) for one in chosen)


@given(choices())
def test_what_is_chosen_is_quickest_but_for_plain_slices_that_are_hardly_later(choice):
    goal, coming, offers = choice
    chosen = choose(goal, coming, offers)
    if not chosen:
        return
    count = goal.needed - len(coming)
    if len(offers) >= count:
        quickest = sorted(offers.values())[count - 1]
        assert offers[chosen[-1]] <= late_after_s(quickest)
        if set(chosen) - goal.wanted:
            assert offers[chosen[-1]] == quickest
    assert len(chosen) <= max(count, 0) or len(offers) < count


def test_a_plain_slice_is_taken_alone_unless_its_holder_is_much_slower():
    goal = Goal(3, frozenset({1}))
    others = {0: 0.1, 2: 0.1, 3: 0.1, 4: 0.1}
    assert choose(goal, [], others | {1: 0.1}) == [1]
    assert choose(goal, [], others | {1: HEDGE_MIN_S + HEDGE_FACTOR * 0.1}) == [1]
    assert choose(goal, [], others | {1: 5.0}) == [0, 2, 3]
    assert choose(goal, [], others) == [0, 2, 3]
    assert choose(goal, [0], {2: 0.1, 3: 0.1, 4: 0.1}) == [2, 3]
    assert choose(goal, [], {1: 5.0, 2: 0.1}) == [1]
    assert choose(goal, [1], others) == []
    assert choose(goal, [], {0: 0.1, 2: 0.1}) is None


def test_a_transfer_is_overtaken_when_it_is_silent_or_would_take_far_longer_than_others():
    clock = Clock()
    speeds = Speeds(clock)
    transfer = Transfer(0, ANNA, 10 * MB, speeds)
    assert not transfer.is_overtaken(10.0)
    transfer.admit()
    clock.now += HEDGE_MAX_S
    assert not transfer.is_overtaken(10.0)
    clock.now += 0.1
    assert transfer.is_overtaken(10.0)
    transfer.answer()
    assert not transfer.is_overtaken(10.0)
    for _ in range(20):
        clock.now += 0.1
        transfer.arrive(10_000)  # 100 kB a second: 98 seconds are left
    assert transfer.is_overtaken(40.0)
    assert not transfer.is_overtaken(60.0)
