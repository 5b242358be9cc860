from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunking import erasure, formats, merkle, pack, share
from chunking.formats import FormatError, PackId, UnknownVersion

OWNER = b"o" * 32
PACK = random.Random(7).randbytes(3 * 200_000 - 11)
SHARES = share.make_shares(PACK, pack.pack_id_of(PACK), owner=OWNER, needed=3, numbers=range(5))
BLOCK = formats.BLOCK_BYTES


def test_a_share_says_what_it_is():
    header = share.decode_header(SHARES[4].header)
    assert header == share.ShareHeader(OWNER, pack.pack_id_of(PACK), 3, 4, len(PACK))
    assert share.payload_length(header) == len(SHARES[4].payload) == 199_997
    assert share.block_count(header) == 4
    assert len(SHARES[4].header) == formats.SHARE_HEADER_BYTES


@given(
    owner=st.binary(min_size=32, max_size=32),
    pack_id=st.binary(min_size=32, max_size=32),
    needed=st.integers(1, 255),
    number=st.integers(0, 255),
    length=st.integers(1, formats.PACK_BYTES_MAX),
)
def test_headers_come_back(owner, pack_id, needed, number, length):
    header = share.ShareHeader(owner, PackId(pack_id), needed, number, length)
    assert share.decode_header(share.encode_header(header)) == header


@pytest.mark.parametrize(
    "header",
    [
        share.ShareHeader(OWNER, PackId(b"p" * 32), 0, 0, 100),
        share.ShareHeader(OWNER, PackId(b"p" * 32), 256, 0, 100),
        share.ShareHeader(OWNER, PackId(b"p" * 32), 3, 256, 100),
        share.ShareHeader(OWNER, PackId(b"p" * 32), 3, -1, 100),
        share.ShareHeader(OWNER, PackId(b"p" * 32), 3, 1, 0),
        share.ShareHeader(OWNER, PackId(b"p" * 32), 3, 1, formats.PACK_BYTES_MAX + 1),
        share.ShareHeader(b"short", PackId(b"p" * 32), 3, 1, 100),
        share.ShareHeader(OWNER, PackId(b"short"), 3, 1, 100),
    ],
)
def test_impossible_headers_are_not_written(header):
    with pytest.raises(FormatError):
        share.encode_header(header)


def test_headers_of_other_things_and_other_versions_are_refused():
    header = SHARES[0].header
    with pytest.raises(FormatError, match="not a share"):
        share.decode_header(b"CVDR" + header[4:])
    with pytest.raises(UnknownVersion, match="version 2"):
        share.decode_header(header[:4] + b"\x02" + header[5:])
    with pytest.raises(FormatError, match="length"):
        share.decode_header(header + b"x")
    with pytest.raises(FormatError, match="damaged"):
        share.decode_header(header[:7] + b"\x01" + header[8:])


def test_every_flipped_bit_of_a_share_changes_its_name():
    small = share.make_shares(
        b"a small pack", PackId(b"p" * 32), owner=OWNER, needed=2, numbers=[2]
    )
    [one] = small
    whole = one.header + one.payload
    for bit in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        header, payload = bytes(damaged[:80]), bytes(damaged[80:])
        assert share.name_of(header, payload) != one.name
        with pytest.raises(FormatError):
            share.verify_range(one.name, header, 0, payload, [])


@given(st.lists(st.integers(0, len(SHARES[3].payload)), max_size=12))
def test_the_name_is_computed_from_pieces_of_any_size(cuts):
    hasher = share.ShareHasher(SHARES[3].header)
    payload = SHARES[3].payload
    for begin, end in itertools.pairwise([0, *sorted(cuts), len(payload)]):
        hasher.update(memoryview(payload)[begin:end])
    assert hasher.finish() == SHARES[3].name
    assert list(hasher.leaves) == merkle.leaf_hashes(payload)


def test_too_many_or_too_few_bytes_are_noticed_as_they_come():
    hasher = share.ShareHasher(SHARES[0].header)
    hasher.update(SHARES[0].payload)
    with pytest.raises(FormatError, match="more bytes"):
        hasher.update(b"x")
    hasher = share.ShareHasher(SHARES[0].header)
    hasher.update(SHARES[0].payload[:-1])
    with pytest.raises(FormatError, match="fewer bytes"):
        hasher.finish()


@given(st.data())
def test_any_range_of_blocks_is_verified_by_the_name_alone(data):
    one = data.draw(st.sampled_from(SHARES))
    leaves = merkle.leaf_hashes(one.payload)
    first = data.draw(st.integers(0, len(leaves) - 1))
    count = data.draw(st.integers(1, len(leaves) - first))
    proof = merkle.range_proof(leaves, first, count)
    part = one.payload[first * BLOCK : (first + count) * BLOCK]
    header = share.verify_range(one.name, one.header, first, part, proof)
    assert share.range_length(header, first, count) == len(part)


def test_a_holder_that_lies_is_found_out():
    one, other = SHARES[3], SHARES[4]
    leaves = merkle.leaf_hashes(one.payload)
    proof = merkle.range_proof(leaves, 1, 1)
    part = one.payload[BLOCK : 2 * BLOCK]
    share.verify_range(one.name, one.header, 1, part, proof)
    other_proof = merkle.range_proof(merkle.leaf_hashes(other.payload), 1, 1)
    lies = [
        (one.header, 1, bytes(BLOCK), proof),  # wrong bytes
        (one.header, 1, part[:-1], proof),  # truncated
        (one.header, 1, part + b"x", proof),  # lengthened
        (one.header, 1, b"", proof),  # nothing
        (one.header, 2, part, proof),  # another place
        (one.header, 9, part, proof),  # no place
        (one.header, 1, part, []),  # no proof
        (one.header, 1, part, proof * 2),  # too much proof
        (other.header, 1, part, proof),  # the header of another share
        (other.header, 1, other.payload[BLOCK : 2 * BLOCK], other_proof),  # another share
        (b"", 1, part, proof),  # no header
    ]
    for header, first, data, evidence in lies:
        with pytest.raises(FormatError):
            share.verify_range(one.name, header, first, data, evidence)


def test_a_share_that_is_shorter_by_part_of_its_last_block_has_another_name():
    one = SHARES[3]
    claimed = share.ShareHeader(OWNER, PackId(one.header[48:]), 3, 3, len(PACK) - 3)
    header = share.encode_header(claimed)
    assert share.payload_length(claimed) == len(one.payload) - 1
    with pytest.raises(FormatError):
        share.verify_range(one.name, header, 0, one.payload[:-1], [])


def test_a_repaired_share_keeps_its_name():
    rebuilt = erasure.join({number: SHARES[number].payload for number in (1, 3, 4)}, 3, len(PACK))
    [again] = share.make_shares(
        rebuilt, pack.pack_id_of(rebuilt), owner=OWNER, needed=3, numbers=[2]
    )
    assert again == SHARES[2]


def test_names_differ_by_owner_number_and_pack():
    names = {
        one.name
        for owner in (OWNER, b"q" * 32)
        for needed in (1, 2)
        for data in (b"pack", b"tack")
        for one in share.make_shares(
            data, pack.pack_id_of(data), owner=owner, needed=needed, numbers=range(4)
        )
    }
    assert len(names) == 2 * 2 * 2 * 4
