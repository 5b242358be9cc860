"""Look at everything in turn, and tell. What goes out to the network is handed in (`Probes`).

The order is that of cause and effect: what is said first often explains what comes after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from datachannel.engine import LinkInfo
from datachannel.errors import Unavailable
from peer.doctor import paths, verdicts
from peer.doctor.findings import Finding, as_event, conclusion
from peer.doctor.paths import Address, RouterTried, StunTried, TurnTried
from peer.doctor.verdicts import Disk, FriendCalled, Reached
from peer.member import Emit
from peer.ports import Friend
from peer.service import Event
from signaling.messages import IceServer, MemberId


class Probes(Protocol):
    """What the doctor measures with (`peer.doctor.real`)."""

    async def server(self, url: str) -> Reached: ...

    async def seen_from(
        self, urls: Sequence[str]
    ) -> tuple[Sequence[str], Mapping[str, Sequence[Address | None]]]:
        """(our own addresses, what each STUN server sees), all asked from one socket."""
        ...

    async def why_no_relay(self, server: IceServer, url: str) -> str: ...

    def transport_of(self, url: str) -> str: ...

    async def router(self) -> RouterTried | None: ...

    async def disk(self) -> Disk: ...


@dataclass(frozen=True, slots=True)
class Insight:
    """What a member at work knows, for the doctor."""

    server: str
    """Its address now; `lan` when none was found on the local network."""
    connected: bool
    near_only: bool
    """Connected, but to friends on the local network alone."""
    refusal: str
    ice_servers: Sequence[IceServer]
    friends: Sequence[Friend]
    links: Callable[[], Sequence[LinkInfo]]
    call: Callable[[MemberId], Awaitable[object]]
    """Make a link, if there is none. Raises Unavailable."""
    offer_bytes: int
    used_bytes: int
    maps_ports: bool


async def examine_member(probes: Probes, insight: Insight, emit: Emit) -> Event:
    """All that can be looked at for a member."""
    told = _Told(emit)
    if insight.server != "lan":
        reached = await probes.server(insight.server)
        told.say(verdicts.server(reached))
        told.say(verdicts.clock(reached.clock_ahead_s))
    told.say(
        verdicts.membership(
            insight.server,
            connected=insight.connected,
            near_only=insight.near_only,
            refusal=insight.refusal,
        )
    )
    if insight.connected and not insight.near_only:
        await _look_at_paths(probes, insight.ice_servers, told)
    await _look_at_router(probes, told, maps_ports=insight.maps_ports)
    for finding in verdicts.disk(
        await probes.disk(), offer=insight.offer_bytes, used=insight.used_bytes
    ):
        told.say(finding)
    for finding in verdicts.friends(await _call_friends(insight)):
        told.say(finding)
    return conclusion(told.findings)


async def examine_outside(
    probes: Probes, server: str | None, emit: Emit, *, maps_ports: bool
) -> Event:
    """What can be looked at before joining; `server` is a URL, or None where there is none."""
    told = _Told(emit)
    if server is not None:
        reached = await probes.server(server)
        told.say(verdicts.server(reached))
        told.say(verdicts.clock(reached.clock_ahead_s))
    await _look_at_router(probes, told, maps_ports=maps_ports)
    for finding in verdicts.disk(await probes.disk(), offer=0, used=0):
        told.say(finding)
    return conclusion(told.findings)


class _Told:
    """What has been said until now."""

    def __init__(self, emit: Emit) -> None:
        self.findings: list[Finding] = []
        self.is_public = False
        self._emit = emit

    def say(self, finding: Finding | None) -> None:
        if finding is not None:
            self.findings.append(finding)
            self._emit(as_event(finding))


async def _look_at_paths(probes: Probes, servers: Sequence[IceServer], told: _Told) -> None:
    urls = [url for server in servers for url in server.urls]
    relays = [(one, url) for one in servers for url in one.urls if url.startswith("turn")]
    asked = [url for url in urls if url.startswith("stun:")]
    asked += [url for _, url in relays if probes.transport_of(url) == "UDP"]
    local, seen = await probes.seen_from(asked)
    tried = [StunTried(url, one) for url, found in seen.items() for one in found or [None]]
    told.say(paths.stun(tried))
    told.say(paths.nat(local, tried, has_relay=bool(relays)))
    told.is_public = any(one.seen is not None and one.seen[0] in local for one in tried)
    found = await asyncio.gather(*(probes.why_no_relay(one, url) for one, url in relays))
    results = [
        TurnTried(url, probes.transport_of(url), why)
        for (_, url), why in zip(relays, found, strict=True)
    ]
    udp_blocked = bool(tried) and all(one.seen is None for one in tried)
    for finding in paths.turn(results, udp_blocked=udp_blocked):
        told.say(finding)


async def _look_at_router(probes: Probes, told: _Told, *, maps_ports: bool) -> None:
    tried = await probes.router() if maps_ports and not told.is_public else None
    told.say(paths.router(tried, public=told.is_public, wanted=maps_ports))


async def _call_friends(insight: Insight) -> list[FriendCalled]:
    """Call everybody who is there, all at once."""

    async def called(friend: Friend) -> FriendCalled:
        why = ""
        if friend.online:
            try:
                await insight.call(friend.member)
            except Unavailable as error:
                why = str(error)
        link = next(
            (one for one in insight.links() if one.member == friend.member and one.state == "open"),
            None,
        )
        return FriendCalled(friend.card.name, friend.online, link, why)

    return list(await asyncio.gather(*map(called, insight.friends)))
