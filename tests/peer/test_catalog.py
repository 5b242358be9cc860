"""The catalog: what is recorded is there again, and a crash loses nothing that was acknowledged."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from chunking.formats import PACK_DATA, PACK_INDEX, ChunkId, PackId, ShareName
from peer.catalog import (
    Catalog,
    CatalogError,
    DirectoryRow,
    IndexContent,
    NewPack,
    Node,
    PackRow,
    SeenDirectory,
    SnapshotRow,
    UnknownChunk,
)
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


NEW_CHUNKS = ((ChunkId(ident(7001)), 100, 100), (ChunkId(ident(7002)), 200, 100))


def seen(path: bytes, listing: bytes = b"listing") -> SeenDirectory:
    return SeenDirectory(path, DirectoryRow(b"f", b"d", 0, b"", 2, 10), listing)


def adopt(catalog: Catalog, *paths: bytes, listing: bytes = b"listing") -> None:
    catalog.begin_tree()
    catalog.keep_aside([seen(path, listing) for path in paths], [], [])
    catalog.adopt_tree(ChunkId(ident(1)), b"encoded")


def an_index(catalog: Catalog, number: int, *, listed=(), gone=(), merged=(), named=()) -> PackRow:
    """An index pack that the next root record names, beside `named` ones that are not merged."""
    row = catalog.record_pack(a_pack(number, kind=PACK_INDEX))
    numbers = [pack.pack for pack in merged]
    dead = [pack.pack for pack in gone]
    catalog.record_listed(
        listed=[pack.pack for pack in listed],
        removed=catalog.packs_to_remove(numbers, dead),
        gone=[*dead, *numbers],
        said_by=row.pack,
    )
    catalog.settle([row.id, *(pack.id for pack in named if pack not in merged)])
    return catalog.pack(row.pack)


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
    adopt(catalog, b"/a")
    catalog.drop_pack(row.pack)
    assert not catalog.known_chunks([ChunkId(ident(1001))])
    assert catalog.listing(b"/a") is None
    with pytest.raises(KeyError):
        catalog.pack(row.pack)


def test_a_lost_chunk_that_is_found_again_keeps_its_number(catalog):
    row = catalog.record_pack(a_pack(1))
    wanted = ChunkId(ident(1001))
    before = catalog.numbers_of([wanted])
    catalog.drop_pack(row.pack)
    assert catalog.numbers_of([wanted]) == {}
    again = replace(a_pack(1), id=PackId(ident(42)))
    catalog.record_pack(again)
    assert catalog.numbers_of([wanted]) == before
    assert catalog.find_chunks([wanted])[wanted].pack != row.pack


def test_a_chunk_that_is_in_two_packs_belongs_to_the_first(catalog):
    first = catalog.record_pack(a_pack(1))
    second = catalog.record_pack(replace(a_pack(2), chunks=(*a_pack(1).chunks[:1], *NEW_CHUNKS)))
    shared = a_pack(1).chunks[0][0]
    assert catalog.find_chunks([shared])[shared].pack == first.pack
    assert catalog.chunks_of(second.pack) == list(NEW_CHUNKS)


def test_a_copy_takes_its_chunks_over_when_it_is_safe_and_not_before(catalog):
    old = catalog.record_pack(a_pack(1))
    moved = a_pack(1).chunks[1:]
    copy = catalog.record_pack(replace(a_pack(2), chunks=moved), is_copy=True)
    numbers = catalog.numbers_of([i for i, _, _ in moved])
    assert catalog.adopt_copies() == 0
    assert {row.pack for row in catalog.find_chunks(list(numbers)).values()} == {old.pack}
    assert [use.pack for use in catalog.uses()] == [old.pack]
    catalog.record_placements([], {copy.pack})
    assert catalog.adopt_copies() == 1
    assert {row.pack for row in catalog.find_chunks(list(numbers)).values()} == {copy.pack}
    assert catalog.numbers_of(list(numbers)) == numbers
    assert catalog.chunks_of(old.pack) == [a_pack(1).chunks[0]]
    assert [list(use.numbers) for use in catalog.uses()] == [[1], sorted(numbers.values())]


def test_a_copy_that_is_lost_costs_no_chunk(catalog):
    old = catalog.record_pack(a_pack(1))
    copy = catalog.record_pack(replace(a_pack(2), chunks=a_pack(1).chunks), is_copy=True)
    catalog.drop_pack(copy.pack)
    assert len(catalog.find_chunks([i for i, _, _ in a_pack(1).chunks])) == 3
    assert catalog.chunks_of(old.pack) == list(a_pack(1).chunks)


def test_directories_of_a_night_that_did_not_end_are_not_believed(tmp_path):
    path = tmp_path / "catalog.sqlite"
    catalog = Catalog(path)
    adopt(catalog, b"/a", listing=b"old")
    catalog.begin_tree()
    catalog.keep_aside([seen(b"/a", b"new"), seen(b"/b", b"new")], [], [])
    catalog.close()
    again = Catalog(path)
    assert again.listing(b"/a") == b"old"
    assert again.listing(b"/b") is None
    again.close()


def test_what_is_gone_takes_all_below_it_along_and_nothing_beside_it(catalog):
    adopt(catalog, b"/a", b"/a/b", b"/a/b/c", b"/a/bc", b"/a/b-")
    catalog.begin_tree()
    catalog.keep_aside([seen(b"/a", b"new")], [b"/a/b"], [])
    catalog.adopt_tree(ChunkId(ident(1)), b"")
    assert [path for path, _ in catalog.listings_after(b"", 10)] == [b"/a", b"/a/b-", b"/a/bc"]
    assert catalog.listing(b"/a") == b"new"


def test_the_totals_below_a_folder_are_summed(catalog):
    adopt(catalog, b"/a", b"/a/b", b"/ab")
    assert catalog.totals_below(b"/a") == (4, 20)
    assert catalog.totals_below(b"/") == (6, 30)
    assert catalog.totals_below(b"/nowhere") == (0, 0)


def test_a_tree_that_rests_on_a_chunk_that_is_not_there_is_not_adopted(catalog):
    catalog.record_pack(a_pack(1))
    catalog.begin_tree()
    node = Node(ChunkId(ident(1001)), b"", ident(1002) + ident(77))
    catalog.keep_aside([seen(b"/a", b"new")], [], [node])
    with pytest.raises(UnknownChunk):
        catalog.adopt_tree(ChunkId(ident(1001)), b"")
    assert catalog.listing(b"/a") is None


def test_nodes_say_what_they_refer_to_by_numbers(catalog):
    catalog.record_pack(a_pack(1))
    numbers = catalog.numbers_of([ChunkId(ident(n)) for n in (1001, 1002, 1003)])
    catalog.add_nodes([Node(ChunkId(ident(1001)), ident(1002), ident(1003))])
    nodes, leaves = catalog.node(numbers[ident(1001)])
    assert (list(nodes), list(leaves)) == ([numbers[ident(1002)]], [numbers[ident(1003)]])
    assert catalog.node(numbers[ident(1002)]) is None


def test_two_long_listings_that_begin_with_the_same_chunk_refer_to_what_both_do(catalog):
    catalog.record_pack(a_pack(1))
    first = ChunkId(ident(1001))
    catalog.add_nodes([Node(first, b"", ident(1002)), Node(first, b"", ident(1003))])
    (number,) = catalog.numbers_of([first]).values()
    assert len(catalog.node(number)[1]) == 2


def test_what_an_index_pack_says_counts_once_a_root_record_names_it(catalog):
    data = catalog.record_pack(a_pack(1))
    index = catalog.record_pack(a_pack(2, kind=PACK_INDEX))
    catalog.record_listed(listed=[data.pack], removed=[], gone=[], said_by=index.pack)
    assert [row.pack for row in catalog.packs_to_list([], [])] == [data.pack]
    catalog.settle([index.id])
    assert catalog.packs_to_list([], []) == []
    assert catalog.pack(data.pack).index_pack == index.pack


def test_an_index_pack_that_no_root_record_names_is_forgotten_with_all_that_it_said(catalog):
    data, dead = catalog.record_pack(a_pack(1)), catalog.record_pack(a_pack(2))
    index = catalog.record_pack(a_pack(3, kind=PACK_INDEX))
    catalog.record_listed(listed=[data.pack], removed=[], gone=[dead.pack], said_by=index.pack)
    assert [row.pack for row in catalog.packs()] == [data.pack, index.pack]
    catalog.settle([])
    assert [row.pack for row in catalog.packs()] == [data.pack, dead.pack]
    assert len(catalog.packs_to_list([], [])) == 2


def test_a_removed_pack_is_told_as_long_as_an_index_pack_lists_it(catalog):
    old = catalog.record_pack(a_pack(1))
    one = an_index(catalog, 2, listed=[old])
    two = an_index(catalog, 3, named=[one], gone=[old])
    assert catalog.known_chunks([ChunkId(ident(1001))]) == set()
    assert catalog.packs_to_remove([], []) == []
    assert catalog.packs_to_remove([two.pack], []) == [old.id]
    assert catalog.packs_to_remove([one.pack, two.pack], []) == []
    three = an_index(catalog, 4, named=[one, two], merged=[two])
    assert catalog.packs_to_remove([three.pack], []) == [old.id]
    an_index(catalog, 5, named=[one, three], merged=[one])
    assert catalog.packs_to_remove([three.pack], []) == []


def test_merged_index_packs_go_and_what_they_listed_is_listed_by_the_new_one(catalog):
    packs = [catalog.record_pack(a_pack(n)) for n in (1, 2)]
    one = an_index(catalog, 3, listed=packs[:1])
    two = an_index(catalog, 4, named=[one], listed=packs[1:])
    assert [use.packs for use in catalog.index_uses()] == [1, 1]
    three = an_index(catalog, 5, named=[one, two], listed=packs, merged=[one, two])
    assert [use.pack for use in catalog.index_uses()] == [three.pack]
    assert {catalog.pack(row.pack).index_pack for row in packs} == {three.pack}


def test_a_lost_pack_that_is_listed_is_told_as_removed_at_the_next_index(catalog):
    old = catalog.record_pack(a_pack(1))
    index = an_index(catalog, 2, listed=[old])
    catalog.drop_pack(old.pack)
    assert catalog.packs_to_remove([], []) == [old.id]
    an_index(catalog, 3, named=[index])
    assert catalog.packs_to_remove([], []) == []


def test_what_a_lost_index_pack_listed_is_listed_anew_and_it_is_not_asked_for_again(catalog):
    old = catalog.record_pack(a_pack(1))
    index = an_index(catalog, 2, listed=[old])
    catalog.drop_pack(index.pack)
    assert [row.pack for row in catalog.packs_to_list([], [])] == [old.pack]
    assert catalog.unknown([index.id, PackId(ident(9))]) == [PackId(ident(9))]


@pytest.mark.parametrize("turned", [False, True])
def test_index_packs_from_friends_may_come_in_any_order(catalog, turned):
    contents = [
        IndexContent(a_pack(8, kind=PACK_INDEX), (a_pack(1), a_pack(2)), ()),
        IndexContent(a_pack(9, kind=PACK_INDEX), (a_pack(3),), (a_pack(1).id,)),
    ]
    for content in reversed(contents) if turned else contents:
        catalog.adopt_index(content)
        catalog.adopt_index(content)
    assert {row.id for row in catalog.packs()} == {a_pack(n).id for n in (2, 3, 8, 9)}
    assert all(row.safe and row.index_pack for row in catalog.packs())
    catalog.settle([a_pack(8).id, a_pack(9).id])
    nine = catalog.pack_by_id(a_pack(9).id)
    assert catalog.packs_to_remove([nine.pack], []) == [a_pack(1).id]


def test_packs_placements_and_chunks_of_version_1_are_still_there(tmp_path):
    path = tmp_path / "catalog.sqlite"
    db = sqlite3.connect(path)
    db.executescript(SCHEMA_1)
    shares = ident(50) + ident(51)
    for pack, kind in ((1, PACK_DATA), (2, PACK_INDEX)):
        db.execute(
            "INSERT INTO packs VALUES(?,?,?,1,900,?,1,?)",
            (pack, ident(pack), kind, shares, kind == PACK_DATA),
        )
    rows = [(ident(100 + n), 1, n * 40, 40) for n in range(5)]
    db.executemany("INSERT INTO chunks VALUES(?,?,?,?)", rows[::-1])
    db.execute("INSERT INTO placements VALUES(1, 0, ?)", (ident(7),))
    db.execute("INSERT INTO snapshots VALUES(?, 5, 6, 7)", (ident(104),))
    db.execute("INSERT INTO meta VALUES('marks', x'90')")
    db.execute("INSERT INTO directories VALUES(x'2f', x'00')")
    db.commit()
    db.close()
    catalog = Catalog(path)
    assert catalog.chunks_of(1) == [(i, offset, length) for i, _, offset, length in rows]
    assert catalog.placements(1) == {0: MemberId(ident(7))}
    assert catalog.snapshots() == [SnapshotRow(ChunkId(ident(104)), 5, 6, 7)]
    assert catalog.get_meta("marks") == b"\x90"
    assert catalog.listing(b"/") is None
    assert [row.pack for row in catalog.packs_to_list([], [])] == [1]
    assert catalog.last_number() == 5
    assert catalog.record_pack(a_pack(3)).pack == 3
    catalog.close()


def test_snapshots_are_what_the_root_record_says(catalog):
    rows = [SnapshotRow(ChunkId(ident(n)), n, 1, 2) for n in (3, 1, 2)]
    catalog.set_snapshots(rows)
    assert [row.time_ns for row in catalog.snapshots()] == [3, 1, 2]
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


SCHEMA_1 = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE packs(
  pack INTEGER PRIMARY KEY,
  id BLOB NOT NULL UNIQUE,
  kind INTEGER NOT NULL,
  needed INTEGER NOT NULL,
  length INTEGER NOT NULL,
  shares BLOB NOT NULL,              -- 32-byte names by number
  safe INTEGER NOT NULL DEFAULT 0,   -- enough holders have acknowledged
  indexed INTEGER NOT NULL DEFAULT 0 -- 1: some index pack lists it
);
CREATE INDEX packs_unsafe ON packs(pack) WHERE safe = 0;
CREATE TABLE chunks(
  id BLOB PRIMARY KEY, pack INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE placements(
  pack INTEGER NOT NULL, number INTEGER NOT NULL, holder BLOB NOT NULL,
  PRIMARY KEY(pack, number)
) WITHOUT ROWID;
CREATE TABLE directories(path BLOB PRIMARY KEY, listing BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE staged(path BLOB PRIMARY KEY, listing BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE snapshots(
  id BLOB PRIMARY KEY, time_ns INTEGER NOT NULL, files INTEGER NOT NULL, bytes INTEGER NOT NULL
) WITHOUT ROWID;

PRAGMA user_version=1;
"""
