from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunking import formats, keys, pack, seal
from chunking.formats import ChunkId, FormatError

KEYS = keys.MemberKeys.from_master(b"m" * 32)
NONCE = b"n" * 24
SEALER = seal.Sealer(KEYS)


def a_pack(*chunks: bytes) -> pack.Pack:
    writer = pack.PackWriter(formats.PACK_TARGET_MIN)
    for chunk in chunks:
        chunk_id = SEALER.chunk_id(chunk)
        writer.add(chunk_id, SEALER.seal(chunk_id, chunk, NONCE))
    return writer.finish(KEYS, NONCE)


def open_all(data: bytes) -> list[bytes]:
    return [
        SEALER.open(entry.id, data[entry.offset : entry.offset + entry.length])
        for entry in pack.read_pack_table(KEYS, data)
    ]


@given(st.lists(st.binary(max_size=500), min_size=1, max_size=20, unique=True))
def test_every_chunk_comes_back_from_a_pack_in_order(chunks):
    made = a_pack(*chunks)
    assert open_all(made.data) == chunks
    assert pack.read_pack_table(KEYS, made.data) == made.entries
    assert pack.padme(len(made.data)) == len(made.data)
    pack.check_pack_id(made.data, made.id)


def test_every_flipped_bit_is_noticed():
    made = a_pack(b"one", b"the second chunk", b"")
    for bit in range(len(made.data) * 8):
        damaged = bytearray(made.data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError, match="pack"):
            pack.check_pack_id(bytes(damaged), made.id)
        with pytest.raises(FormatError):
            open_all(bytes(damaged))


def test_a_truncated_or_lengthened_pack_is_noticed():
    data = a_pack(b"one", b"two").data
    for wrong in (*(data[:end] for end in range(len(data))), data + b"\x00", b"\x00" + data):
        with pytest.raises(FormatError):
            pack.read_pack_table(KEYS, wrong)


def test_add_tells_the_offset_and_size_the_length_of_the_finished_pack():
    writer = pack.PackWriter(formats.PACK_TARGET_MIN)
    sizes = [random.Random(number).randrange(2000) for number in range(50)]
    expected = 0
    for number, size in enumerate(sizes):
        chunk = random.Random(number).randbytes(size)
        chunk_id = SEALER.chunk_id(chunk)
        assert chunk_id not in writer
        assert writer.add(chunk_id, SEALER.seal(chunk_id, chunk, NONCE)) == expected
        assert chunk_id in writer
        expected += size + formats.SEALED_OVERHEAD
    size = writer.size
    made = writer.finish(KEYS, NONCE)
    assert len(made.data) == pack.padme(size)
    assert len(made.entries) == 50


def test_a_pack_is_full_at_its_target_and_then_takes_no_more():
    writer = pack.PackWriter(1000)
    writer.add(ChunkId(b"a" * 32), bytes(500))
    assert not writer.full
    writer.add(ChunkId(b"b" * 32), bytes(500))
    assert writer.full
    with pytest.raises(ValueError, match="full"):
        writer.add(ChunkId(b"c" * 32), bytes(500))


def test_the_largest_possible_pack_is_below_the_limit():
    row = formats.PACK_TABLE_ROW_BYTES
    before_last = formats.PACK_TARGET_MAX - 1
    assert pack.padme(before_last + formats.SEALED_CHUNK_MAX + row) <= formats.PACK_BYTES_MAX


@pytest.mark.slow
def test_a_pack_is_full_when_its_table_is():
    writer = pack.PackWriter(formats.PACK_TARGET_MAX)
    for number in range(formats.PACK_ENTRIES_MAX):
        assert not writer.full
        writer.add(ChunkId(number.to_bytes(32, "big")), bytes(formats.SEALED_OVERHEAD))
    assert writer.full
    assert len(pack.read_pack_table(KEYS, writer.finish(KEYS, NONCE).data)) == 65_536


def test_a_chunk_is_in_a_pack_once():
    writer = pack.PackWriter(formats.PACK_TARGET_MIN)
    writer.add(ChunkId(b"a" * 32), bytes(100))
    with pytest.raises(ValueError, match="already"):
        writer.add(ChunkId(b"a" * 32), bytes(100))


