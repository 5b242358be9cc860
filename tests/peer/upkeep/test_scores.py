"""Scores of friends: what audits say, in proportion, and never for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chunking.formats import ShareName
from peer.upkeep.scores import DOUBTS_MAX, Scores
from signaling.messages import MemberId

BEA = MemberId(b"b" * 32)


def name(number: int) -> ShareName:
    return ShareName(number.to_bytes(32, "big"))


def audited(results: list[bool]) -> Scores:
    scores = Scores()
    for number, passed in enumerate(results):
        if passed:
            scores.passed(BEA, name(number))
        else:
            scores.failed(BEA, name(number), number)
    return scores


def test_one_failure_condemns_nobody():
    assert audited([False]).of(BEA).is_good
    assert audited([True] * 100 + [False]).bad() == set()


def test_who_cannot_show_a_fifth_of_what_it_keeps_is_bad():
    assert audited([number % 5 > 0 for number in range(200)]).bad() == {BEA}
    assert audited([number % 20 > 0 for number in range(200)]).bad() == set()


def test_who_shows_nothing_is_bad_within_two_nights_and_good_again_within_weeks():
    scores = audited([True] * 200 + [False] * 8)
    assert scores.bad() == {BEA}
    for number in range(10 * 4):
        scores.passed(BEA, name(number))
    assert scores.bad() == set()
    assert scores.of(BEA).sentence
    for number in range(40 * 4):
        scores.passed(BEA, name(number))
    assert scores.of(BEA).sentence == ""


def test_a_share_is_lost_when_it_fails_a_second_time_and_not_when_it_was_shown_between():
    scores = Scores()
    assert not scores.failed(BEA, name(1), 1)
    assert scores.doubts() == [(BEA, name(1))]
    assert scores.failed(BEA, name(1), 2)
    assert scores.doubts() == []
    assert not scores.failed(BEA, name(1), 3)
    scores.passed(BEA, name(1))
    assert not scores.failed(BEA, name(1), 4)


def test_nothing_counts_as_shown_before_an_audit():
    assert audited([]).of(BEA).shown_bytes(1000) == 0
    assert audited([True]).of(BEA).shown_bytes(1000) == 1000


def test_what_was_not_there_counts_as_not_shown_in_proportion():
    shown = audited([number % 2 > 0 for number in range(200)]).of(BEA).shown_bytes(1000)
    assert 480 <= shown <= 520


@given(st.lists(st.booleans(), max_size=80), st.integers(0, 2**50))
def test_a_score_is_a_part_and_never_more_is_shown_than_is_placed(results, placed):
    score = audited(results).of(BEA)
    assert 0 < score.value <= 1
    assert 0 <= score.shown_bytes(placed) <= placed


def test_a_failure_is_told_in_words():
    scores = audited([False])
    assert scores.of(BEA).sentence == "could not show 1 part of what it keeps for you"
    scores = audited([False] * 9)
    assert scores.of(BEA).sentence.endswith("and gets nothing new until it can again")


def test_doubts_are_bounded_and_all_survives_a_restart():
    scores = audited([False] * (DOUBTS_MAX + 10))
    assert len(scores.doubts()) == DOUBTS_MAX
    again = Scores(scores.encode())
    assert again.encode() == scores.encode()
    assert Scores(b"nonsense").bad() == set()
    again.keep_only([])
    assert again.doubts() == []
    assert again.bad() == set()
