"""What friends say they hold, held against the catalog."""

from __future__ import annotations

import pytest

from chunking.formats import PACK_DATA, PackId, ShareName
from peer.catalog import Catalog, NewPack
from peer.upkeep.reconcile import compare, record
from signaling.messages import MemberId

BEN, CARLA, DAVID = (MemberId(bytes([number]) * 32) for number in (1, 2, 3))
SHARES = tuple(ShareName(bytes([0x10 + number]) * 32) for number in range(3))
STRANGER = ShareName(b"\xee" * 32)


@pytest.fixture
def catalog(tmp_path):
    made = Catalog(tmp_path / "catalog.sqlite")
    yield made
    made.close()


@pytest.fixture
def pack(catalog) -> int:
    """A pack of three shares of which any one is enough; placed with Ben, Carla and David."""
    new = NewPack(PackId(b"p" * 32), PACK_DATA, 1, 1000, SHARES, ())
    row = catalog.record_pack(new).pack
    catalog.record_placements([(row, 0, BEN), (row, 1, CARLA), (row, 2, DAVID)], {row})
    return int(row)


def test_what_is_where_it_should_be_needs_nothing(catalog, pack):
    found = compare(catalog, {BEN: {SHARES[0]}, CARLA: {SHARES[1]}, DAVID: {SHARES[2]}})
    assert (found.found, found.gone, found.garbage, found.spare) == ([], [], {}, 2)


def test_a_share_that_nothing_refers_to_is_garbage(catalog, pack):
    found = compare(catalog, {BEN: {SHARES[0], STRANGER}})
    assert found.garbage == {BEN: [STRANGER]}


def test_a_second_copy_of_a_share_is_garbage(catalog, pack):
    """A night that was killed between a friend's acknowledgement and its record leaves these."""
    found = compare(catalog, {BEN: {SHARES[0], SHARES[1]}, CARLA: {SHARES[1]}})
    assert found.garbage == {BEN: [SHARES[1]]}
    assert found.found == []


def test_a_second_copy_stays_while_the_first_is_not_confirmed(catalog, pack):
    found = compare(catalog, {BEN: {SHARES[0], SHARES[1]}})
    assert (found.garbage, found.found, found.gone) == ({}, [], [])


def test_a_second_copy_takes_the_place_of_one_that_is_gone(catalog, pack):
    found = compare(catalog, {BEN: {SHARES[0], SHARES[1]}, CARLA: set()})
    assert (found.garbage, found.found, found.gone) == ({}, [(pack, 1, BEN)], [])


def test_a_share_that_its_holder_does_not_have_is_gone(catalog, pack):
    found = compare(catalog, {BEN: set()})
    assert found.gone == [(pack, 0)]
    record(catalog, found)
    assert catalog.placements(pack) == {1: CARLA, 2: DAVID}


def test_of_two_unrecorded_copies_the_one_at_a_friend_without_another_share_counts(catalog, pack):
    catalog.forget_placements([(pack, 1)])
    found = compare(catalog, {BEN: {SHARES[0], SHARES[1]}, CARLA: {SHARES[1]}})
    assert found.found == [(pack, 1, CARLA)]
    assert found.garbage == {BEN: [SHARES[1]]}


def test_packs_that_the_friends_who_answer_cannot_rebuild_are_told(catalog, pack):
    found = compare(catalog, {BEN: set()})
    assert (found.lost_packs, found.spare) == ([pack], -1)
