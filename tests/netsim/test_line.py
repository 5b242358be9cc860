"""What a bad line does to packets, and what it never does."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.lab import line as line_module
from netsim.lab.line import Conditions, Line
from netsim.lab.wire import conditions_of

shares = st.floats(0.0, 1.0)
seconds = st.floats(0.0, 0.5)
any_conditions = st.builds(
    Conditions, delay_s=seconds, jitter_s=seconds, loss=shares, reorder=shares, reorder_s=seconds
)
pauses = st.lists(st.floats(0.0, 0.1), max_size=60)
seeds = st.integers(0, 2**32)
LONG = 1e9


def sent(line: Line, gaps: list[float]) -> list[tuple[float, bytes, float]]:
    """Every packet that arrives: when it was sent, what it is, when it arrives."""
    now, sent_at, found = 0.0, {}, []
    for number, gap in enumerate(gaps):
        now += gap
        packet = number.to_bytes(4, "big")
        sent_at[packet] = now
        line.take(packet, now)
    while (at := line.next_at) is not None:
        found += [(sent_at[packet], packet, at) for packet in line.give(at)]
    return found


@given(any_conditions, pauses, seeds)
def test_each_packet_arrives_once_or_is_counted_as_lost(conditions, gaps, seed):
    line = Line(conditions, seed=seed)
    arrived = [packet for _, packet, _ in sent(line, gaps)]
    assert len(set(arrived)) == len(arrived) == len(gaps) - line.lost


@given(any_conditions, pauses, seeds)
def test_no_packet_is_earlier_or_later_than_the_conditions_say(conditions, gaps, seed):
    latest_s = conditions.delay_s + conditions.jitter_s + conditions.reorder_s
    for sent_at, _, arrived_at in sent(Line(conditions, seed=seed), gaps):
        assert sent_at + conditions.delay_s <= arrived_at <= sent_at + latest_s + 1e-9


@given(any_conditions, pauses, seeds)
def test_jitter_and_loss_never_change_the_order(conditions, gaps, seed):
    calm = Conditions(conditions.delay_s, conditions.jitter_s, conditions.loss)
    packets = [packet for _, packet, _ in sent(Line(calm, seed=seed), gaps)]
    assert packets == sorted(packets)


@given(any_conditions, pauses, seeds)
def test_the_same_seed_gives_the_same_line(conditions, gaps, seed):
    assert sent(Line(conditions, seed=seed), gaps) == sent(Line(conditions, seed=seed), gaps)


@given(any_conditions, pauses, seeds, st.floats(0.0, 2.0))
def test_nothing_is_given_before_its_time(conditions, gaps, seed, now):
    line = Line(conditions, seed=seed)
    for number, _ in enumerate(gaps):
        line.take(bytes([number]), now=1.0)
    line.give(now)
    assert line.next_at is None or line.next_at > now


def test_packets_that_are_held_back_are_overtaken():
    line = Line(Conditions(delay_s=0.01, reorder=0.2, reorder_s=0.005), seed=7)
    packets = [packet for _, packet, _ in sent(line, [0.001] * 500)]
    overtaken = sum(1 for one, next_one in itertools.pairwise(packets) if next_one < one)
    assert 50 < overtaken < 150


def test_about_as_many_are_lost_as_was_asked_for():
    line = Line(Conditions(loss=0.1), seed=7)
    sent(line, [0.001] * 5000)
    assert 400 < line.lost < 600


def test_a_line_that_is_cut_carries_nothing_and_carries_again():
    line = Line(Conditions(loss=1.0), seed=1)
    line.take(b"lost", 0.0)
    line.conditions = Conditions()
    line.take(b"kept", 0.0)
    assert line.give(0.0) == [b"kept"]


def test_what_is_under_way_is_bounded(monkeypatch):
    monkeypatch.setattr(line_module, "WAITING_BYTES_MAX", 10)
    line = Line(Conditions(delay_s=1.0), seed=1)
    for _ in range(5):
        line.take(b"four", 0.0)
    assert line.lost == 3
    assert line.give(LONG) == [b"four"] * 2
    line.take(b"four", LONG)
    assert line.next_at is not None


@pytest.mark.parametrize(
    "nonsense", [{"loss": 1.1}, {"reorder": -0.1}, {"delay_s": -1.0}, {"jitter_s": -1.0}]
)
def test_no_line_is_worse_than_cut_or_faster_than_light(nonsense):
    with pytest.raises(ValueError, match=r"share|sent"):
        Conditions(**nonsense)


def test_a_wire_is_told_of_both_directions_or_of_each():
    slow, lossy = Conditions(delay_s=0.02), Conditions(loss=0.5)
    assert conditions_of('{"delay_s": 0.02}') == (slow, slow)
    assert conditions_of('[{"delay_s": 0.02}, {"loss": 0.5}]') == (slow, lossy)
