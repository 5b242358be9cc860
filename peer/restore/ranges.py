"""Which blocks of which shares hold a range of a pack, and the range out of them. Pure.

A range lies in one slice or in a few, and the blocks that hold it are proved by the holder with
hashes. A *column* is the same blocks of all shares: of it the wanted slices are read as they are,
or any `needed` shares rebuild them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from chunking.erasure import join_range, payload_length_of, spans
from chunking.formats import BLOCK_BYTES


@dataclass(frozen=True, slots=True)
class Column:
    """Blocks `first` to `first + count - 1`, which have `size` bytes, of the slices `wanted`."""

    first: int
    count: int
    size: int
    wanted: frozenset[int]


def columns_of(offset: int, length: int, needed: int, pack_length: int) -> list[Column]:
    """The columns that hold a range of a pack, each once. Raises FormatError outside of it."""
    payload_length = payload_length_of(pack_length, needed)
    wanted: dict[tuple[int, int], set[int]] = defaultdict(set)
    for span in spans(offset, length, needed, pack_length):
        first = span.start // BLOCK_BYTES
        end = -(-(span.start + span.length) // BLOCK_BYTES)
        wanted[first, end - first].add(span.number)
    return [
        Column(
            first,
            count,
            min(count * BLOCK_BYTES, payload_length - first * BLOCK_BYTES),
            frozenset(numbers),
        )
        for (first, count), numbers in wanted.items()
    ]


def slices_of(column: Column, parts: Mapping[int, bytes], needed: int) -> dict[int, bytes]:
    """The wanted slices' blocks, from themselves or from any `needed` shares' blocks."""
    if column.wanted <= set(parts):
        return {number: parts[number] for number in column.wanted}
    joined = join_range(parts, needed)
    return {number: joined[number] for number in column.wanted}


def cut(
    offset: int, length: int, needed: int, pack_length: int, slices: Mapping[int, bytes]
) -> bytes:
    """The range itself, out of the blocks of all its slices: each is in one column only."""
    pieces: list[bytes] = []
    for span in spans(offset, length, needed, pack_length):
        begin = span.start % BLOCK_BYTES
        pieces.append(slices[span.number][begin : begin + span.length])
    return b"".join(pieces)
