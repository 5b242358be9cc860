"""What a stranger tries on a member, met by the real code; a member succeeds with the same."""

from __future__ import annotations

import random

from chunking.keys import MemberKeys
from netsim.world.outsider import believed, member_of_group, stranger


def test_a_stranger_is_believed_nothing():
    chance = random.Random(1)
    victim = member_of_group(MemberKeys.from_master(b"v" * 32))
    for _ in range(20):
        assert believed(stranger(chance), victim, chance) == []


def test_a_member_is_believed_all_of_the_same():
    chance = random.Random(1)
    victim = member_of_group(MemberKeys.from_master(b"v" * 32))
    member = member_of_group(MemberKeys.from_master(b"m" * 32))
    assert believed(member, victim, chance) == ["a signal", "a handshake"]
