"""Which STUN and TURN servers a member may use at what time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from datachannel.relays import RENEW_S_MIN, RelayBook
from signaling.messages import ICE_LIFETIME_S_MAX, IceServer

TURN = IceServer(("turn:turn.example",), "name", "password")
STUN = IceServer(("stun:turn.example",))


def a_book(lifetime_s: float) -> RelayBook:
    book = RelayBook()
    book.take((TURN, STUN, IceServer(("http://turn.example",))), lifetime_s, now=1000.0)
    return book


def test_there_is_nothing_before_the_server_said_anything():
    assert RelayBook().usable(now=0.0) == ()
    assert RelayBook().renew_at() is None


def test_credentials_that_have_run_out_are_not_tried_and_stun_still_is():
    book = a_book(3600.0)
    assert book.usable(now=1000.0) == book.usable(now=4599.9) == (TURN, STUN)
    assert book.usable(now=4600.0) == (STUN,)


def test_credentials_without_an_end_are_never_renewed():
    book = a_book(0.0)
    assert book.usable(now=1e9) == (TURN, STUN)
    assert book.renew_at() is None


@given(st.floats(2 * RENEW_S_MIN, ICE_LIFETIME_S_MAX))
def test_credentials_are_renewed_while_they_are_good_for_as_long_again(lifetime_s: float):
    at = a_book(lifetime_s).renew_at()
    assert at is not None
    assert 1000.0 + RENEW_S_MIN <= at <= 1000.0 + lifetime_s / 2


@given(st.floats(0.001, 2 * RENEW_S_MIN))
def test_no_server_makes_a_member_ask_all_the_time(lifetime_s: float):
    assert a_book(lifetime_s).renew_at() == 1000.0 + RENEW_S_MIN
