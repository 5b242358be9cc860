"""One-time keys and sessions, as any sequence of visits may bring them."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gui.web.door import KEY_GOOD_S, KEYS_MAX, SESSIONS_MAX, Door, proof


def counting_door() -> Door:
    numbers = itertools.count(1)
    return Door(lambda size: next(numbers).to_bytes(size))


class Visits(RuleBasedStateMachine):
    """A door against the plainest model of one: which keys are good, and until when."""

    def __init__(self) -> None:
        super().__init__()
        self.door = counting_door()
        self.now_s = 1000.0
        self.good: dict[str, float] = {}
        self.spent: list[str] = []
        self.sessions: list[str] = []

    @rule(later_s=st.floats(0, 2 * KEY_GOOD_S))
    def time_passes(self, later_s: float):
        self.now_s += later_s

    @rule()
    def a_key_is_made(self):
        key = self.door.new_key(self.now_s)
        assert key not in self.good
        self.good[key] = self.now_s + KEY_GOOD_S

    @precondition(lambda self: self.good)
    @rule(data=st.data())
    def a_key_is_brought(self, data: st.DataObject):
        key = data.draw(st.sampled_from(list(self.good)))
        until_s = self.good.pop(key)
        session = self.door.enter(key, self.now_s)
        assert (session is not None) == (self.now_s < until_s)
        self.spent.append(key)
        if session is not None:
            assert session != key
            self.sessions.append(session)

    @precondition(lambda self: self.spent)
    @rule(data=st.data())
    def a_key_is_brought_again(self, data: st.DataObject):
        assert self.door.enter(data.draw(st.sampled_from(self.spent)), self.now_s) is None

    @invariant()
    def who_came_in_stays_in(self):
        assert all(map(self.door.is_open_to, self.sessions))
        assert not any(map(self.door.is_open_to, [*self.good, *self.spent, ""]))


TestVisits = Visits.TestCase


@given(st.text())
def test_no_text_is_a_key_a_session_or_the_secret(text: str):
    door = counting_door()
    door.enter(door.new_key(0.0), 0.0)
    door.new_key(0.0)
    assert door.enter(text, 0.0) is None
    assert not door.is_open_to(text)
    assert not door.knows_secret(text, "nonce")


def test_a_proof_is_good_for_its_nonce_alone_and_one_way():
    door = counting_door()
    assert door.knows_secret(proof(door.secret, "ask", "nonce"), "nonce")
    assert not door.knows_secret(proof(door.secret, "ask", "nonce"), "another")
    assert not door.knows_secret(proof(door.secret, "answer", "nonce"), "nonce")
    assert not door.knows_secret(door.secret, "nonce")


def test_the_oldest_key_goes_when_too_many_wait():
    door = counting_door()
    keys = [door.new_key(0.0) for _ in range(KEYS_MAX + 1)]
    assert door.enter(keys[0], 0.0) is None
    assert all(door.enter(key, 0.0) for key in keys[1:])


def test_the_oldest_browser_goes_when_too_many_are_in():
    door = counting_door()
    sessions = [door.enter(door.new_key(0.0), 0.0) or "" for _ in range(SESSIONS_MAX + 1)]
    assert not door.is_open_to(sessions[0])
    assert all(map(door.is_open_to, sessions[1:]))


def test_a_key_is_good_for_ten_minutes_and_not_a_moment_longer():
    door = counting_door()
    early, late = door.new_key(0.0), door.new_key(0.0)
    assert door.enter(early, 599.9) is not None
    assert door.enter(late, 600.0) is None
