"""A server in memory that carries signals, and an engine in memory that makes links of them.

Faults that a mesh must survive: a signal dropped, delayed, delivered twice; a member that is
listed as online and is not; an attempt that never connects, or connects to somebody else; a link
that breaks at any moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from datachannel.credentials import Credentials, MemberCard
from datachannel.errors import Unavailable
from datachannel.signals import Candidate, Description
from signaling.messages import IceServer, MemberId, Outcome
from tests.support.members import card_of, counted_bytes
from tests.support.memory_link import MemoryLink


@dataclass
class Known:
    card: MemberCard
    online: bool = True


Carry = Callable[[MemberId, MemberId, bytes], list[float]]  # the delays of what is delivered


class Hub:
    """All ports of a group. `carry` decides what happens to each signal."""

    def __init__(self) -> None:
        self.ports: dict[MemberId, Port] = {}
        self.carried: list[tuple[MemberId, MemberId, bytes]] = []
        self.carry: Carry = lambda *_: [0.0]

    def port(self, credentials: Credentials) -> Port:
        port = self.ports[credentials.member_id] = Port(self, credentials)
        return port


class Port:
    """One member's way to the others."""

    def __init__(self, hub: Hub, credentials: Credentials) -> None:
        self._hub = hub
        self._me = credentials.member_id
        self.known = Known(card_of(credentials))
        self.on_signal: Callable[[MemberId, bytes], None] = lambda *_: None
        self.ice_servers: tuple[IceServer, ...] = ()
        self.connected = True
        self.outcomes: list[Outcome] = []

    def members(self) -> dict[MemberId, Known]:
        return {
            member: port.known for member, port in self._hub.ports.items() if member != self._me
        }

    async def report(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    async def send_signal(self, to: MemberId, blob: bytes) -> None:
        if not self.connected:
            raise Unavailable("no connection to the server")
        self._hub.carried.append((self._me, to, blob))
        for delay in self._hub.carry(self._me, to, blob):
            asyncio.get_running_loop().call_later(
                delay, lambda: self._hub.ports[to].on_signal(self._me, blob)
            )


@dataclass
class Air:
    """Where the attempts of all engines meet, by the names in their descriptions."""

    waiting: dict[str, MemoryAttempt] = field(default_factory=dict)


class MemoryAttempt:
    """An attempt in memory. Knobs of its engine make it fail."""

    def __init__(self, engine: MemoryEngine, remote: MemberId, *, offerer: bool) -> None:
        self._engine = engine
        self.offerer = offerer
        self.link = MemoryLink(remote)
        number = len(engine.attempts)
        self._name = f"{engine.salt}{number:08}"
        self._fingerprint = counted_bytes(self._name)(32)
        self._joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def closed(self) -> bool:
        return self.link.closed

    async def local_description(self, offer: Description | None = None) -> Description:
        await asyncio.sleep(self._engine.gather_s)
        setup = "actpass" if self.offerer else "active"
        return Description(
            username=self._name,
            password="p" * 22,
            fingerprint=self._fingerprint,
            setup=setup,  # type: ignore[arg-type]
            candidates=(),
        )

    async def connect(self, remote: Description) -> MemoryLink:
        if self._engine.fails:
            raise Unavailable("no path")
        waiting = self._engine.air.waiting
        other = waiting.pop(remote.username, None)
        if other is None or self._engine.hangs:
            waiting[self._name] = self
            await self._joined
        else:
            self.link.other, other.link.other = other.link, self.link
            other._joined.set_result(None)
        return self.link

    async def add_candidates(self, candidates: Sequence[Candidate], *, complete: bool) -> None:
        pass

    async def close(self) -> None:
        self._engine.air.waiting.pop(self._name, None)
        await self.link.close()


class MemoryEngine:
    """Makes attempts that meet in the same air."""

    name = "memory"

    def __init__(self, air: Air, salt: str) -> None:
        self.air = air
        self.salt = salt
        self.attempts: list[MemoryAttempt] = []
        self.servers: list[list[IceServer]] = []
        self.gather_s = 0.1
        self.fails = False
        self.hangs = False

    def attempt(
        self, remote: MemberId, *, offerer: bool, ice_servers: Sequence[IceServer]
    ) -> MemoryAttempt:
        attempt = MemoryAttempt(self, remote, offerer=offerer)
        self.attempts.append(attempt)
        self.servers.append(list(ice_servers))
        return attempt
