"""What the mesh needs of others: an engine that connects, and a way to send signals.

These are interfaces only. `engines.BestEngine` is an engine and `rendezvous.Rendezvous` is a
signal port; tests have others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from datachannel.credentials import MemberCard
from datachannel.link import Link
from datachannel.signals import Candidate, Description
from signaling.messages import IceServer, MemberId, Outcome


class KnownMember(Protocol):
    """What the mesh must know of a member: its verified card, and whether it is there."""

    @property
    def card(self) -> MemberCard: ...
    @property
    def online(self) -> bool: ...


class SignalPort(Protocol):
    """The way to the other members through the server. Rendezvous is one."""

    on_signal: Callable[[MemberId, bytes], None]

    @property
    def ice_servers(self) -> Sequence[IceServer]: ...
    def members(self) -> Mapping[MemberId, KnownMember]:
        """The other members whose cards verified."""

    async def send_signal(self, to: MemberId, blob: bytes) -> None:
        """Hand a sealed signal to the server. Raises Unavailable when there is no way."""

    async def report(self, outcome: Outcome) -> None:
        """Tell the server how an attempt ended, for its counters. Never raises for its sake."""


class EngineLink(Link, Protocol):
    """A Link that knows its round trip, and perhaps its path."""

    @property
    def is_relayed(self) -> bool | None:
        """Whether it goes through a TURN server now; None when the engine does not tell."""

    @property
    def closed(self) -> bool: ...
    @property
    def rtt_s(self) -> float | None: ...


class Attempt(Protocol):
    """One try to connect, of one engine."""

    async def local_description(self, offer: Description | None = None) -> Description:
        """What the other end must know; it takes a few seconds. The answerer has the offer.

        Raises Unavailable.
        """

    async def connect(self, remote: Description) -> EngineLink:
        """Raises Unavailable. The caller has a timer."""

    async def add_candidates(self, candidates: Sequence[Candidate], *, complete: bool) -> None: ...
    def close(self) -> Awaitable[None]:
        """Give up, or end the link that came of it. May be called many times."""


class Engine(Protocol):
    """What makes connections."""

    @property
    def name(self) -> str: ...
    def attempt(
        self, remote: MemberId, *, offerer: bool, ice_servers: Sequence[IceServer]
    ) -> Attempt: ...


@dataclass(frozen=True, slots=True)
class LinkInfo:
    """One line of `covey status`."""

    member: MemberId
    engine: str
    state: str  # "connecting", "open" or "failed"
    bytes_sent: int = 0
    bytes_received: int = 0
    rtt_s: float | None = None
    relayed: bool | None = None
    """Whether it goes through a TURN server; None when that is not known."""
    bytes_per_s: float = 0.0
    """Both directions together, over the last seconds."""
    failure: str = ""
    """Why the last attempt to connect failed; empty after one that did not."""
    failed_s_ago: float = 0.0
