"""What to fetch of which pack, and which files to write together. Pure.

A chunk of a small file may be all that is needed of a large pack. Then only ranges of it are
fetched; but each range is a request to several friends, so that a pack of which much is needed
travels whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from chunking.erasure import payload_length_of
from chunking.formats import BLOCK_BYTES
from peer.restore.batches import FileJob

RANGE_BYTES_MAX = 1 << 20
"""Of a pack of which more is needed than this, the whole is fetched: a megabyte is little time."""
RANGE_PART = 4
"""Of a pack of which more than a quarter is needed, the whole is fetched."""
BATCH_FILES_MAX = 256
BATCH_BYTES_MAX = 4 << 20
"""A batch keeps a worker busy for some 10 ms: long against a pipe's latency, short to wait for."""
BATCH_PACKS_BYTES_MAX = 256 << 20
"""What a batch needs at the same time in the scratch folder; files with more go in pieces."""


class Part(NamedTuple):
    """Bytes of a pack that are fetched together: all of it, or a range."""

    row: int
    offset: int
    length: int

    def holds(self, offset: int, length: int) -> bool:
        """Whether these bytes of the pack are in it."""
        return self.offset <= offset and offset + length <= self.offset + self.length


class Shape(NamedTuple):
    """What must be known of a pack to find a byte of it in its slices."""

    needed: int
    length: int


Span = tuple[int, int]
"""Offset and length."""


def ranges_of(shape: Shape, wanted: Iterable[Span]) -> list[Span]:
    """The ranges that hold all wanted ones, in order, widened to blocks and merged.

    Holders prove whole blocks, so the rest of a block travels anyway.
    """
    merged: list[Span] = []
    for offset, length in sorted(wanted):
        begin, end = _widened(shape, offset, offset + length)
        if merged and begin <= sum(merged[-1]):
            begin, end = merged[-1][0], max(end, sum(merged.pop()))
        merged.append((begin, end - begin))
    return merged


def _widened(shape: Shape, begin: int, end: int) -> tuple[int, int]:
    size = payload_length_of(shape.length, shape.needed)
    in_slice = begin % size
    begin -= in_slice % BLOCK_BYTES
    in_slice = (end - 1) % size + 1
    end += min(-in_slice % BLOCK_BYTES, size - in_slice)
    return begin, min(end, shape.length)


def worth_ranges(shape: Shape, size: int) -> bool:
    """Whether this many bytes of a pack are fetched as ranges."""
    return size * RANGE_PART < shape.length and size < RANGE_BYTES_MAX


def in_batches(
    jobs: Iterable[FileJob], shape_of: Callable[[int], Shape]
) -> Iterator[list[FileJob]]:
    """Jobs in order, cut into batches."""
    batch: list[FileJob] = []
    size, packs = 0, set[int]()
    for job in jobs:
        new = {chunk.row for chunk in job.chunks}
        job_size = sum(chunk.length for chunk in job.chunks)
        if batch and (
            len(batch) == BATCH_FILES_MAX
            or size + job_size > BATCH_BYTES_MAX
            or (new - packs and _weight(packs | new, shape_of) > BATCH_PACKS_BYTES_MAX)
        ):
            yield batch
            batch, size, packs = [], 0, set()
        batch.append(job)
        size += job_size
        packs |= new
    if batch:
        yield batch


def parts_needed(batch: Sequence[FileJob]) -> list[Part]:
    """The parts of packs that a batch needs, in the order in which it does."""
    return list(
        dict.fromkeys(
            Part(chunk.row, chunk.part_offset, chunk.part_length)
            for job in batch
            for chunk in job.chunks
        )
    )


def _weight(rows: set[int], shape_of: Callable[[int], Shape]) -> int:
    return sum(shape_of(row).length for row in rows)
