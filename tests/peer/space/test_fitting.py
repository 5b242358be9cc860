"""What fits: the formula against all ways of placing, and against the placement that nights use."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from peer.space.fitting import (
    Part,
    Room,
    backup_that_fits,
    choose_waiting,
    packs_that_fit,
    room_for,
    round_up,
)
from peer.space.ledger import Account
from peer.space.telling import over_sentence, room_sentence, surplus_sentence, what_to_give
from peer.upkeep.placement import Candidate, place
from peer.upkeep.redundancy import Code
from signaling.messages import MemberId

GB = 10**9
few_rooms = st.lists(st.integers(0, 4), min_size=1, max_size=5)


@lru_cache(None)
def most_packs(rooms: tuple[int, ...], shares: int) -> int:
    """By trying every way to give a pack's shares to different friends."""
    able = [at for at, room in enumerate(rooms) if room]
    best = 0
    for chosen in combinations(able, shares):
        left = tuple(sorted(room - (at in chosen) for at, room in enumerate(rooms)))
        best = max(best, 1 + most_packs(left, shares))
    return best


@given(few_rooms, st.integers(1, 5))
def test_the_formula_is_the_best_of_all_ways(rooms, shares):
    assert packs_that_fit(rooms, shares) == most_packs(tuple(sorted(rooms)), shares)


def codes_of(friends: int):
    return st.integers(1, friends).map(lambda needed: Code(needed, friends))


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=6).flatmap(
        lambda rooms: st.tuples(st.just(rooms), codes_of(len(rooms)))
    )
)
def test_a_night_places_as_much_as_was_said_to_fit(case):
    """With the very placement that nights use, a pack a share of one byte at each friend."""
    rooms, code = case
    friends = {MemberId(bytes([at]) * 32): room for at, room in enumerate(rooms)}
    fills = dict.fromkeys(friends, 0)
    promised = backup_that_fits(rooms, code) // code.needed
    for turn in range(promised):
        candidates = [Candidate(one, friends[one], fills[one]) for one in friends]
        plan = place(range(code.total), candidates, {}, 1, turn=turn)
        assert len(plan) >= code.safe
        for holder in plan.values():
            friends[holder] -= 1
            fills[holder] += 1


def test_one_friend_with_much_room_does_not_replace_others():
    assert packs_that_fit([1000, 1, 1], 2) == 2
    assert packs_that_fit([1000, 1000], 3) == 0
    assert packs_that_fit([], 1) == 0


def test_a_friend_without_room_does_not_keep_a_night_from_being_safe():
    code = Code(2, 5)
    assert code.safe == 4
    assert backup_that_fits([50, 40, 30, 20, 0], code) == 2 * 20
    assert backup_that_fits([50, 40, 30], code) == 0


# --- room, and what to give -----------------------------------------------------------------


def account(offer: int, usage: int, shown: int = 10**15, credit: int | None = None) -> Account:
    may = offer if credit is None else credit
    return Account(MemberId(b"m" * 32), offer, 0, usage, shown, may)


