"""Whether somebody is working, and what a night may take then."""

from hypothesis import given
from hypothesis import strategies as st

from peer.nightly.manners import (
    BATTERY_MIN,
    BUSY_DISK,
    BUSY_NETWORK,
    HELD_BACK,
    IDLE_SAMPLES,
    Manners,
    Sample,
)


def idle_then(*loads: float, **facts) -> Manners:
    manners = Manners()
    for load in (0.0,) * IDLE_SAMPLES + loads:
        manners.hear(Sample(load, **facts))
    return manners


def test_on_an_idle_computer_nothing_hinders_a_night():
    manners = idle_then(0.1, 0.05)
    assert manners.waiting_because() == ""
    assert manners.pace() == 1


def test_a_computer_that_was_hardly_looked_at_counts_as_busy():
    manners = Manners()
    for _ in range(IDLE_SAMPLES):
        assert manners.waiting_because() == "Somebody is working at this computer."
        manners.hear(Sample(0.0))
    assert manners.waiting_because() == ""


def test_two_busy_seconds_hold_a_night_back_and_five_idle_ones_let_it_go():
    manners = idle_then(0.9)
    assert manners.pace() == 1
    manners.hear(Sample(0.9))
    assert manners.pace() == HELD_BACK < 0.1
    assert manners.waiting_because() == "Somebody is working at this computer."
    for _ in range(4):
        manners.hear(Sample(0.0))
    assert manners.pace() == HELD_BACK
    manners.hear(Sample(0.0))
    assert manners.pace() == 1


def test_a_short_peak_is_no_person():
    assert idle_then(0.9, 0.1, 0.9, 0.1).pace() == 1


def test_below_thirty_per_cent_of_battery_nothing_runs_and_on_the_mains_it_does():
    low = idle_then(battery_percent=BATTERY_MIN - 1)
    assert low.forbidden_because() == low.waiting_because() == "The battery is at 29 %."
    assert idle_then(battery_percent=BATTERY_MIN).waiting_because() == ""
    low.hear(Sample(0.0))
    assert low.waiting_because() == "", "it was put on the mains"


def test_a_network_that_is_paid_by_the_byte_is_left_alone():
    assert idle_then(metered=True).forbidden_because() == "This network is paid by the byte."


def test_a_busy_disk_or_network_is_waited_for_and_holds_nothing_back():
    copying = idle_then(disk=BUSY_DISK + 0.1)
    watching = idle_then(others_network=BUSY_NETWORK * 1.1)
    assert copying.waiting_because() == "The disk is busy."
    assert watching.waiting_because() == "The network is busy."
    assert copying.pace() == watching.pace() == 1, "most of it may be the night's own"


def test_a_moment_of_disk_and_network_is_nothing():
    manners = idle_then()
    manners.hear(Sample(0.0, disk=1.0, others_network=2 * BUSY_NETWORK))
    assert manners.waiting_because() == ""


@given(st.lists(st.floats(0, 1), max_size=40))
def test_whatever_was_seen_a_night_is_held_back_exactly_while_somebody_works(loads):
    manners = Manners()
    for load in loads:
        manners.hear(Sample(load))
    assert (manners.pace() < 1) == bool(manners.waiting_because())
