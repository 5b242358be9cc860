from __future__ import annotations

import contextlib
import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunking import formats, merkle
from chunking.formats import FormatError


def leaves_of(count: int) -> list[bytes]:
    return [number.to_bytes(32, "big") for number in range(count)]


def h(person: bytes, data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=32, person=person).digest()


def test_the_shape_is_that_of_rfc_6962():
    a, b, c, d, e = leaves_of(5)

    def node(left: bytes, right: bytes) -> bytes:
        return h(b"covey node", left + right)

    assert merkle.root([a]) == a
    assert merkle.root([a, b, c]) == node(node(a, b), c)
    assert merkle.root([a, b, c, d, e]) == node(node(node(a, b), node(c, d)), e)


def test_leaves_and_nodes_are_hashed_apart():
    assert merkle.leaf_hash(b"x" * 64) == h(b"covey leaf", b"x" * 64)
    assert merkle.leaf_hash(b"x" * 64) != merkle.root([b"x" * 32, b"x" * 32])


def test_a_payload_is_hashed_in_blocks_the_last_may_be_short():
    payload = b"a" * formats.BLOCK_BYTES + b"b" * formats.BLOCK_BYTES + b"c"
    assert merkle.leaf_hashes(payload) == [
        h(b"covey leaf", b"a" * 65_536),
        h(b"covey leaf", b"b" * 65_536),
        h(b"covey leaf", b"c"),
    ]
    assert [merkle.leaf_count(length) for length in (1, 65_536, 65_537)] == [1, 1, 2]


def test_every_range_of_every_small_tree_is_proven():
    for count in range(1, 18):
        leaves = leaves_of(count)
        root = merkle.root(leaves)
        for first in range(count):
            for length in range(1, count - first + 1):
                proof = merkle.range_proof(leaves, first, length)
                part = leaves[first : first + length]
                assert merkle.root_from_range(count, first, part, proof) == root


@given(st.data())
def test_a_proof_fits_nothing_but_its_own_range(data):
    count = data.draw(st.integers(2, 200), "count")
    leaves = leaves_of(count)
    root = merkle.root(leaves)
    first = data.draw(st.integers(0, count - 1), "first")
    length = data.draw(st.integers(1, count - first), "length")
    part = leaves[first : first + length]
    proof = merkle.range_proof(leaves, first, length)
    assert merkle.root_from_range(count, first, part, proof) == root
    other = data.draw(st.integers(0, count - length), "other")
    if other != first:
        with contextlib.suppress(FormatError):
            assert merkle.root_from_range(count, other, part, proof) != root
    for wrong in ([*proof, root], proof[:-1] if proof else [root]):
        with pytest.raises(FormatError, match="proof is too"):
            merkle.root_from_range(count, first, part, wrong)


def test_a_changed_block_or_proof_gives_another_root():
    payload = random.Random(1).randbytes(4 * 65_536)
    leaves = merkle.leaf_hashes(payload)
    root = merkle.root(leaves)
    proof = merkle.range_proof(leaves, 1, 2)
    data = payload[65_536 : 3 * 65_536]
    merkle.verify_range(root, 4, 1, data, proof)
    damaged = bytearray(data)
    damaged[70_000] ^= 1
    with pytest.raises(FormatError, match="not the bytes"):
        merkle.verify_range(root, 4, 1, damaged, proof)
    with pytest.raises(FormatError, match="not the bytes"):
        merkle.verify_range(root, 4, 1, data, [proof[1], proof[0]])
    with pytest.raises(FormatError, match="wrong length"):
        merkle.verify_range(root, 4, 1, data, [proof[0], b"short"])


@pytest.mark.parametrize(("first", "count"), [(-1, 1), (0, 0), (0, 6), (5, 1), (3, 3), (0, -1)])
def test_ranges_outside_of_the_tree_are_refused(first, count):
    with pytest.raises(FormatError, match="not in the share"):
        merkle.range_proof(leaves_of(5), first, count)


def test_a_tree_needs_a_leaf():
    with pytest.raises(FormatError):
        merkle.root([])
    with pytest.raises(FormatError):
        merkle.verify_range(b"r" * 32, 0, 0, b"", [])


def test_a_proof_is_short():
    leaves = leaves_of(1024)
    assert len(merkle.range_proof(leaves, 500, 1)) == 10
    assert merkle.range_proof(leaves, 0, 1024) == []
