from __future__ import annotations

import hashlib
import itertools
import random
import subprocess
import sys

import pytest
from fastcdc.fastcdc_py import fastcdc_py
from hypothesis import given, settings
from hypothesis import strategies as st

from chunking import chunker, formats

MIB = 1024 * 1024
SEEDED = random.Random(2026).randbytes(24 * MIB)


def blocks_of(data: bytes, size: int) -> list[bytes]:
    return [data[begin : begin + size] for begin in range(0, len(data), size)]


def test_cut_points_stay_where_they_are():
    # Other cuts would make every backup ship everything anew. This must never change.
    lengths = chunker.cut_lengths(SEEDED)
    digest = hashlib.sha256(",".join(map(str, lengths)).encode()).hexdigest()
    assert (len(lengths), digest) == CUTS


def test_the_compiled_path_is_in_use_and_cuts_as_the_slow_one_does():
    assert chunker.COMPILED
    data = SEEDED[: 3 * MIB]
    slow = fastcdc_py(data, formats.CHUNK_MIN, formats.CHUNK_AVG, formats.CHUNK_MAX)
    assert chunker.cut_lengths(data) == [chunk.length for chunk in slow]


def test_without_compiled_code_the_slow_path_is_used_and_nothing_is_printed():
    program = (
        "import sys; sys.modules['fastcdc.fastcdc_cy'] = None\n"
        "from chunking import chunker\n"
        "assert not chunker.COMPILED\n"
        "assert sum(chunker.cut_lengths(bytes(600_000))) == 600_000\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("size", [65_536, MIB, 5 * MIB + 3, 24 * MIB])
def test_a_stream_is_cut_exactly_like_the_whole(size):
    chunks = list(chunker.split_stream(blocks_of(SEEDED, size)))
    assert [len(chunk) for chunk in chunks] == chunker.cut_lengths(SEEDED)
    assert b"".join(chunks) == SEEDED


@settings(max_examples=15)
@given(st.lists(st.integers(0, len(SEEDED)), max_size=30), st.integers(0, len(SEEDED)))
def test_a_stream_is_cut_alike_however_it_arrives(cuts, end):
    edges = [0, *sorted(cut for cut in cuts if cut < end), end]
    view = memoryview(SEEDED)
    blocks = (bytes(view[a:b]) for a, b in itertools.pairwise(edges))
    lengths = [len(chunk) for chunk in chunker.split_stream(blocks)]
    assert lengths == chunker.cut_lengths(view[:end])


@pytest.mark.parametrize("filler", [b"\x00", b"ab"])
def test_a_monotonous_stream_is_cut_like_the_whole(filler):
    data = filler * (20 * MIB // len(filler))
    chunks = list(chunker.split_stream(blocks_of(data, 3 * MIB)))
    assert [len(chunk) for chunk in chunks] == chunker.cut_lengths(data)
    assert max(map(len, chunks)) <= formats.CHUNK_MAX


@pytest.mark.parametrize("size", [1, 1000, formats.CHUNK_MIN - 1, formats.CHUNK_MIN])
def test_a_small_file_is_one_chunk(size):
    data = SEEDED[:size]
    assert chunker.cut_lengths(data) == [size]
    assert list(chunker.split_stream(blocks_of(data, 100_000))) == [data]


def test_nothing_has_no_chunks():
    assert chunker.cut_lengths(b"") == []
    assert list(chunker.split_stream([])) == list(chunker.split_stream([b"", b""])) == []


def test_sizes_are_within_their_bounds_and_near_the_average():
    lengths = chunker.cut_lengths(SEEDED)
    assert all(formats.CHUNK_MIN <= length <= formats.CHUNK_MAX for length in lengths[:-1])
    assert MIB // 2 < len(SEEDED) // len(lengths) < 2 * MIB


def test_a_stream_is_not_read_ahead_without_bound():
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += MIB
            yield SEEDED[:MIB]

    stream = chunker.split_stream(endless())
    given_out = 0
    for _ in range(100):
        given_out += len(next(stream))
        assert taken - given_out <= 18 * MIB
    stream.close()


@pytest.mark.slow
def test_a_byte_inserted_at_the_start_of_64_mib_changes_at_most_3_chunks():
    data = random.Random(64).randbytes(64 * MIB)

    def chunks_of(*parts: bytes) -> set[bytes]:
        return {hashlib.blake2b(chunk).digest() for chunk in chunker.split_stream(parts)}

    before, after = chunks_of(data), chunks_of(b"!", data)
    assert len(before) > 40
    assert len(after - before) <= 3
    assert len(before - after) <= 3


@settings(max_examples=10)
@given(st.integers(0, len(SEEDED)), st.binary(min_size=1, max_size=10))
def test_an_insertion_anywhere_changes_few_chunks(at, inserted):
    before = set(chunker.split_stream([SEEDED]))
    after = set(chunker.split_stream([SEEDED[:at], inserted, SEEDED[at:]]))
    assert len(after - before) <= 4


CUTS = (25, "fe0d9dba44a9134c8cb0580649ddb40ae39c57f66f42bec30f8fbb116ba2da08")
