"""Who is in our network, by addresses alone."""

from __future__ import annotations

import pytest

from datachannel.nearness import is_near
from datachannel.signals import Candidate, Description


def at(*addresses: str, seen_as: str = "") -> Description:
    found = [Candidate("host", address, 5000, 1, "1") for address in addresses]
    if seen_as:
        found.append(Candidate("srflx", seen_as, 5000, 1, "2"))
    return Description("u" * 4, "p" * 22, b"f" * 32, "active", tuple(found))


@pytest.mark.parametrize(
    ("ours", "theirs", "near"),
    [
        (at("192.168.1.2"), at("192.168.1.9"), True),
        (at("127.0.0.1"), at("127.0.0.1"), True),
        (at("192.168.1.2"), at("192.168.2.2"), False),
        (at("192.168.1.2", seen_as="203.0.113.1"), at("192.168.1.9", seen_as="203.0.113.2"), False),
        (at("192.168.1.2", seen_as="203.0.113.1"), at("192.168.1.9", seen_as="203.0.113.1"), True),
        (at("192.168.1.2", seen_as="203.0.113.1"), at("192.168.1.9"), True),
        (at("2001:db8:1::2"), at("2001:db8:1::3", "10.0.0.1"), True),
        (at("2001:db8:1::2"), at("2001:db8:2::2"), False),
        (at(), at("192.168.1.9"), False),
    ],
)
def test_near_is_who_has_an_address_in_our_network_and_is_not_seen_elsewhere(ours, theirs, near):
    assert is_near(ours, theirs) is near
    assert is_near(theirs, ours) is near