def test_an_empty_pack_an_impossible_target_and_a_giant_chunk_are_refused():
    with pytest.raises(ValueError, match="needs a chunk"):
        pack.PackWriter(1000).finish(KEYS, NONCE)
    for target in (0, formats.PACK_TARGET_MAX + 1):
        with pytest.raises(ValueError, match="out of bounds"):
            pack.PackWriter(target)
    with pytest.raises(ValueError, match="cannot have"):
        pack.PackWriter(1000).add(ChunkId(b"a" * 32), bytes(formats.SEALED_CHUNK_MAX + 1))


def test_another_member_cannot_read_the_table():
    other = keys.MemberKeys.from_master(b"o" * 32)
    with pytest.raises(FormatError):
        pack.read_pack_table(other, a_pack(b"one").data)


@given(st.integers(min_value=0, max_value=2**40))
def test_padme_adds_at_most_an_eighth_and_is_stable(length):
    padded = pack.padme(length)
    assert length <= padded <= length + length // 8
    assert pack.padme(padded) == padded


def test_packs_grow_with_what_is_needed_between_their_bounds():
    mib = 1024 * 1024
    assert [pack.target_for(needed) // mib for needed in (1, 2, 3, 10, 16, 20)] == [
        8, 8, 12, 40, 64, 64,
    ]  # fmt: skip


def test_a_padded_pack_shows_no_run_of_zeros():
    data = a_pack(random.Random(1).randbytes(40_000)).data
    assert bytes(8) not in data


def framed(table: bytes, chunks: bytes, trailer_offset: int | None = None) -> bytes:
    """A pack as only its owner could seal it, with whatever table."""
    offset = len(chunks)
    claimed = offset if trailer_offset is None else trailer_offset
    size = offset + 2 * formats.SEALED_OVERHEAD + 16 + len(table)
    table += bytes(pack.padme(size) - size)
    bound = offset.to_bytes(8, "big")
    trailer = b"CVPK\x01\x00\x00\x00" + claimed.to_bytes(8, "big")
    key = KEYS.content_key
    return b"".join(
        (
            chunks,
            seal.seal_blob(key, formats.SEAL_PACK_TABLE, bound, table, NONCE),
            seal.seal_blob(key, formats.SEAL_PACK_TRAILER, b"", trailer, b"t" * 24),
        )
    )


def row(name: bytes, length: int) -> bytes:
    return name * 32 + length.to_bytes(4, "big")


def test_the_hand_made_pack_of_these_tests_is_read():
    data = framed(b"\x00\x00\x00\x01" + row(b"a", 100), bytes(100))
    assert pack.read_pack_table(KEYS, data) == (formats.PackEntry(ChunkId(b"a" * 32), 0, 100),)


@pytest.mark.parametrize(
    ("table", "why"),
    [
        (b"", "impossible number"),
        (b"\x00\x00\x00\x00", "impossible number"),
        (b"\xff\xff\xff\xff" + row(b"a", 100), "impossible number"),
        (b"\x00\x00\x00\x02" + row(b"a", 100), "impossible number|cannot have 0"),
        (b"\x00\x00\x00\x01" + row(b"a", 99), "does not cover"),
        (b"\x00\x00\x00\x01" + row(b"a", 40), "cannot have 40"),
        (b"\x00\x00\x00\x02" + row(b"a", 50) * 2, "twice"),
        (b"\x00\x00\x00\x01" + row(b"a", 100) + b"\x01", "padding"),
    ],
)
def test_an_impossible_table_is_refused_however_well_it_is_sealed(table, why):
    with pytest.raises(FormatError, match=why):
        pack.read_pack_table(KEYS, framed(table, bytes(100)))


def test_a_trailer_that_points_elsewhere_is_refused():
    table = b"\x00\x00\x00\x01" + row(b"a", 100)
    for offset in (0, 99, 101, 10**6):
        with pytest.raises(FormatError):
            pack.read_pack_table(KEYS, framed(table, bytes(100), offset))
