"""A member's group, as its jobs and its owner see it: who is there, links to them, its server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from datachannel.engine import LinkInfo
from datachannel.link import PeerSession
from datachannel.mesh import Mesh
from datachannel.rendezvous import Friend, JoinRefused, Rendezvous
from datachannel.roster import Farewell
from peer.finding.servers import KnownServers
from peer.finding.spare import SpareServers
from peer.installation import Installation
from signaling.messages import MemberId


class Move(Protocol):
    """Moves the group, or this member alone, to another server."""

    async def __call__(self, url: str, *, alone: bool) -> None: ...


class GroupFriends:
    """Implements `peer.ports.Friends` and `peer.node.Group` over the server and the mesh."""

    def __init__(
        self,
        rendezvous: Rendezvous,
        mesh: Mesh,
        servers: KnownServers,
        spare: SpareServers,
        move: Move,
        installation: Installation,
        keep: Callable[[Installation], Awaitable[None]],
    ) -> None:
        """`keep` writes down that another computer has this member's place."""
        self._rendezvous, self._mesh, self._servers = rendezvous, mesh, servers
        self._spare, self._move = spare, move
        self._installation, self._keep = installation, keep
        self.problem = installation.problem

    def members(self) -> Mapping[MemberId, Friend]:
        """See Friends."""
        return self._rendezvous.members()

    @property
    def farewells(self) -> Mapping[MemberId, Farewell]:
        """Who has said goodbye, with the card that says so."""
        return self._rendezvous.farewells

    def bid_farewell(self, member: MemberId, sealed: bytes) -> bool:
        """A goodbye that was kept or passed on: whether it counts."""
        return self._rendezvous.bid_farewell(member, sealed)

    async def session(self, member: MemberId) -> PeerSession:
        """See Friends."""
        return await self._mesh.session(member)

    def check(self) -> None:
        """The network may have changed: make sure of all connections."""
        self._mesh.check()
        self._rendezvous.hurry()

    @property
    def reached(self) -> bool:
        """See Friends."""
        return self._rendezvous.connected and not self._spare.is_near_only

    @property
    def near_only(self) -> bool:
        """See Group."""
        return self._rendezvous.connected and self._spare.is_near_only

    @property
    def connected(self) -> bool:
        """See Group."""
        return self._rendezvous.connected

    def links(self) -> Sequence[LinkInfo]:
        """See Group."""
        return self._mesh.links()

    @property
    def server(self) -> str:
        """See Group."""
        return self._servers.place.url

    async def move(self, url: str, *, alone: bool) -> None:
        """See Group."""
        await self._move(url, alone=alone)

    async def ready(self, timeout_s: float) -> bool:
        """See Group."""
        with contextlib.suppress(TimeoutError, JoinRefused):
            async with asyncio.timeout(timeout_s):
                await self._rendezvous.joined()
        return self._rendezvous.connected

    def stopped(self) -> str:
        """Why this computer must publish nothing: another one is this member now. Else empty."""
        return self._installation.problem

    async def run(self) -> None:
        """Be in the group until cancelled, or until the server or another computer with the same
        recovery words keeps us out for good."""
        if self.stopped():
            return
        try:
            await self._rendezvous.run()
        except JoinRefused as refused:
            if refused.twin is None:
                self.problem = f"The server does not let this computer in: {refused.text}."
                return
            self._installation = self._installation.superseded(refused.twin.installed)
            self.problem = self._installation.problem
            await self._keep(self._installation)
