"""Who counts as gone: by observed time alone, and never because of a clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from peer.upkeep.absence import DAY_S, GRACE_S, GRACE_S_MAX, PAUSE_S_MAX, Absences, Notes
from peer.upkeep.presence import SAMPLE_S
from signaling.messages import MemberId

BEA, CARL = MemberId(b"b" * 32), MemberId(b"c" * 32)
NOON_S = 1_750_000_000.0


class Watch:
    """A member that looks every quarter of an hour."""

    def __init__(self) -> None:
        self.absences, self.now_s = Absences(), NOON_S
        self.known = [BEA, CARL]

    def look(self, *online: MemberId) -> None:
        self.absences.look(self.now_s, online, self.known)

    def pass_days(self, days: float, *online: MemberId) -> None:
        for _ in range(round(days * DAY_S / SAMPLE_S)):
            self.now_s += SAMPLE_S
            self.look(*online)


def test_a_friend_is_gone_after_three_days_and_not_before():
    watch = Watch()
    watch.look(BEA, CARL)
    watch.pass_days(2.99, CARL)
    assert watch.absences.gone() == set()
    watch.pass_days(0.02, CARL)
    assert watch.absences.gone() == {BEA}


def test_coming_back_cancels_it():
    watch = Watch()
    watch.pass_days(4, CARL)
    assert watch.absences.gone() == {BEA}
    watch.look(BEA)
    assert watch.absences.gone() == set()


def test_who_was_away_for_long_and_came_back_has_a_longer_grace_which_fades():
    watch = Watch()
    watch.look(BEA, CARL)
    watch.pass_days(10, CARL)
    watch.look(BEA, CARL)
    grace = watch.absences.of(BEA).grace_s
    assert 14.5 * DAY_S < grace <= 15 * DAY_S
    watch.pass_days(14, CARL)
    assert watch.absences.gone() == {BEA} & watch.absences.gone()
    watch.look(BEA, CARL)
    watch.pass_days(365, BEA, CARL)
    assert watch.absences.of(BEA).grace_s == GRACE_S


def test_an_absence_that_lasts_makes_its_own_grace_no_longer():
    watch = Watch()
    watch.pass_days(20, CARL)
    assert watch.absences.of(BEA).grace_s == GRACE_S


def test_nobody_has_more_than_thirty_days():
    watch = Watch()
    watch.pass_days(60, CARL)
    watch.look(BEA, CARL)
    assert watch.absences.of(BEA).grace_s == GRACE_S_MAX


@given(st.lists(st.floats(-400 * DAY_S, 400 * DAY_S), max_size=5))
def test_a_clock_that_jumps_makes_nobody_gone(jumps: list[float]):
    watch = Watch()
    watch.look(BEA, CARL)
    for jump in jumps:
        watch.now_s += jump
        watch.look(CARL)
    assert watch.absences.gone() == set()
    assert watch.absences.of(BEA).away_s <= len(jumps) * PAUSE_S_MAX


def test_a_member_that_is_on_for_two_hours_a_day_sees_who_is_gone_within_a_week():
    watch = Watch()
    watch.look(BEA, CARL)
    for _ in range(6):
        watch.now_s += 22 * 3600
        watch.look(CARL)
        watch.pass_days(2 / 24, CARL)
    assert watch.absences.gone() == {BEA}


def test_a_member_that_was_off_for_months_believes_nobody_gone_when_it_starts():
    watch = Watch()
    watch.look(BEA, CARL)
    watch.now_s += 200 * DAY_S
    watch.look()
    watch.pass_days(1)
    assert watch.absences.gone() == set()


def test_who_is_gone_is_waited_for_during_ninety_days_whatever_the_server_says():
    watch = Watch()
    watch.look(BEA, CARL)
    watch.pass_days(4, CARL)
    watch.known = [CARL]  # the server keeps quiet about Bea, and nothing is placed there any more
    watch.pass_days(85, CARL)
    assert watch.absences.may_return() == {BEA}
    watch.known = [BEA, CARL]
    watch.pass_days(2, CARL)
    assert (watch.absences.may_return(), watch.absences.given_up()) == (set(), {BEA})
    watch.known = [CARL]
    watch.look(CARL)
    assert watch.absences.of(BEA) == Notes()


def test_nobody_waits_for_who_said_goodbye():
    watch = Watch()
    watch.look(BEA, CARL)
    watch.pass_days(4, CARL)
    watch.absences.forget(BEA)
    assert watch.absences.gone() == watch.absences.may_return() == set()


def test_notes_survive_a_restart_and_damaged_ones_make_nobody_gone():
    watch = Watch()
    watch.pass_days(4, CARL)
    again = Absences(watch.absences.encode())
    assert again.gone() == {BEA}
    assert again.encode() == watch.absences.encode()
    assert Absences(b"\xff nonsense").gone() == set()


@given(st.lists(st.floats(0.1, 2.9), min_size=1, max_size=20))
def test_a_friend_that_blinks_is_never_gone(away_days: list[float]):
    watch = Watch()
    watch.look(BEA, CARL)
    for days in away_days:
        watch.pass_days(days, CARL)
        assert watch.absences.gone() == set()
        watch.look(BEA, CARL)
