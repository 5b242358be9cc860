"""Which of several computers with the same recovery words goes on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from peer.installation import Installation, new_installation

clocks = st.integers(0, 2**62)
installations = st.builds(Installation, clocks, clocks, st.one_of(st.just(0), clocks))


@given(installations, clocks)
def test_who_takes_over_is_newer_than_itself_and_than_who_stopped_it(one: Installation, now: int):
    after = one.taking_over(now)
    assert after.number > one.number
    assert after.number > one.superseded_by
    assert not after.problem


@given(installations, clocks)
def test_each_start_counts_higher_whatever_the_clock_says(one: Installation, now: int):
    assert one.begun(now).started > one.started
    assert one.begun(now).number == one.number


@given(clocks, clocks)
def test_a_computer_made_anew_is_newer_than_the_lost_one(now: int, before: int):
    assert new_installation(now, before).number > before


@given(installations, st.integers(0, 2**62))
def test_who_was_superseded_stays_stopped_over_restarts(one: Installation, by: int):
    stopped = one.superseded(by).begun(0).begun(1)
    assert "--take-over" in stopped.problem
