"""Whether two members are in one network, by what they tell each other of their addresses. Pure."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Final

from datachannel.signals import Description

NETWORK_BITS: Final = {4: 24, 6: 64}
"""How long the common beginning of addresses in one home is, nearly everywhere."""


def is_near(local: Description, remote: Description) -> bool:
    """Whether their own addresses are of one network, and the world does not see two homes.

    Most homes use the same few networks; so when both were told how they are seen from outside, and
    that differs, they are not in one.
    """
    ours, theirs = _seen_as(local), _seen_as(remote)
    if ours and theirs and not ours & theirs:
        return False
    return not _networks(local).isdisjoint(_networks(remote))


def _seen_as(one: Description) -> set[str]:
    return {found.address for found in one.candidates if found.kind == "srflx"}


def _networks(one: Description) -> set[str]:
    addresses = [ip_address(found.address) for found in one.candidates if found.kind == "host"]
    return {
        str(ip_network(f"{address}/{NETWORK_BITS[address.version]}", strict=False))
        for address in addresses
    }
