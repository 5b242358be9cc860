from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunking import formats, index
from chunking.formats import ChunkId, FormatError, PackId
from chunking.index import IndexEntry, PackEntry, PackRef

REPLACE = msgspec.structs.replace


def a_ref(seed: int = 1, shares: int = 5, **changes: object) -> PackRef:
    source = random.Random(seed)
    ref = PackRef(PackId(source.randbytes(32)), 3, 8_388_608, source.randbytes(32 * shares))
    return REPLACE(ref, **changes)


def an_entry(seed: int = 1, chunks: int = 3) -> IndexEntry:
    source = random.Random(seed)
    made = tuple(
        PackEntry(ChunkId(source.randbytes(32)), number * 100, 100) for number in range(chunks)
    )
    return IndexEntry(a_ref(seed), index.PACK_DATA, made)


@given(st.lists(st.integers(0, 10**6), max_size=8, unique=True), st.integers(1, 6))
def test_an_index_comes_back_sorted(seeds, chunks):
    entries = [an_entry(seed, chunks) for seed in seeds]
    data = index.encode_index(entries)
    ordered = tuple(sorted(entries, key=lambda entry: entry.pack.pack))
    assert index.decode_index(data).entries == ordered
    assert index.encode_index(entries[::-1]) == data


def test_share_names_are_found_by_number():
    ref = a_ref(shares=4)
    assert b"".join(index.share_names(ref)) == ref.shares
    assert len(index.share_names(ref)) == 4


WRONG_REFS = [
    a_ref(pack=PackId(b"short")),
    a_ref(needed=0),
    a_ref(needed=6),
    a_ref(needed=256, shares=256),
    a_ref(shares=0),
    a_ref(shares=257),
    a_ref(length=0),
    a_ref(length=-1),
    a_ref(length=formats.PACK_BYTES_MAX + 1),
    REPLACE(a_ref(), shares=b"x" * 161),
]
ROW = PackEntry(ChunkId(b"c" * 32), 0, 100)
WRONG_ENTRIES = [
    *(IndexEntry(ref, index.PACK_DATA, (ROW,)) for ref in WRONG_REFS),
    IndexEntry(a_ref(), 0, (ROW,)),
    IndexEntry(a_ref(), 4, (ROW,)),
    IndexEntry(a_ref(), index.PACK_META, ()),
    IndexEntry(a_ref(), index.PACK_META, (REPLACE(ROW, id=ChunkId(b"short")),)),
    IndexEntry(a_ref(), index.PACK_META, (REPLACE(ROW, offset=-1),)),
    IndexEntry(a_ref(), index.PACK_META, (REPLACE(ROW, length=40),)),
    IndexEntry(a_ref(), index.PACK_META, (REPLACE(ROW, length=formats.SEALED_CHUNK_MAX + 1),)),
    IndexEntry(a_ref(), index.PACK_META, (REPLACE(ROW, offset=8_388_600),)),
    IndexEntry(a_ref(), index.PACK_META, (ROW, REPLACE(ROW, id=ChunkId(b"d" * 32), offset=99))),
    IndexEntry(a_ref(), index.PACK_META, (ROW, REPLACE(ROW, offset=100))),
]


def raw_index(entries: list[IndexEntry], removed: bytes = b"") -> bytes:
    return b"CVIX\x02" + msgspec.msgpack.encode((removed, entries))


@pytest.mark.parametrize("entry", WRONG_ENTRIES, ids=range(len(WRONG_ENTRIES)))
def test_an_impossible_entry_is_neither_written_nor_read(entry):
    with pytest.raises(FormatError):
        index.encode_index([entry])
    with pytest.raises(FormatError):
        index.decode_index(raw_index([entry]))
    with pytest.raises(FormatError):
        index.decode_index(b"CVIX\x01" + msgspec.msgpack.encode([entry]))


def test_unsorted_and_repeated_packs_are_refused():
    one, two = sorted((an_entry(1), an_entry(2)), key=lambda entry: entry.pack.pack)
    for wrong in ([two, one], [one, one]):
        with pytest.raises(FormatError, match="not sorted"):
            index.decode_index(raw_index(wrong))


@given(st.sets(st.binary(min_size=32, max_size=32), max_size=20))
def test_removed_packs_come_back_sorted(removed):
    data = index.encode_index([an_entry()], map(PackId, removed))
    assert index.removed_packs(index.decode_index(data)) == sorted(removed)


@pytest.mark.parametrize("removed", [b"short", b"b" * 32 + b"a" * 32, b"a" * 64])
def test_removed_packs_that_no_writer_would_write_are_refused(removed):
    with pytest.raises(FormatError):
        index.decode_index(raw_index([], removed))


def test_an_index_of_version_1_is_read_as_one_that_removes_nothing():
    entries = [an_entry(7)]
    old = index.decode_index(b"CVIX\x01" + msgspec.msgpack.encode(entries))
    assert old == index.Index(b"", tuple(entries))


def test_many_entries_are_split_into_objects_of_bounded_size():
    entries = [an_entry(seed, chunks=200) for seed in range(300)]
    removed = [PackId(number.to_bytes(32, "big")) for number in range(100_000)]
    parts = list(index.encode_index_parts(entries, removed))
    assert 8 <= len(parts) <= 12
    assert all(len(part) <= formats.INDEX_BYTES_TARGET for part in parts)
    found = [index.decode_index(part) for part in parts]
    read = [entry for one in found for entry in one.entries]
    assert sorted(read, key=lambda entry: entry.pack.pack) == sorted(
        entries, key=lambda entry: entry.pack.pack
    )
    assert [pack for one in found for pack in index.removed_packs(one)] == removed
    assert list(index.encode_index_parts([])) == []


def test_the_fullest_possible_pack_fits_one_index_object():
    chunks = tuple(
        PackEntry(ChunkId(number.to_bytes(32, "big")), number * 1200, 1000)
        for number in range(formats.PACK_ENTRIES_MAX)
    )
    ref = a_ref(shares=256, length=formats.PACK_BYTES_MAX)
    [part] = index.encode_index_parts([IndexEntry(ref, index.PACK_DATA, chunks)])
    assert index.decode_index(part).entries[0].chunks == chunks
