"""Which friends take part: as many as possible, and who has hardly any room keeps nobody out."""

from __future__ import annotations

import pytest

from peer.backup.taking_part import HARDLY_ANY_BYTES, choose, options
from peer.space.ledger import Account
from peer.upkeep.placement import Candidate
from peer.upkeep.presence import Presence
from signaling.messages import MemberId

GB = 10**9
MB = 10**6


def found_for(rooms: list[int], may_take: int = 10**15):
    candidates = [
        Candidate(MemberId(bytes([at + 1]) * 32), room, 0) for at, room in enumerate(rooms)
    ]
    account = Account(MemberId(b"m" * 32), may_take, 0, 0, 0, may_take)
    return options(account, candidates, Presence())


@pytest.mark.parametrize(
    ("rooms", "wanted", "taking_part"),
    [
        ([100 * GB] * 5, 10 * GB, 5),
        ([100 * GB] * 5, 10**15, 5),  # nothing is enough, so nobody is left out
        ([100 * GB] * 4 + [MB], 10 * GB, 5),  # every pack is safe without the fifth
        ([100 * GB] * 3 + [MB, MB], 10 * GB, 4),
        ([100 * GB] * 3 + [MB, MB], MB, 5),
        ([100 * GB] * 3 + [HARDLY_ANY_BYTES] * 2, 10 * GB, 5),  # they have room for a pack
        ([GB, 5 * MB], 30 * MB, 1),
    ],
)
def test_as_few_as_will_do_are_left_out(rooms: list[int], wanted: int, taking_part: int):
    candidates, room = choose(found_for(rooms), wanted)
    assert len(candidates) == room.code.total == taking_part


def test_nobody_is_left_out_for_want_of_credit():
    candidates, _ = choose(found_for([100 * GB] * 3 + [MB, MB], may_take=3 * MB), 10 * GB)
    assert len(candidates) == 5
