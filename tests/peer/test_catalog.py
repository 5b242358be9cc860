"""The catalog: what is recorded is there again, and a crash loses nothing that was acknowledged."""

from __future__ import annotations

import sqlite3

import pytest

from chunking.formats import PACK_DATA, PACK_INDEX, ChunkId, PackId, ShareName
from peer.catalog import Catalog, CatalogError, NewPack, SnapshotRow
from signaling.messages import MemberId


def ident(number: int) -> bytes:
    return number.to_bytes(32, "big")


def a_pack(number: int, *, kind: int = PACK_DATA, chunks: int = 3, total: int = 5) -> NewPack:
    first = number * 1000
    return NewPack(
        id=PackId(ident(first)),
        kind=kind,
        needed=2,
        length=1001,
        shares=tuple(ShareName(ident(first + 500 + i)) for i in range(total)),
        chunks=tuple((ChunkId(ident(first + i)), i * 100, 100) for i in range(1, chunks + 1)),
    )


@pytest.fixture
def catalog(tmp_path):
    made = Catalog(tmp_path / "catalog.sqlite")
    yield made
    made.close()


def test_a_recorded_pack_is_there_after_reopening(tmp_path):
    path = tmp_path / "catalog.sqlite"
    first = Catalog(path)
    row = first.record_pack(a_pack(1))
    first.close()
    again = Catalog(path)
    assert again.pack(row.pack) == row
    assert again.chunks_of(row.pack) == list(a_pack(1).chunks)
    again.close()


def test_only_chunks_of_recorded_packs_are_known(catalog):
    catalog.record_pack(a_pack(1))
    known = ChunkId(ident(1001))
    assert catalog.known_chunks([known, ChunkId(ident(9))]) == {known}
    found = catalog.find_chunks([known])[known]
    assert (found.offset, found.length) == (100, 100)


def test_more_ids_than_one_statement_takes_are_looked_up(catalog):
    catalog.record_pack(a_pack(1, chunks=400))
    ids = [ChunkId(ident(n)) for n in range(5000)]
    assert len(catalog.known_chunks(ids)) == 400
    assert len(catalog.find_chunks(ids)) == 400


def test_a_pack_is_unsafe_until_its_shares_are_acknowledged(catalog):
    row = catalog.record_pack(a_pack(1))
    friend = MemberId(ident(77))
    assert [r.pack for r in catalog.unsafe_packs()] == [row.pack]
    catalog.record_placements([(row.pack, 0, friend)], set())
    assert catalog.unsafe_packs()
    catalog.record_placements([(row.pack, 1, friend)], {row.pack})
    assert not catalog.unsafe_packs()
    assert catalog.placements(row.pack) == {0: friend, 1: friend}
    assert catalog.thinnest() == (0, 1)
    catalog.forget_placements([(row.pack, 1)])
    assert catalog.thinnest() == (-1, 1)


def test_a_dropped_pack_takes_its_chunks_and_all_cached_listings_with_it(catalog):
    row = catalog.record_pack(a_pack(1))
    catalog.stage_listings([(b"/a", b"listing")])
    catalog.adopt_listings()
    catalog.drop_pack(row.pack)
    assert not catalog.known_chunks([ChunkId(ident(1001))])
    assert catalog.listing(b"/a") is None
    with pytest.raises(KeyError):
        catalog.pack(row.pack)


def test_what_a_dropped_index_pack_listed_is_indexed_anew(catalog):
    data = catalog.record_pack(a_pack(1))
    index = catalog.record_pack(a_pack(2, kind=PACK_INDEX))
    catalog.mark_indexed([data.pack])
    catalog.drop_pack(index.pack)
    assert [row.pack for row in catalog.unindexed_packs()] == [data.pack]


def test_an_index_pack_that_may_list_a_dropped_pack_goes_with_it_and_earlier_ones_stay(catalog):
    old = catalog.record_pack(a_pack(1))
    published = catalog.record_pack(a_pack(2, kind=PACK_INDEX))
    bad, good = catalog.record_pack(a_pack(3)), catalog.record_pack(a_pack(4))
    later = catalog.record_pack(a_pack(5, kind=PACK_INDEX))
    catalog.mark_indexed([old.pack, bad.pack, good.pack])
    catalog.drop_pack(bad.pack)
    assert [row.pack for row in catalog.packs(kind=PACK_INDEX)] == [published.pack]
    assert good.pack in {row.pack for row in catalog.unindexed_packs()}
    with pytest.raises(KeyError):
        catalog.pack(later.pack)


def test_listings_of_a_night_that_did_not_end_are_not_believed(catalog):
    catalog.stage_listings([(b"/a", b"old")])
    catalog.adopt_listings()
    catalog.stage_listings([(b"/a", b"new"), (b"/b", b"new")])
    assert catalog.listing(b"/a") == b"old"
    catalog.clear_staged()
    catalog.adopt_listings()
    assert catalog.listing(b"/b") is None


def test_packs_that_no_index_lists_are_told_until_marked(catalog):
    data = catalog.record_pack(a_pack(1))
    index = catalog.record_pack(a_pack(2, kind=PACK_INDEX))
    assert [row.pack for row in catalog.unindexed_packs()] == [data.pack]
    catalog.mark_indexed([data.pack])
    assert not catalog.unindexed_packs()
    assert [row.pack for row in catalog.packs(kind=PACK_INDEX)] == [index.pack]


def test_adopting_packs_twice_changes_nothing(catalog):
    catalog.adopt_packs([a_pack(1), a_pack(2)])
    before = list(catalog.packs())
    catalog.adopt_packs([a_pack(2), a_pack(1)])
    assert list(catalog.packs()) == before
    assert all(row.safe and row.indexed for row in before)


def test_snapshots_are_what_the_root_record_says(catalog):
    rows = [SnapshotRow(ChunkId(ident(n)), n, 1, 2) for n in (3, 1, 2)]
    catalog.set_snapshots(rows)
    assert [row.time_ns for row in catalog.snapshots()] == [1, 2, 3]
    catalog.set_snapshots(rows[:1])
    assert catalog.snapshots() == rows[:1]


def test_a_catalog_from_a_newer_covey_is_refused(tmp_path):
    path = tmp_path / "catalog.sqlite"
    Catalog(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(CatalogError, match="newer"):
        Catalog(path)


def test_a_file_that_is_no_catalog_is_refused(tmp_path):
    path = tmp_path / "catalog.sqlite"
    path.write_bytes(b"this is not a database, it is a poem" * 100)
    with pytest.raises(CatalogError, match="damaged"):
        Catalog(path)


def test_two_processes_write_in_turns(tmp_path):
    path = tmp_path / "catalog.sqlite"
    engine, agent = Catalog(path), Catalog(path)
    rows = [engine.record_pack(a_pack(n)) for n in range(1, 20)]
    for row in rows:
        agent.record_placements([(row.pack, 0, MemberId(ident(5)))], {row.pack})
    assert engine.unsafe_packs() == []
    engine.close()
    agent.close()
