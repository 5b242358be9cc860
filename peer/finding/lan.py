"""Servers on the local network: which one counts, and whether to run one here. Pure.

Every member of a group must come to the same server without asking anybody. So all of them order
what is announced in the same way: a server that somebody runs on purpose before one that a member's
agent runs for want of any, and then by name, which is random. Two agents that have both begun to
run one see each other, and the one that is second in this order stops.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass

SERVERS_MAX = 16
"""Looked at on one network: anybody can announce any number."""


@dataclass(frozen=True, slots=True)
class LanServer:
    """A server that announces itself. `standing`: it is run on purpose, and stays."""

    name: str
    url: str
    standing: bool


def in_order(servers: Collection[LanServer]) -> list[LanServer]:
    """The same in the order in which each member tries them."""
    return sorted(servers, key=_rank)[:SERVERS_MAX]


def before(own: LanServer, servers: Collection[LanServer]) -> list[LanServer]:
    """Those for which a server of ours has to stop, if they are really there."""
    return [one for one in in_order(servers) if _rank(one) < _rank(own)]


def lan_url(address: str, port: int, *, loopback: bool = False) -> str | None:
    """The URL of an announced server; None for what is no address of a local network.

    Announcements are anybody's word: they must not send a member to servers in the internet, or,
    but in tests (`loopback`), to what listens on its own computer.
    """
    try:
        ip = ipaddress.IPv4Address(address)
    except ValueError:
        return None
    if not 0 < port < 65_536 or ip.is_multicast or ip.is_unspecified or ip.is_reserved:
        return None
    if ip.is_loopback != loopback or not ip.is_private:
        return None
    return f"http://{ip}:{port}"


def _rank(server: LanServer) -> tuple[bool, str]:
    return (not server.standing, server.name)
