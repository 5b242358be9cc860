"""Only members of a group know its announcements, and they are good at one place only."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from peer.finding.beacon import TAG_BYTES, Beacon

PLACE = ("covey-5f", "192.168.1.7", 8123)


def test_who_has_the_groups_key_knows_it_and_nobody_else():
    tag = Beacon(b"k" * 32).tag(*PLACE)
    assert len(tag) == 2 * TAG_BYTES
    assert Beacon(b"k" * 32).is_ours(tag, *PLACE)
    assert not Beacon(b"l" * 32).is_ours(tag, *PLACE)
    assert not Beacon(b"k" * 32).is_ours(None, *PLACE)


def test_a_tag_that_is_repeated_elsewhere_counts_for_nothing():
    beacon = Beacon(b"k" * 32)
    tag = beacon.tag(*PLACE)
    assert not beacon.is_ours(tag, "covey-60", *PLACE[1:])
    assert not beacon.is_ours(tag, PLACE[0], "192.168.1.8", PLACE[2])
    assert not beacon.is_ours(tag, *PLACE[:2], 8124)


@given(st.binary(max_size=64))
def test_no_other_bytes_are_taken_for_a_tag(data: bytes):
    assert not Beacon(b"k" * 32).is_ours(data, *PLACE)
