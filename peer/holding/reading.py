"""Held shares as they are read: one open file for each request, and proofs without hashing again.

A proof needs the hashes of all blocks of a share. They are computed in one pass with little memory,
and those of the shares that were asked for last are remembered: a restore that asks for a thousand
small ranges of one share has it hashed once. Only hashes that lead to the share's name are
remembered, so they stay right whatever happens to the file; a share whose hashes lead elsewhere
has rotted, and no part of it can be proved.

Not chosen: a file of hashes beside each share. It would double the number of files that a holder
syncs, lists and deletes, for one pass over 4 MiB at a first range.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chunking import merkle
from chunking.formats import BLOCK_BYTES, ID_BYTES, SHARE_HEADER_BYTES
from chunking.share import share_name
from signaling.messages import MemberId

REMEMBERED_BYTES_MAX = 8 << 20
"""Of hashes: 32 bytes for each 64 KiB, so 16 GB of shares."""
HASH_BYTES = 16 * BLOCK_BYTES
"""Read at a time while hashing."""
TURNS = 16

Key = tuple[MemberId, bytes]


class RottenShare(Exception):
    """The bytes of a held share do not have its name any more."""


@dataclass(slots=True)
class HeldRange:
    """Blocks of a share in an open file: the payload's length, the range's place, its proof."""

    fd: int
    header: bytes
    length: int
    start: int
    size: int
    proof: tuple[bytes, ...] = ()

    def read(self, offset: int, size: int) -> bytes:
        """A part of the range; fewer bytes when the file became shorter. Any thread may."""
        return os.pread(self.fd, size, self.start + offset)

    def close(self) -> None:
        """Call it once, after the last read."""
        os.close(self.fd)


class LeafCache:
    """The hashes of the blocks of shares that were asked for last. Any thread may use it."""

    def __init__(self, bytes_max: int = REMEMBERED_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._leaves: OrderedDict[Key, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._turns = [threading.Lock() for _ in range(TURNS)]

    def get(self, key: Key, compute: Callable[[], list[bytes]]) -> list[bytes]:
        """The leaves of a share. Of requests for one share at a time, one computes them."""
        with self._turns[hash(key) % TURNS]:
            with self._lock:
                packed = self._leaves.get(key)
                if packed is not None:
                    self._leaves.move_to_end(key)
            if packed is not None:
                return [packed[at : at + ID_BYTES] for at in range(0, len(packed), ID_BYTES)]
            leaves = compute()
            self._keep(key, b"".join(leaves))
            return leaves

    def _keep(self, key: Key, packed: bytes) -> None:
        with self._lock:
            self._leaves[key] = packed
            self._bytes += len(packed)
            while self._bytes > self._bytes_max:
                self._bytes -= len(self._leaves.popitem(last=False)[1])


def open_range(path: Path, key: Key, blocks: tuple[int, int], cache: LeafCache) -> HeldRange:
    """(first, count) blocks of the share in a file, all from `first` when the count is 0.

    Raises ValueError for blocks that it does not have, RottenShare, OSError.
    """
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        return _range_in(fd, key, blocks, cache)
    except BaseException:
        os.close(fd)
        raise


def _range_in(fd: int, key: Key, blocks: tuple[int, int], cache: LeafCache) -> HeldRange:
    header = os.pread(fd, SHARE_HEADER_BYTES, 0)
    length = os.fstat(fd).st_size - SHARE_HEADER_BYTES
    total = merkle.leaf_count(length)
    first = blocks[0]
    count = blocks[1] or total - first
    if first == 0 and count == total:
        return HeldRange(fd, header, length, SHARE_HEADER_BYTES, length)
    if count <= 0 or first + count > total:
        raise ValueError("the share does not have these blocks")

    def compute() -> list[bytes]:
        leaves = _leaves_of(fd, length)
        if share_name(header, merkle.root(leaves)) != key[1]:
            raise RottenShare
        return leaves

    proof = merkle.range_proof(cache.get(key, compute), first, count)
    start = first * BLOCK_BYTES
    size = min(count * BLOCK_BYTES, length - start)
    return HeldRange(fd, header, length, SHARE_HEADER_BYTES + start, size, tuple(proof))


def _leaves_of(fd: int, length: int) -> list[bytes]:
    leaves: list[bytes] = []
    for offset in range(0, length, HASH_BYTES):
        data = os.pread(fd, min(HASH_BYTES, length - offset), SHARE_HEADER_BYTES + offset)
        leaves += merkle.leaf_hashes(data)
    return leaves
