"""How many shares, and how many of them are needed."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.upkeep.redundancy import (
    EXPANSION_MAX,
    HOLDERS_MAX,
    LOSS_AIM_YEARLY,
    READABLE_AIM,
    SEEN_WITHIN_DAY,
    Code,
    chance_of_at_least,
    choose_code,
    yearly_loss,
)

chances = st.lists(st.floats(0.01, 0.99), min_size=1, max_size=25)


@pytest.mark.parametrize(
    ("friends", "code"),
    [
        (1, Code(1, 1)),
        (2, Code(1, 2)),
        (3, Code(1, 3)),
        (4, Code(2, 4)),
        (5, Code(2, 5)),
        (6, Code(2, 6)),
        (7, Code(3, 7)),
        (10, Code(5, 10)),
        (20, Code(14, 20)),
        (50, Code(14, 20)),
    ],
)
def test_friends_of_whom_nothing_is_known_get_the_code_of_the_table(friends, code):
    assert choose_code([SEEN_WITHIN_DAY] * friends) == code


@given(chances)
def test_no_code_takes_more_than_three_times_the_space_and_five_friends_may_lose_three(seen):
    code = choose_code(seen)
    assert 1 <= code.needed <= code.total == min(len(seen), HOLDERS_MAX)
    assert code.total <= EXPANSION_MAX * code.needed or code.needed == 1
    if len(seen) >= 5:
        assert code.total - code.needed >= 3
    assert code.needed <= code.safe <= code.total


@given(chances)
def test_k_is_as_large_as_the_aims_allow(seen):
    code = choose_code(seen, leaving_yearly=0.1, repair_days=10)
    larger = Code(code.needed + 1, code.total)
    worst = sorted(seen)[:HOLDERS_MAX]
    if larger.needed <= code.total - 3:
        assert (
            chance_of_at_least(larger.needed, worst) < READABLE_AIM
            or yearly_loss(larger, 0.1, 10) > LOSS_AIM_YEARLY
        )


@given(chances, st.integers(0, 24))
def test_a_friend_who_is_there_more_often_never_makes_a_pack_cost_more(seen, which):
    better = list(seen)
    better[which % len(seen)] = 0.999
    assert choose_code(better).needed >= choose_code(seen).needed


def test_nobody_is_no_group():
    with pytest.raises(ValueError, match="at least one holder"):
        choose_code([])


@given(st.lists(st.floats(0, 1), max_size=10), st.integers(0, 11))
def test_the_chance_of_at_least_so_many_is_the_sum_over_all_outcomes(seen, count):
    total = 0.0
    for outcome in range(1 << len(seen)):
        product = 1.0
        for place, chance in enumerate(seen):
            product *= chance if outcome >> place & 1 else 1 - chance
        if outcome.bit_count() >= count:
            total += product
    assert chance_of_at_least(count, seen) == pytest.approx(total, abs=1e-9)


def test_the_yearly_loss_is_what_happens_when_friends_leave_and_are_replaced():
    code, leaving, repair_days, years = Code(2, 5), 2.0, 20.0, 4000
    chance, lost, gone, left = random.Random(7), 0, 0, 1.0
    done = 0
    while done < years:
        leave, return_ = (code.total - gone) * leaving, gone * 365.25 / repair_days
        left -= chance.expovariate(leave + return_)
        if left <= 0:
            done, left = done + 1, 1.0
        elif chance.random() * (leave + return_) < leave:
            gone += 1
            if gone > code.total - code.needed:
                lost, gone, done, left = lost + 1, 0, done + 1, 1.0
        else:
            gone -= 1
    assert yearly_loss(code, leaving, repair_days) == pytest.approx(lost / years, rel=0.25)


def test_friends_who_never_leave_lose_nothing():
    assert yearly_loss(Code(9, 10), 0, 30) == 0