def test_own_offer_binds_and_what_to_give_is_said_in_numbers():
    room = room_for(account(250 * GB, 127 * GB), [900 * GB] * 6, Code(2, 6))
    assert (room.fits_bytes, room.bound) == (41 * GB, "offer")
    assert room.proposal() == (100 * GB, 100 * GB // 3)
    assert room_sentence(room) == (
        "You can back up 41.0 GB more; give 100 GB more to the group for 33.3 GB."
    )
    assert what_to_give(room, 20 * GB) == (
        "Give 60.0 GB more to the group (`covey space --give SIZE`), or mark less."
    )


def test_friends_bind_where_they_have_less():
    room = room_for(account(900 * GB, 0), [5 * GB] * 4, Code(2, 4))
    assert (room.fits_bytes, room.bound) == (10 * GB, "friends")
    assert "your friends have no room for more" in room_sentence(room)
    assert what_to_give(room, 7 * GB).startswith("Your friends lack room for 7.0 GB")


def test_who_has_shown_little_waits_for_audits():
    room = room_for(account(900 * GB, 0, 0, 100 * GB), [900 * GB] * 4, Code(2, 4))
    assert (room.fits_bytes, room.bound) == (50 * GB, "shown")
    assert room_sentence(room).startswith("You can back up 50.0 GB more now")
    assert "every night" in what_to_give(room, GB)


def test_who_takes_too_much_is_told_and_nobody_else():
    assert over_sentence(account(100 * GB, 100 * GB)) == ""
    assert "until you give 41.0 GB more" in over_sentence(account(100 * GB, 141 * GB))
    assert "until your friends have checked" in over_sentence(
        account(200 * GB, 141 * GB, 0, 100 * GB)
    )
    assert surplus_sentence(10 * GB, 10 * GB) == ""
    assert surplus_sentence(10 * GB, 15 * GB).startswith("Your friends have 5.0 GB more here")


@given(
    st.integers(0, 10**13),
    st.integers(0, 10**13),
    st.lists(st.integers(0, 10**13), min_size=1, max_size=20),
    st.integers(1, 10**12),
)
def test_giving_what_is_said_makes_the_wanted_size_fit(offer, usage, rooms, more):
    code = Code(max(1, len(rooms) - 3), len(rooms))
    before = room_for(account(offer, usage), rooms, code)
    wanted = before.fits_bytes + more
    if before.friends_bytes < wanted:
        return
    given_more = before.give_for(wanted)
    over = max(0, usage - offer)
    after = room_for(account(offer + over + given_more, usage), rooms, code)
    assert after.fits_bytes >= wanted - 1


@given(st.integers(1, 10**14))
def test_a_round_size_is_enough_and_not_much_more(size):
    assert size <= round_up(size) <= max(2 * 10**9, size * 1.1 + 10**9)


def test_what_comes_with_the_files_has_room_too():
    room = Room(Code(1, 1), account(100 * GB, 0), 50 * GB)
    assert room.usable_bytes == 45 * GB


# --- what waits -----------------------------------------------------------------------------

sizes, times = st.integers(0, 100), st.integers(0, 9)
parts = st.recursive(
    st.builds(Part, st.binary(min_size=1, max_size=3), sizes, times),
    lambda below: st.builds(
        Part, st.binary(min_size=1, max_size=3), sizes, times, st.lists(below, max_size=3)
    ),
    max_leaves=6,
)


@given(st.lists(parts, max_size=4), st.integers(0, 500))
def test_what_does_not_wait_fits(roots, room):
    waiting = choose_waiting(roots, room, 10)
    taken = sum(root.whole_bytes() for root in roots) - sum(one.whole_bytes() for one in waiting)
    assert taken <= room
    assert all(one.whole_bytes() > 0 for one in waiting)


@given(st.lists(parts, max_size=4))
def test_nothing_waits_where_all_fits(roots):
    assert choose_waiting(roots, sum(root.whole_bytes() for root in roots), 0) == []


def paths(waiting: list[Part]) -> list[bytes]:
    return [part.path for part in waiting]


def test_the_most_recently_changed_goes_first():
    roots = [Part(b"/old", 10, 1), Part(b"/new", 10, 3), Part(b"/between", 10, 2)]
    assert paths(choose_waiting(roots, 20, 0)) == [b"/old"]
    assert paths(choose_waiting(roots, 10, 0)) == [b"/between", b"/old"]


def test_a_folder_that_does_not_fit_is_divided():
    home = Part(b"/home", 5, 9, [Part(b"/home/films", 500, 2), Part(b"/home/letters", 20, 9)])
    assert paths(choose_waiting([home, Part(b"/photos", 30, 1)], 60, 0)) == [b"/home/films"]
    assert paths(choose_waiting([home], 3, 0)) == [b"/home"]


def test_what_has_nothing_new_never_waits():
    assert choose_waiting([Part(b"/a", 0, 1, [Part(b"/a/b", 0, 1)])], 0, 0) == []


def test_the_files_of_a_folder_that_does_not_fit_are_told_apart_where_there_is_room():
    photos = [Part(b"/p/%d" % number, 10, number) for number in range(9)]
    folder = Part(b"/p", 90, 8, [Part(b"/p/sub", 5, 7)], lambda: photos)
    assert paths(choose_waiting([folder], 25, 20)) == [b"/p/%d" % n for n in range(6, -1, -1)]
    assert paths(choose_waiting([folder], 25, 26)) == [b"/p"]
