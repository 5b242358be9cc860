"""What is fetched of a pack holds what is wanted, and no more than it must."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chunking.erasure import spans
from chunking.formats import BLOCK_BYTES, NO_CONTENT, Entry
from peer.restore.batches import ChunkAt, FileJob
from peer.restore.plan import (
    BATCH_BYTES_MAX,
    BATCH_FILES_MAX,
    BATCH_PACKS_BYTES_MAX,
    Part,
    Shape,
    in_batches,
    parts_needed,
    ranges_of,
    worth_ranges,
)

MIB = 1 << 20
SHAPES = st.builds(Shape, needed=st.integers(1, 17), length=st.integers(1, 4 * MIB))


@st.composite
def wishes(draw: st.DrawFn) -> tuple[Shape, list[tuple[int, int]]]:
    shape = draw(SHAPES)
    spans = []
    for _ in range(draw(st.integers(1, 8))):
        offset = draw(st.integers(0, shape.length - 1))
        spans.append((offset, draw(st.integers(1, min(shape.length - offset, 300_000)))))
    return shape, spans


def blocks_of(shape: Shape, span: tuple[int, int]) -> set[tuple[int, int]]:
    """The blocks (slice, number) that these bytes touch."""
    return {
        (part.number, block)
        for part in spans(*span, shape.needed, shape.length)
        for block in range(
            part.start // BLOCK_BYTES, (part.start + part.length - 1) // BLOCK_BYTES + 1
        )
    }


@given(wishes())
def test_ranges_hold_all_that_is_wanted_apart_and_in_order(wish):
    shape, wanted = wish
    ranges = ranges_of(shape, wanted)
    for span in wanted:
        assert any(Part(1, *found).holds(*span) for found in ranges)
    ends = [offset + length for offset, length in ranges]
    assert all(end < begin for end, (begin, _) in zip(ends, ranges[1:], strict=False))
    assert ranges[0][0] >= 0
    assert ends[-1] <= shape.length


@given(wishes())
def test_a_range_is_wider_than_what_is_wanted_only_by_the_blocks_that_travel_anyway(wish):
    shape, wanted = wish
    travelling = {block for span in wanted for block in blocks_of(shape, span)}
    fetched = {block for span in ranges_of(shape, wanted) for block in blocks_of(shape, span)}
    assert fetched == travelling


def test_little_of_a_large_pack_is_fetched_in_ranges_and_all_else_whole():
    large, small = Shape(2, 8 * MIB), Shape(2, 256 << 10)
    assert worth_ranges(large, 128 << 10)
    assert not worth_ranges(large, MIB)
    assert not worth_ranges(small, 64 << 10)


def job(index: int, *chunks: tuple[int, int]) -> FileJob:
    entry = Entry(b"name", 1, 0o644, 0, 0, 0, 1, NO_CONTENT)
    places = [ChunkAt(b"i" * 32, row, 0, length, 0, 8 * MIB) for row, length in chunks]
    return FileJob(index, (b"name",), entry, places)


@given(st.lists(st.lists(st.tuples(st.integers(1, 90), st.integers(1, 3 * MIB)), max_size=4)))
def test_batches_hold_every_job_once_in_order_and_keep_their_bounds(files):
    jobs = [job(index, *chunks) for index, chunks in enumerate(files)]
    batches = list(in_batches(jobs, lambda row: Shape(2, 8 * MIB)))
    assert [job.index for batch in batches for job in batch] == list(range(len(jobs)))
    for batch in batches:
        assert 0 < len(batch) <= BATCH_FILES_MAX
        if len(batch) > 1:
            assert sum(chunk.length for job in batch for chunk in job.chunks) <= BATCH_BYTES_MAX
            assert len({part.row for part in parts_needed(batch)}) * 8 * MIB <= (
                BATCH_PACKS_BYTES_MAX
            )


def test_many_empty_files_are_not_one_batch():
    jobs = [job(index) for index in range(BATCH_FILES_MAX + 1)]
    assert [len(batch) for batch in in_batches(jobs, lambda row: Shape(1, 1))] == [
        BATCH_FILES_MAX,
        1,
    ]
