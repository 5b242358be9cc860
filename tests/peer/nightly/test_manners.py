"""Whether somebody is working, and what a night may take then."""

from hypothesis import given
from hypothesis import strategies as st

from peer.nightly.manners import BATTERY_MIN, HELD_BACK, Manners, Sample


def after(*loads: float, **facts) -> Manners:
    manners = Manners()
    for load in loads:
        manners.hear(Sample(load, **facts))
    return manners


def test_on_an_idle_computer_nothing_hinders_a_night():
    assert after(0.0, 0.1, 0.05).waiting_because() == ""
    assert after(0.0, 0.1).pace(asked_for=False) == 1


def test_two_busy_seconds_hold_a_night_back_and_five_idle_ones_let_it_go():
    manners = after(0.0, 0.9)
    assert manners.pace(asked_for=False) == 1
    manners.hear(Sample(0.9))
    assert manners.pace(asked_for=False) == HELD_BACK < 0.1
    assert manners.waiting_because() == "Somebody is working at this computer."
    for _ in range(4):
        manners.hear(Sample(0.0))
    assert manners.pace(asked_for=False) == HELD_BACK
    manners.hear(Sample(0.0))
    assert manners.pace(asked_for=False) == 1


def test_a_short_peak_is_no_person():
    assert after(0.0, 0.9, 0.1, 0.9, 0.1).pace(asked_for=False) == 1


def test_a_night_that_was_asked_for_is_not_held_back_by_its_asker():
    assert after(0.9, 0.9, 0.9).pace(asked_for=True) == 1


def test_below_thirty_per_cent_of_battery_nothing_runs_and_on_the_mains_it_does():
    low = after(0.0, battery_percent=BATTERY_MIN - 1)
    assert low.waiting_because() == "The battery is at 29 %."
    assert (low.pace(asked_for=False), low.pace(asked_for=True)) == (0, 0)
    assert after(0.0, battery_percent=BATTERY_MIN).waiting_because() == ""


def test_a_network_that_is_paid_by_the_byte_is_left_alone_unless_asked_for():
    manners = after(0.0, metered=True)
    assert manners.waiting_because() == "This network is paid by the byte."
    assert (manners.pace(asked_for=False), manners.pace(asked_for=True)) == (0, 1)


@given(st.lists(st.floats(0, 1), max_size=40))
def test_whatever_was_seen_a_night_is_held_back_exactly_while_somebody_works(loads):
    manners = after(*loads)
    assert (manners.pace(asked_for=False) < 1) == bool(manners.waiting_because())
