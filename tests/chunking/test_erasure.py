"""The facts of zfec that the design stands on, and the fences around it."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunking import erasure, formats
from chunking.erasure import Span
from chunking.formats import FormatError


def a_pack(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@given(st.data())
def test_any_needed_shares_rebuild_the_pack(data):
    needed = data.draw(st.integers(1, 20), "needed")
    total = data.draw(st.integers(needed, 24), "total")
    pack = data.draw(st.binary(min_size=1, max_size=400), "pack")
    chosen = data.draw(st.permutations(range(total)), "order")[:needed]
    payloads = dict(zip(chosen, erasure.split(pack, needed, chosen), strict=True))
    assert erasure.join(payloads, needed, len(pack)) == pack


def test_each_choice_of_3_from_7_shares_rebuilds_the_pack():
    pack = a_pack(100_001)
    payloads = dict(enumerate(erasure.split(pack, 3, range(7))))
    for chosen in itertools.combinations(range(7), 3):
        assert erasure.join({number: payloads[number] for number in chosen}, 3, len(pack)) == pack


def test_more_shares_than_needed_do_no_harm():
    pack = a_pack(1000)
    payloads = dict(enumerate(erasure.split(pack, 3, range(9))))
    assert erasure.join(payloads, 3, len(pack)) == pack


@pytest.mark.parametrize("needed", [1, 2, 3, 7, 100, 255])
def test_the_first_shares_are_plain_slices_of_the_pack(needed):
    pack = a_pack(10_000)
    payloads = erasure.split(pack, needed, range(needed))
    joined = b"".join(payloads)
    assert joined[: len(pack)] == pack
    assert not any(joined[len(pack) :])
    assert {len(payload) for payload in payloads} == {erasure.payload_length_of(len(pack), needed)}


@pytest.mark.parametrize("needed", [1, 2, 3, 10])
def test_a_share_is_the_same_however_many_others_are_made(needed):
    pack = a_pack(5000)
    all_of_them = erasure.split(pack, needed, range(256))
    for number in (0, needed - 1, needed, needed + 1, 40, 254, 255):
        assert erasure.split(pack, needed, [number]) == [all_of_them[number]]
    for total in (needed + 1, needed + 5, 20):
        assert erasure.split(pack, needed, range(total)) == all_of_them[:total]


@given(st.data())
def test_the_same_range_of_any_shares_rebuilds_that_range(data):
    needed = data.draw(st.integers(1, 10), "needed")
    pack = a_pack(data.draw(st.integers(needed, 3000), "size"))
    payloads = erasure.split(pack, needed, range(needed + 6))
    size = len(payloads[0])
    begin = data.draw(st.integers(0, size - 1), "begin")
    end = data.draw(st.integers(begin + 1, size), "end")
    chosen = data.draw(st.permutations(range(needed + 6)), "order")[:needed]
    columns = {number: payloads[number][begin:end] for number in chosen}
    slices = erasure.join_range(columns, needed)
    assert slices == [payloads[number][begin:end] for number in range(needed)]


def test_a_lost_share_is_made_again_byte_by_byte_from_others():
    pack = a_pack(77_777)
    original = erasure.split(pack, 4, range(10))
    rebuilt = erasure.join({number: original[number] for number in (9, 2, 7, 5)}, 4, len(pack))
    assert erasure.split(rebuilt, 4, [3, 8]) == [original[3], original[8]]


def test_numbers_come_back_in_the_order_asked_for():
    pack = a_pack(999)
    all_of_them = erasure.split(pack, 3, range(8))
    assert erasure.split(pack, 3, [7, 0, 5, 2]) == [all_of_them[number] for number in (7, 0, 5, 2)]
    assert erasure.split(pack, 3, []) == []


@pytest.mark.parametrize("numbers", [[0, 0, 1], [5, 5, 6], [5, 4, 256], [-1, 0, 1]])
def test_numbers_that_hang_or_fool_zfec_are_refused_before_it_sees_them(numbers):
    with pytest.raises(FormatError, match="number"):
        erasure.split(a_pack(30), 3, numbers)
    columns = dict.fromkeys(numbers, b"column")
    if len(columns) == len(numbers):
        with pytest.raises(FormatError, match="number"):
            erasure.join_range(columns, 3)


def test_too_few_or_unequal_shares_are_refused():
    pack = a_pack(300)
    payloads = dict(enumerate(erasure.split(pack, 3, range(6))))
    with pytest.raises(FormatError, match="3 shares are needed"):
        erasure.join({0: payloads[0], 5: payloads[5]}, 3, 300)
    for wrong in (payloads[1][:-1], payloads[1] + b"x", b""):
        with pytest.raises(FormatError, match="length"):
            erasure.join({**payloads, 1: wrong}, 3, 300)
        with pytest.raises(FormatError, match="length"):
            erasure.join_range({0: payloads[0], 1: wrong, 5: payloads[5]}, 3)


@pytest.mark.parametrize(("needed", "length"), [(0, 10), (256, 10), (-1, 10), (3, 0), (3, -1)])
def test_impossible_sizes_are_refused(needed, length):
    with pytest.raises(FormatError, match="cannot"):
        erasure.join({0: b"a", 1: b"b", 2: b"c"}, needed, length)
    if length > 0:
        with pytest.raises(FormatError, match="cannot need"):
            erasure.join_range({0: b"a", 1: b"b", 2: b"c"}, needed)


def test_a_pack_beyond_the_limit_is_refused():
    with pytest.raises(FormatError, match="cannot have"):
        erasure.payload_length_of(formats.PACK_BYTES_MAX + 1, 3)


def test_padding_that_is_not_zero_shows_that_shares_do_not_belong_together():
    one, other = erasure.split(a_pack(10), 3, range(5)), erasure.split(a_pack(12), 3, range(5))
    assert len(one[0]) == len(other[0])
    with pytest.raises(FormatError, match="belong together"):
        erasure.join({0: one[0], 1: one[1], 2: other[2]}, 3, 10)


@given(st.data())
def test_spans_name_exactly_the_bytes_of_a_range(data):
    needed = data.draw(st.integers(1, 8), "needed")
    pack = a_pack(data.draw(st.integers(1, 500), "size"))
    offset = data.draw(st.integers(0, len(pack)), "offset")
    length = data.draw(st.integers(0, len(pack) - offset), "length")
    payloads = erasure.split(pack, needed, range(needed))
    parts = [
        payloads[span.number][span.start : span.start + span.length]
        for span in erasure.spans(offset, length, needed, len(pack))
    ]
    assert b"".join(parts) == pack[offset : offset + length]


def test_a_range_may_lie_in_several_shares():
    assert erasure.spans(90, 130, 3, 300) == [Span(0, 90, 10), Span(1, 0, 100), Span(2, 0, 20)]
    for offset, length in ((-1, 5), (5, -1), (290, 11)):
        with pytest.raises(FormatError, match="not in the pack"):
            erasure.spans(offset, length, 3, 300)
