"""A Merkle tree over the 64 KiB blocks of a share's payload.

The shape is RFC 6962's: a tree of n leaves splits at the largest power of two below n. Leaves and
nodes are hashed with different tags, so that no node passes for a block.

A range proof is the hashes of the largest subtrees outside of the range, from left to right. It
has exactly one length for a given tree and range, and is refused when it has another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chunking import formats, hashing
from chunking.formats import FormatError

_leaf = hashing.Hasher(formats.HASH_LEAF)
_node = hashing.Hasher(formats.HASH_NODE)


def leaf_count(payload_length: int) -> int:
    """How many blocks a payload has."""
    return -(-payload_length // formats.BLOCK_BYTES)


def leaf_hash(block: bytes | memoryview) -> bytes:
    """The hash of one block."""
    return _leaf(block)


def leaf_hashes(payload: bytes | memoryview) -> list[bytes]:
    """The hashes of a payload's blocks; the last block may be short."""
    view = memoryview(payload)
    step = formats.BLOCK_BYTES
    return [_leaf(view[begin : begin + step]) for begin in range(0, len(view), step)]


def root(leaves: Sequence[bytes]) -> bytes:
    """The hash of a tree with at least one leaf."""
    formats.check(len(leaves) > 0, "a Merkle tree needs a leaf")
    return _root(leaves, 0, len(leaves))


def range_proof(leaves: Sequence[bytes], first: int, count: int) -> list[bytes]:
    """What proves, together with them, the blocks `first` to `first + count - 1`."""
    _check_range(len(leaves), first, count)
    return list(_outside(leaves, 0, len(leaves), first, first + count))


def root_from_range(
    leaf_count: int, first: int, leaves: Sequence[bytes], proof: Sequence[bytes]
) -> bytes:
    """The hash of the whole tree, from some neighbouring leaves and their proof."""
    _check_range(leaf_count, first, len(leaves))
    if any(len(digest) != formats.ID_BYTES for digest in proof):
        raise FormatError("a proof has a hash of the wrong length")
    rest = iter(proof)
    digest = _rebuild(leaves, rest, 0, leaf_count, first, first + len(leaves))
    if next(rest, None) is not None:
        raise FormatError("a proof is too long")
    return digest


def verify_range(
    root: bytes, leaf_count: int, first: int, data: bytes | memoryview, proof: Sequence[bytes]
) -> None:
    """Raise FormatError unless `data` are the blocks from `first` on in the tree of that root.

    The length of the tree's last block is not in its root: who reads it checks that (share.py).
    """
    if root_from_range(leaf_count, first, leaf_hashes(data), proof) != root:
        raise FormatError("these are not the bytes that were stored")


def _check_range(total: int, first: int, count: int) -> None:
    if first < 0 or count < 1 or first + count > total:
        raise FormatError("this range of blocks is not in the share")


def _left_size(size: int) -> int:
    return 1 << ((size - 1).bit_length() - 1)


def _root(leaves: Sequence[bytes], begin: int, end: int) -> bytes:
    if end - begin == 1:
        return leaves[begin]
    middle = begin + _left_size(end - begin)
    return _node(_root(leaves, begin, middle) + _root(leaves, middle, end))


def _outside(
    leaves: Sequence[bytes], begin: int, end: int, first: int, stop: int
) -> Iterator[bytes]:
    if first <= begin and end <= stop:
        return
    if end <= first or stop <= begin:
        yield _root(leaves, begin, end)
        return
    middle = begin + _left_size(end - begin)
    yield from _outside(leaves, begin, middle, first, stop)
    yield from _outside(leaves, middle, end, first, stop)


def _rebuild(
    leaves: Sequence[bytes], proof: Iterator[bytes], begin: int, end: int, first: int, stop: int
) -> bytes:
    if first <= begin and end <= stop:
        return _root(leaves, begin - first, end - first)
    if end <= first or stop <= begin:
        digest = next(proof, None)
        if digest is None:
            raise FormatError("a proof is too short")
        return digest
    middle = begin + _left_size(end - begin)
    left = _rebuild(leaves, proof, begin, middle, first, stop)
    return _node(left + _rebuild(leaves, proof, middle, end, first, stop))
