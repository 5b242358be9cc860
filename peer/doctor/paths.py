"""What this computer's network lets through, and what that means for links to friends. Pure.

RFC 5780's way: from one socket several STUN addresses are asked for the address that they see. If
all see the same, the router keeps one public port for the socket, which friends can be told; if
each sees another, it is *symmetric*, and only friends with an open router, or a relay, can help.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from datachannel.mapping import is_outer
from peer.doctor.findings import Finding

Address = tuple[str, int]

_CARRIER = ipaddress.ip_network("100.64.0.0/10")
_ASK_SERVER = "Ask who runs the server to add TURN: docs/operating.md tells how."
_UDP_ADVICE = "Let UDP through in the router or firewall, if it is yours. Else a relay over TLS \
(port 443) is what helps: ask who runs the server."


@dataclass(frozen=True, slots=True)
class StunTried:
    """One STUN server and the address that it saw, None when it was silent."""

    url: str
    seen: Address | None


@dataclass(frozen=True, slots=True)
class TurnTried:
    """One way to a relay; `why` is empty when it gave us an address."""

    url: str
    transport: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class RouterTried:
    """What the router said to a wish for a port: by which protocol and with which address."""

    protocol: str
    outside: str
    why: str = ""


def stun(tried: Sequence[StunTried]) -> Finding:
    """Whether UDP gets out and comes back."""
    about = "STUN"
    if not tried:
        return Finding(
            about,
            "warning",
            "The server names no STUN server, so friends elsewhere cannot be told where you are.",
            "Ask who runs the server to add one: docs/operating.md tells how.",
        )
    answered = [one for one in tried if one.seen is not None]
    if not answered:
        return Finding(
            about,
            "warning",
            "No STUN server answers: this network lets no UDP out, or the servers are down.",
            _UDP_ADVICE,
        )
    silent = [one.url for one in tried if one.seen is None]
    seen = answered[0].seen
    assert seen is not None
    text = f"Friends see this computer at {seen[0]}."
    if silent:
        step = "Tell who runs the server."
        return Finding(about, "warning", f"{text} {', '.join(silent)}: no answer.", step)
    return Finding(about, "ok", text)


def nat(local: Sequence[str], tried: Sequence[StunTried], *, has_relay: bool) -> Finding | None:
    """Which kind of router is on the way; None when nobody could tell."""
    about = "NAT"
    seen = {one.seen for one in tried if one.seen is not None}
    if not seen:
        return None
    hosts = {host for host, _ in seen}
    if hosts <= set(local):
        return Finding(about, "ok", "There is none: this computer has a public address.")
    if len(seen) > 1:
        return Finding(
            about,
            "warning",
            "The router gives each friend another port (symmetric): most links need the relay.",
            "Allow UPnP or NAT-PMP in the router, or forward a port."
            if has_relay
            else f"Allow UPnP or NAT-PMP in the router. {_ASK_SERVER}",
        )
    if sum(one.seen is not None for one in tried) < 2:
        text = "There is a router on the way; of which kind shows only with two STUN addresses."
        return Finding(about, "ok", text)
    return Finding(about, "ok", "The router keeps one port for all friends: links can be direct.")


def turn(tried: Sequence[TurnTried], *, udp_blocked: bool) -> list[Finding]:
    """Whether there is a relay for friends who are not reached directly."""
    about = "TURN"
    if not tried:
        text = "The server offers no relay: friends behind strict routers are not reached."
        if udp_blocked:
            return [Finding(about, "problem", f"{text} Without UDP you reach nobody.", _ASK_SERVER)]
        return [Finding(about, "warning", text, _ASK_SERVER)]
    works = any(not one.why for one in tried)
    findings = []
    for one in tried:
        if not one.why:
            findings.append(Finding(about, "ok", f"{one.url} relays over {one.transport}."))
            continue
        text = f"{one.url} does not relay over {one.transport}: {one.why}."
        level, advice = ("warning", "Another way to the relay works.") if works else ("problem", "")
        advice = advice or "Tell who runs the server, unless your network keeps it from you."
        findings.append(
            Finding(about, "problem" if level == "problem" else "warning", text, advice)
        )
    return findings


def router(tried: RouterTried | None, *, public: bool, wanted: bool) -> Finding | None:
    """Whether the router opens a port on request; None where it does not matter."""
    about = "Router"
    if public:
        return None
    if not wanted:
        return Finding(about, "ok", "It is not asked to open ports: that is turned off.")
    if tried is None or tried.why:
        why = "none answers" if tried is None else tried.why
        return Finding(
            about,
            "ok",
            f"It opens no port on request ({why}). That is common, and links can do without.",
            "Allowing UPnP or NAT-PMP in its settings makes more links direct.",
        )
    text = f"It opens ports on request ({tried.protocol}); its outside address is {tried.outside}."
    try:
        address = ipaddress.ip_address(tried.outside)
    except ValueError:
        return Finding(about, "ok", text)
    if address in _CARRIER:
        text += " The provider shares a public one among customers, so that this helps little."
    elif not is_outer(tried.outside):
        text += " That is no public one: there is another router beyond it."
    return Finding(about, "ok", text)
