"""Which packs are lost, which of them for good, and how many friends may vanish."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunking.formats import PACK_DATA, PackId, ShareName
from peer.catalog import Catalog, NewPack, PackRow
from peer.upkeep import audit, standing
from peer.upkeep.standing import bare_friends, stand
from peer.upkeep.verify import choose_packs
from signaling.messages import MemberId

FRIENDS = [MemberId(bytes([number + 1]) * 32) for number in range(5)]


def names(pack: int) -> tuple[ShareName, ...]:
    return tuple(ShareName(bytes([pack, number]) * 16) for number in range(5))


@pytest.fixture
def catalog(tmp_path):
    """Three packs, any two of five shares rebuild each; friend i has share i of each."""
    made = Catalog(tmp_path / "catalog.sqlite")
    for pack in range(3):
        new = NewPack(PackId(bytes([pack]) * 32), PACK_DATA, 2, 1000, names(pack), ())
        row = made.record_pack(new).pack
        made.record_placements([(row, i, friend) for i, friend in enumerate(FRIENDS)], {row})
    yield made
    made.close()


def full() -> dict[MemberId, set[ShareName]]:
    return {friend: {names(pack)[i] for pack in range(3)} for i, friend in enumerate(FRIENDS)}


def judge(catalog: Catalog, listings, absent=(), damaged=(), spooled=False):
    return stand(catalog, listings, set(absent), damaged, lambda row: spooled)


def test_with_everybody_there_three_of_five_may_vanish(catalog):
    found = judge(catalog, full())
    assert (found.packs, found.lost, found.thin, found.can_vanish) == (3, [], 0, 3)


def test_two_shares_at_one_friend_count_as_one_friend(catalog):
    listings = full()
    listings[FRIENDS[0]] |= listings.pop(FRIENDS[1])
    # Four friends, one with two shares: without that one, three shares are left, then two.
    assert judge(catalog, listings, absent=[FRIENDS[1]]).can_vanish == 2


def test_a_pack_that_friends_who_all_answered_cannot_make_is_lost_for_good(catalog):
    listings = full()
    for friend in FRIENDS[:4]:
        listings[friend].discard(names(1)[FRIENDS.index(friend)])
    found = judge(catalog, listings)
    assert (len(found.lost), found.lost) == (1, found.given_up)


def test_a_friend_who_is_away_may_have_one_share_of_every_pack(catalog):
    listings = {FRIENDS[0]: {names(0)[0], names(1)[0], names(2)[0]}}
    for row in list(catalog.packs()):
        catalog.forget_placements([(row.pack, number) for number in range(5)])
    assert judge(catalog, listings, absent=[FRIENDS[1]]).given_up == []
    assert len(judge(catalog, listings).given_up) == 3


def test_a_holder_who_left_the_group_may_come_back(catalog):
    listings = {FRIENDS[0]: full()[FRIENDS[0]]}
    found = judge(catalog, listings)  # the others are no members now, and answer nothing
    assert len(found.lost) == 3
    assert found.given_up == []


def test_what_lies_in_the_spool_is_not_given_up(catalog):
    listings = {friend: set() for friend in FRIENDS}
    assert len(judge(catalog, listings).given_up) == 3
    assert judge(catalog, listings, spooled=True).given_up == []


def test_a_damaged_pack_is_lost_but_not_given_up_while_somebody_is_away(catalog):
    (first, *_) = catalog.packs()
    everybody = judge(catalog, full(), damaged=[first.pack])
    assert everybody.lost == everybody.given_up == [first.pack]
    listings = full()
    for friend in FRIENDS[3:]:
        del listings[friend]
    away = judge(catalog, listings, absent=FRIENDS[3:], damaged=[first.pack])
    assert (away.lost, away.given_up) == ([first.pack], [])


def test_packs_of_a_night_that_did_not_end_are_told_apart(catalog):
    new = NewPack(PackId(b"u" * 32), PACK_DATA, 2, 1000, names(9), ())
    catalog.record_pack(new)
    found = judge(catalog, full())
    assert (found.packs, found.unfinished, found.lost) == (3, 1, [])


def test_a_friend_who_lacks_most_is_bare_and_one_who_lacks_little_is_not(catalog):
    listings = full()
    listings[FRIENDS[0]] = {names(0)[0]}
    listings[FRIENDS[1]].discard(names(0)[1])
    listings[FRIENDS[2]] = set()
    assert bare_friends(catalog, listings) == {FRIENDS[0], FRIENDS[2]}


@given(st.data())
def test_so_many_friends_may_vanish_whoever_they_are(data):
    """Against trying all sets of friends."""
    needed = data.draw(st.integers(1, 4))
    holders = data.draw(
        st.dictionaries(
            st.integers(0, 6), st.lists(st.sampled_from(FRIENDS), max_size=3, unique=True)
        )
    )
    promised = standing._friends_to_lose(needed, holders)
    shares = sum(bool(some) for some in holders.values())
    if promised < 0:
        assert shares < needed
        return
    for gone in itertools.combinations(FRIENDS, min(promised, len(FRIENDS))):
        assert sum(bool(set(some) - set(gone)) for some in holders.values()) >= needed


# --- lots -----------------------------------------------------------------------------------------


def rows(catalog: Catalog) -> list[PackRow]:
    return list(catalog.packs())


def test_every_holder_is_asked_for_a_few_shares_that_it_lists(catalog, monkeypatch):
    monkeypatch.setattr(audit, "AUDITS_PER_HOLDER", 2)
    listings = full()
    spots = audit.choose_spots(rows(catalog), listings, random.Random(1))
    assert len(spots) == 10
    assert {spot.piece.holder for spot in spots} == set(FRIENDS)
    assert all(spot.piece.name in listings[spot.piece.holder] for spot in spots)
    assert len({(s.piece.holder, s.piece.name) for s in spots}) == 10


def test_over_many_checks_every_share_is_audited(catalog, monkeypatch):
    monkeypatch.setattr(audit, "AUDITS_PER_HOLDER", 1)
    seen = {
        spot.piece.name
        for seed in range(40)
        for spot in audit.choose_spots(rows(catalog), full(), random.Random(seed))
    }
    assert seen == {name for pack in range(3) for name in names(pack)}


@given(st.integers(1, 300), st.floats(0.01, 100), st.integers(0, 10))
def test_percent_draws_so_many_packs(count, percent, seed):
    packs = list(range(count))
    chosen = choose_packs(packs, percent, random.Random(seed))
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(packs)
    assert 1 <= len(chosen) <= count
    assert abs(len(chosen) - count * percent / 100) <= 1
