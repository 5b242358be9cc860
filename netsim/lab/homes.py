"""The kinds of homes, what their routers do, and which pairs can meet directly. Pure.

RFC 4787's words for a NAT: its *mapping* decides which public port a socket gets, one for all
destinations (endpoint-independent, EIM) or another for each (endpoint-dependent, EDM). Its
*filtering* decides who may send back to that port: everybody (EIF), the addresses that were sent to
(ADF), or only the same addresses and ports (APDF).

Two traps that the rules avoid. Without dropping what is new at the router's own door, a friend's
early packet becomes a connection of the router itself and takes the port that the masquerade needs
a moment later; hole punching then fails between homes where it works in the world. And a NAT that
lets strangers in must know where to send them, so each home has one computer.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Literal

Outcome = Literal["direct", "relayed"]


class Kind(enum.StrEnum):
    """A kind of home."""

    FULL_CONE = "full-cone"
    ADDRESS = "address"
    PORT = "port"
    SYMMETRIC = "symmetric"
    NO_UDP = "no-udp"
    WEB_ONLY = "web-only"
    DUAL_STACK = "dual-stack"
    IPV6_ONLY = "ipv6-only"


@dataclass(frozen=True, slots=True)
class Traits:
    """What a home can do."""

    about: str
    mapping: Literal["EIM", "EDM", ""] = ""
    """Empty without UDP over IPv4."""
    filtering: Literal["EIF", "ADF", "APDF", ""] = ""
    ipv4: bool = True
    ipv6: bool = False


TRAITS = {
    Kind.FULL_CONE: Traits(
        "the router lets everybody in: full cone, a forwarded port", "EIM", "EIF"
    ),
    Kind.ADDRESS: Traits("lets in whoever was sent to", "EIM", "ADF"),
    Kind.PORT: Traits("lets in the address and port that were sent to: most homes", "EIM", "APDF"),
    Kind.SYMMETRIC: Traits("another port for each destination: carriers", "EDM", "APDF"),
    Kind.NO_UDP: Traits("no UDP at all: some offices"),
    Kind.WEB_ONLY: Traits("nothing but TCP to ports 80 and 443: hotels, strict offices"),
    Kind.DUAL_STACK: Traits("as `port`, and IPv6 behind a firewall", "EIM", "APDF", ipv6=True),
    Kind.IPV6_ONLY: Traits("IPv6 behind a firewall, and no IPv4", ipv4=False, ipv6=True),
}


def expected(one: Kind, other: Kind, *, relay: bool = True) -> Outcome | None:
    """How two homes meet when everybody does what ICE can do: directly wherever there is a way,
    else through the relay, if there is one."""
    return "direct" if _meet_directly(one, other) else "relayed" if relay else None


def _meet_directly(one: Kind, other: Kind) -> bool:
    near, far = TRAITS[one], TRAITS[other]
    if near.ipv6 and far.ipv6:
        return True  # both fire at once, and each firewall takes it for an answer
    if not near.mapping or not far.mapping:
        return False
    # A symmetric one's port is known only from what arrives, so the other one must let it in.
    return all(
        here.mapping == "EIM" or (there.mapping == "EIM" and there.filtering in ("EIF", "ADF"))
        for here, there in ((near, far), (far, near))
    )


def every_pair() -> list[tuple[Kind, Kind]]:
    """Each kind with itself and each other one."""
    return list(combinations_with_replacement(Kind, 2))


def rules(kind: Kind, computer: str) -> str:
    """A router's rules for nftables: `wan` leads outside, `lan` to the one computer's address."""
    traits = TRAITS[kind]
    found = ""
    if traits.ipv4:
        found += _rules_ipv4(kind, computer)
    if traits.ipv6:
        found += _RULES_IPV6
    return found


def _rules_ipv4(kind: Kind, computer: str) -> str:
    lets_in = kind in (Kind.FULL_CONE, Kind.ADDRESS)
    masquerade = "masquerade fully-random" if kind is Kind.SYMMETRIC else "masquerade"
    forward = {
        Kind.NO_UDP: "meta l4proto udp drop;",
        Kind.WEB_ONLY: "iifname lan meta l4proto != tcp drop; "
        "iifname lan tcp dport != { 80, 443 } drop;",
        Kind.ADDRESS: "iifname lan oifname wan add @peers { ip daddr };",
    }.get(kind, "")
    inward = {
        Kind.FULL_CONE: "iifname wan accept;",
        Kind.ADDRESS: "iifname wan ip saddr @peers accept;",
    }.get(kind, "")
    to_computer = f"iifname wan meta l4proto udp dnat to {computer};" if lets_in else ""
    return f"""
table ip home {{
    set peers {{ type ipv4_addr; flags dynamic,timeout; timeout 2m; }}
    chain arriving {{
        type nat hook prerouting priority -100; {to_computer}
    }}
    chain leaving {{
        type nat hook postrouting priority 100; oifname wan {masquerade};
    }}
    chain door {{
        type filter hook input priority 0; iifname wan ct state new drop;
    }}
    chain through {{
        type filter hook forward priority 0; policy drop;
        {forward}
        iifname lan accept;
        ct state established,related accept;
        {inward}
    }}
}}
"""


_RULES_IPV6 = """
table ip6 home {
    chain through {
        type filter hook forward priority 0; policy drop;
        iifname lan accept;
        ct state established,related accept;
        meta l4proto ipv6-icmp accept;
    }
}
"""
