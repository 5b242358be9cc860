"""Which engine makes a link: libdatachannel where it works, aiortc for everything else.

Both speak the same on the wire, so each end chooses for itself, anew for every attempt:

- libdatachannel is taken when it is installed and passed its trial, which is held at the first
  attempt of a run.
- aiortc is taken when TURN is offered over TCP or TLS alone, which libdatachannel lacks; and for
  this attempt still when libdatachannel found no address at all, or when servers were to be asked
  over UDP and none of them answered, so that TURN over TCP or TLS may be the only way out; and when
  this computer has IPv6 alone and its relay IPv4, which is all that TURN servers are asked for.
- After an attempt with libdatachannel that failed, aiortc has its turn with that friend, for ten
  minutes or until an attempt of its own fails.

Not here: making connections (webrtc.py, libdatachannel.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from datachannel import libdatachannel_trial
from datachannel.engine import Attempt, Engine, EngineLink
from datachannel.errors import Unavailable
from datachannel.relays import has_stream_turn, has_udp_turn, is_udp
from datachannel.signals import Candidate, Description
from datachannel.webrtc import AiortcEngine
from signaling.messages import IceServer, MemberId

PLAIN_S: Final = 600.0
"""For so long after libdatachannel failed, or its servers were silent, aiortc is taken at once.
Then it is tried again: networks change, and most failures are those of a friend who has gone."""

_log = logging.getLogger("covey.datachannel")

FindFast = Callable[[], Awaitable[Engine | None]]


async def find_libdatachannel() -> Engine | None:
    """The engine, if it works on this computer."""
    if not await libdatachannel_trial.works(libdatachannel_trial.installed_version()):
        return None
    from datachannel.libdatachannel import LibdatachannelEngine  # compiled, and optional

    return LibdatachannelEngine()


class BestEngine:
    """Chooses between a fast engine that cannot do everything and a plain one that can."""

    def __init__(
        self, *, find_fast: FindFast = find_libdatachannel, plain: Engine | None = None
    ) -> None:
        self.plain = plain or AiortcEngine()
        self._find_fast = find_fast
        self._search: asyncio.Task[Engine | None] | None = None
        self._fast: Engine | None = None
        self._plain_until: dict[MemberId, float] = {}
        self._udp_blocked_until = 0.0

    @property
    def name(self) -> str:
        """Of the engine that most attempts begin with, as far as is known yet."""
        return (self._fast or self.plain).name

    def attempt(
        self, remote: MemberId, *, offerer: bool, ice_servers: Sequence[IceServer]
    ) -> Attempt:
        """A new try to connect. `close` it, or the link that it became."""
        return BestAttempt(self, remote, offerer=offerer, ice_servers=ice_servers)

    async def fast(self) -> Engine | None:
        """The fast engine, if it works here. Looked for once."""
        if self._search is None:
            self._search = asyncio.get_running_loop().create_task(self._look())
        return await asyncio.shield(self._search)

    def fits(self, remote: MemberId, servers: Sequence[IceServer]) -> bool:
        """Whether an attempt is to begin with the fast engine."""
        now = asyncio.get_running_loop().time()
        blocked = now < self._udp_blocked_until
        needs_stream = has_stream_turn(servers) and (blocked or not has_udp_turn(servers))
        return now >= self._plain_until.get(remote, 0.0) and not needs_stream

    def note_silence(self) -> None:
        """No server answered over UDP."""
        self._udp_blocked_until = asyncio.get_running_loop().time() + PLAIN_S

    def note_failure(self, remote: MemberId, *, of_fast: bool) -> None:
        """An attempt failed: the other engine has its turn."""
        if of_fast:
            self._plain_until[remote] = asyncio.get_running_loop().time() + PLAIN_S
        else:
            self._plain_until.pop(remote, None)

    async def _look(self) -> Engine | None:
        try:
            self._fast = await self._find_fast()
        except Exception as error:
            _log.error("the faster link engine could not be loaded", exc_info=error)
        return self._fast


class BestAttempt:
    """One try to connect, of the engine that fits; which one is known after the description."""

    def __init__(
        self,
        engines: BestEngine,
        remote: MemberId,
        *,
        offerer: bool,
        ice_servers: Sequence[IceServer],
    ) -> None:
        self._engines = engines
        self._remote = remote
        self._offerer = offerer
        self._servers = ice_servers
        self._inner: Attempt | None = None
        self._with_fast = False

    async def local_description(self, offer: Description | None = None) -> Description:
        """Find our own addresses, with the engine that can use them. Raises Unavailable."""
        fast = await self._engines.fast()
        if fast is not None and self._engines.fits(self._remote, self._servers):
            self._with_fast = True
            described = await self._describe(fast, offer)
            if described is not None and self._is_enough(described):
                return described
            await self.close()
            self._with_fast = False
        described = await self._describe(self._engines.plain, offer)
        if described is None:
            raise Unavailable("the connection could not be begun")
        return described

    async def connect(self, remote: Description) -> EngineLink:
        """Connect to the other end; raises Unavailable. After `local_description`, once."""
        assert self._inner is not None, "describe first"
        try:
            return await self._inner.connect(remote)
        except (Unavailable, asyncio.CancelledError):  # the caller's timer cancels
            self._engines.note_failure(self._remote, of_fast=self._with_fast)
            raise

    async def add_candidates(self, candidates: Sequence[Candidate], *, complete: bool) -> None:
        """Take addresses of the other end, and the word that there are no more."""
        if self._inner is not None:
            await self._inner.add_candidates(candidates, complete=complete)

    async def close(self) -> None:
        """Give up, or end the link that came of it. May be called many times."""
        if self._inner is not None:
            await self._inner.close()

    async def _describe(self, engine: Engine, offer: Description | None) -> Description | None:
        self._inner = engine.attempt(self._remote, offerer=self._offerer, ice_servers=self._servers)
        try:
            return await self._inner.local_description(offer)
        except Unavailable:
            return None

    def _is_enough(self, described: Description) -> bool:
        """Whether the fast engine has found what this computer can offer."""
        if not described.candidates or _is_cut_off_from_its_relay(described):
            return False
        asked = any(is_udp(url) for server in self._servers for url in server.urls)
        silent = asked and all(one.kind == "host" for one in described.candidates)
        if silent and has_stream_turn(self._servers):
            self._engines.note_silence()
            return False
        return True


def _is_cut_off_from_its_relay(described: Description) -> bool:
    """Whether the relay's address is of a family that this computer has no address of: an IPv4
    relay of a computer with IPv6 alone, which libjuice asks for and then cannot use."""
    relays = {":" in one.address for one in described.candidates if one.kind == "relay"}
    own = {":" in one.address for one in described.candidates if one.kind != "relay"}
    return bool(relays - own)
