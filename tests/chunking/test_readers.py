"""No reader crashes, whatever it is given: it returns a value or raises FormatError.

A value may come back from damaged bytes where nothing is signed or hashed (a directory's
listing, say): its sealed chunk is where that damage is noticed, and test_seal.py shows it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chunking import duty, erasure, formats, index, merkle, pack, root, seal, share, statement, tree
from chunking.formats import ChunkId, FormatError, PackEntry, PackId, ShareName
from tests.golden import samples

KEYS = samples.KEYS
SEALER = seal.Sealer(KEYS)
AN_ID = ChunkId(b"i" * 32)
ONE_SHARE = samples.shares_of(samples.a_pack())[5]

READERS: dict[str, Callable[[bytes], object]] = {
    "sealed chunk": lambda data: SEALER.open(AN_ID, data),
    "sealed blob": lambda data: seal.open_blob(KEYS.root_key, b"purpose", b"", data),
    "pack": lambda data: pack.read_pack_table(KEYS, data),
    "pack id": lambda data: pack.check_pack_id(data, PackId(AN_ID)),
    "share header": share.decode_header,
    "share hasher": lambda data: share.ShareHasher(data[:80]).update(data[80:]),
    "share range": lambda data: share.verify_range(ShareName(AN_ID), data[:80], 0, data[80:], []),
    "range under a real header": lambda data: share.verify_range(
        ONE_SHARE.name, ONE_SHARE.header, 0, data, []
    ),
    "range proof": lambda data: share.verify_range(
        ONE_SHARE.name, ONE_SHARE.header, 0, ONE_SHARE.payload[:65_536], [data]
    ),
    "list": tree.unpack_ids,
    "directory": tree.decode_directory,
    "snapshot": tree.decode_snapshot,
    "index": index.decode_index,
    "root": lambda data: root.open_root(KEYS, data),
    "root envelope": root.read_root_envelope,
    "usage statement": statement.read_statement,
    "duty": duty.read_duty,
}
BODIES = {"directory": b"CVDR\x01", "snapshot": b"CVSN\x01", "index": b"CVIX\x01"}
INDEX_2 = b"CVIX\x02"
PREFIXES = [
    b"",
    b"CVSH\x01",
    b"CVLS\x01",
    b"CVRR\x01",
    b"CVUS\x01",
    b"\x01",
    b"\x02",
    INDEX_2,
    *BODIES.values(),
]
GOLDEN = {name: data for name, data in samples.binary_files().items() if len(data) < 20_000}


def read(reader: Callable[[bytes], object], data: bytes) -> None:
    with contextlib.suppress(FormatError):
        reader(data)


@pytest.mark.parametrize("name", READERS)
@given(st.sampled_from(PREFIXES), st.binary(max_size=400))
@example(b"", b"")
def test_arbitrary_bytes_do_not_crash_a_reader(name, prefix, data):
    read(READERS[name], prefix + data)


@pytest.mark.parametrize("name", ["sealed chunk", "pack", "pack id", "root", "root envelope"])
@given(st.binary(max_size=400))
def test_a_reader_of_sealed_things_accepts_no_arbitrary_bytes(name, data):
    with pytest.raises(FormatError):
        READERS[name](data)


@pytest.mark.parametrize("name", READERS)
@given(data=st.data())
def test_a_damaged_original_does_not_crash_a_reader(name, data):
    original = GOLDEN[data.draw(st.sampled_from(sorted(GOLDEN)))]
    at = data.draw(st.integers(0, len(original)))
    drop = data.draw(st.integers(0, 40))
    read(READERS[name], original[:at] + data.draw(st.binary(max_size=40)) + original[at + drop :])


ids = st.sampled_from([b"", b"short", bytes(32), b"\xff" * 32, bytes(64)])
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.binary(max_size=20),
    ids,
    st.text(st.characters(codec="utf-8"), max_size=10),
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=30,
)


@pytest.mark.parametrize("name", BODIES)
@given(values)
def test_arbitrary_well_formed_values_do_not_crash_a_reader(name, value):
    with contextlib.suppress(UnicodeEncodeError):
        read(READERS[name], BODIES[name] + msgspec.msgpack.encode(value))


# Values of the right shape with wild numbers reach further than arbitrary ones.
wild_numbers = st.integers(-(2**63), 2**64 - 1) | st.integers(-2, 300)
contents = st.builds(tree.Content, wild_numbers, ids)
wild_entries = st.builds(
    tree.Entry,
    st.binary(max_size=10),
    st.integers(-1, 5),
    wild_numbers,
    wild_numbers,
    wild_numbers,
    wild_numbers,
    wild_numbers,
    contents,
    st.lists(st.tuples(st.binary(max_size=5), st.binary(max_size=5)), max_size=3).map(tuple),
    st.binary(max_size=10),
    wild_numbers,
    st.lists(st.tuples(wild_numbers, wild_numbers), max_size=3).map(tuple),
)
wild_packs = st.builds(
    formats.PackRef, ids, wild_numbers, wild_numbers, st.integers(0, 8).map(lambda n: bytes(16 * n))
)
wild_chunks = st.lists(st.builds(PackEntry, ids, wild_numbers, wild_numbers), max_size=3)


@given(st.lists(wild_entries, max_size=4))
def test_wild_directories_are_refused_alike_by_writer_and_reader(listing):
    listing.sort(key=lambda entry: entry.name)
    data = BODIES["directory"] + msgspec.msgpack.encode(listing)
    try:
        read_back = tree.decode_directory(data)
    except FormatError:
        if all(list(entry.xattrs) == sorted(entry.xattrs) for entry in listing):
            with pytest.raises(FormatError):
                tree.encode_directory(listing)
    else:
        assert tree.encode_directory(read_back) == data


@given(
    st.lists(st.builds(formats.IndexEntry, wild_packs, wild_numbers, wild_chunks.map(tuple))),
    st.binary(max_size=96),
)
def test_wild_indexes_do_not_crash_the_reader(entries, removed):
    read(index.decode_index, BODIES["index"] + msgspec.msgpack.encode(entries))
    read(index.decode_index, INDEX_2 + msgspec.msgpack.encode((removed, entries)))


@given(
    st.dictionaries(st.integers(-3, 300), st.binary(max_size=6), max_size=6),
    st.integers(-1, 300),
    st.integers(-1, 40),
)
def test_joining_arbitrary_shares_ends_and_does_not_crash(payloads, needed, pack_length):
    with contextlib.suppress(FormatError):
        assert len(erasure.join(payloads, needed, pack_length)) == pack_length
    with contextlib.suppress(FormatError):
        assert len(erasure.join_range(payloads, needed)) == needed


@given(
    st.integers(-1, 40), st.integers(-1, 40), st.lists(ids, max_size=6), st.lists(ids, max_size=6)
)
def test_arbitrary_proofs_do_not_crash_the_reader(count, first, part, proof):
    with contextlib.suppress(FormatError):
        merkle.root_from_range(count, first, part, proof)
