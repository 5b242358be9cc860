"""Who gets which share."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from peer.upkeep.placement import Candidate, place
from signaling.messages import MemberId

FRIENDS = [MemberId(bytes([number]) * 32) for number in range(30)]
SHARE = 1000


def candidates(fills: list[int], free: int = 10**9) -> list[Candidate]:
    return [Candidate(FRIENDS[i], free, fill) for i, fill in enumerate(fills)]


@given(
    fills=st.lists(st.integers(0, 10**6), min_size=1, max_size=25),
    numbers=st.integers(1, 20),
    turn=st.integers(0, 255),
)
def test_no_friend_gets_two_shares_of_a_pack_and_as_many_as_possible_are_placed(
    fills, numbers, turn
):
    plan = place(range(numbers), candidates(fills), {}, SHARE, turn=turn)
    assert len(plan) == min(numbers, len(fills))
    assert max(Counter(plan.values()).values()) == 1


@given(fills=st.lists(st.integers(0, 50), min_size=6, max_size=12))
def test_the_emptiest_friends_come_first(fills):
    plan = place(range(5), candidates(fills), {}, SHARE)
    chosen = {FRIENDS.index(member) for member in plan.values()}
    assert max(fills[i] for i in chosen) <= min(
        [fills[i] for i in range(len(fills)) if i not in chosen]
    )


def test_who_has_a_share_of_the_pack_already_gets_no_other():
    plan = place([1, 2], candidates([0, 0, 0]), {0: FRIENDS[1]}, SHARE)
    assert set(plan.values()) == {FRIENDS[0], FRIENDS[2]}


def test_who_has_no_room_is_left_out():
    full = Candidate(FRIENDS[0], SHARE - 1, 0)
    roomy = Candidate(FRIENDS[1], SHARE, 999)
    assert place([0, 1], [full, roomy], {}, SHARE) == {0: FRIENDS[1]}


def test_plain_slices_go_round_from_pack_to_pack():
    first = Counter(
        place(range(5), candidates([0] * 5), {}, SHARE, turn=turn)[0] for turn in range(5)
    )
    assert set(first.values()) == {1}


@given(st.integers(2, 20), st.integers(0, 1000))
def test_fill_levels_stay_within_one_share_of_each_other(friends, seed):
    fills = dict.fromkeys(FRIENDS[:friends], 0)
    for pack in range(12):
        pool = [Candidate(member, 10**9, fill) for member, fill in fills.items()]
        for member in place(range(friends), pool, {}, SHARE, turn=seed + pack).values():
            fills[member] += SHARE
    assert max(fills.values()) - min(fills.values()) <= SHARE
