"""Members behind real NATs meet as they should: the kinds of pairs that there are, one each.

`covey sim lab --matrix` tries all pairs.
"""

from __future__ import annotations

import pytest

from netsim.lab.homes import Kind
from netsim.lab.matrix import CONNECT_S_MAX, Meeting, matrix

pytestmark = [pytest.mark.system, pytest.mark.slow]

FEW_BYTES = 1_000_000


def met(*pairs: tuple[Kind, Kind], folder, **how) -> list[Meeting]:
    return list(matrix(pairs, folder, size=FEW_BYTES, **how))


def test_homes_that_can_meet_directly_do_and_others_through_the_relay(tmp_path):
    found = met(
        (Kind.PORT, Kind.PORT),
        (Kind.ADDRESS, Kind.SYMMETRIC),
        (Kind.PORT, Kind.SYMMETRIC),
        folder=tmp_path,
    )
    assert [one.outcome for one in found] == ["direct", "direct", "relayed"]
    assert [one for one in found if not one.is_right] == []


def test_without_udp_members_meet_through_turn_over_tcp_and_over_tls(tmp_path):
    (found,) = met((Kind.WEB_ONLY, Kind.NO_UDP), folder=tmp_path)
    assert found.outcome == "relayed"
    assert found.connect_s < CONNECT_S_MAX


def test_a_home_with_ipv6_alone_meets_one_with_ipv4_through_the_relay(tmp_path):
    (found,) = met((Kind.IPV6_ONLY, Kind.FULL_CONE), folder=tmp_path)
    assert found.outcome == "relayed"


def test_aiortc_alone_finds_the_direct_path_too(tmp_path):
    (found,) = met((Kind.PORT, Kind.ADDRESS), folder=tmp_path, engine="aiortc")
    assert (found.outcome, found.engines) == ("direct", ("aiortc", "aiortc"))


def test_members_that_cannot_meet_are_told_why_in_time(tmp_path):
    (found,) = met((Kind.SYMMETRIC, Kind.PORT), folder=tmp_path, relay=False)
    assert found.outcome is None
    assert found.failure == "no direct path to the friend was found, and the server has no relay"
    assert found.connect_s < CONNECT_S_MAX
