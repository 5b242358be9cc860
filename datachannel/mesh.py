"""Sessions to friends, on demand: which link counts, and when it has served its time.

There is one session for each friend, shared by all who want it, in both directions. calls.py
makes the links. A link that comes up replaces the one before it: who offers or asks again has
lost its end. A session without work is closed after a while; a silent one is closed by its own
heartbeat, one that delivers nothing by a watchdog; of too many the idlest goes.

`session` raises Unavailable for all that can go wrong, and the caller decides when to try again.

Not here: what is said on a session (session.py, requests.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from datachannel.calls import ATTEMPT_S_MAX, Calls
from datachannel.credentials import Credentials
from datachannel.engine import Engine, EngineLink, LinkInfo, SignalPort
from datachannel.errors import RemoteError, Unavailable
from datachannel.link import Handler, PeerSession
from datachannel.pace import Pace
from datachannel.tasks import Tasks
from datachannel.throttle import Throttle
from signaling.messages import MemberId

IDLE_S = 60.0
STUCK_S = 180.0
"""Requests that wait for so long without a sign, while heartbeats come, are asked again on another
link. More than a disk that wakes up, and than the lowest limit makes a stream wait."""
IDLE_CHECK_S_MAX = 5.0
LINKS_MAX = 64  # a group has at most 20 holders; beyond it the idlest goes

_log = logging.getLogger("covey.datachannel")


@dataclass(frozen=True, eq=False, slots=True)
class _Open:
    session: PeerSession
    link: EngineLink
    pace: Pace

    def total(self) -> int:
        """Bytes both ways until now."""
        return self.session.bytes_sent + self.session.bytes_received

    def info(self, now: float) -> LinkInfo:
        session, link = self.session, self.link
        return LinkInfo(
            session.remote,
            link.engine,
            "open",
            session.bytes_sent,
            session.bytes_received,
            session.rtt_s if link.rtt_s is None else link.rtt_s,
            link.is_relayed,
            self.pace.per_s(self.total(), now),
        )


class Mesh:
    """The sessions of one member. `run` it in the member's task tree; everything lives inside."""

    def __init__(
        self,
        *,
        credentials: Credentials,
        rendezvous: SignalPort,
        handler: Handler,
        random_bytes: Callable[[int], bytes],
        wall_clock: Callable[[], float],
        engine: Engine,
        throttle: Throttle | None = None,
        idle_timeout_s: float = IDLE_S,
        attempt_timeout_s: float = ATTEMPT_S_MAX,
    ) -> None:
        self._me = credentials.member_id
        self._port = rendezvous
        self._handler = handler
        self._engine = engine
        self._throttle = throttle
        self._idle_timeout_s = idle_timeout_s
        self._tasks = Tasks()
        self._calls = Calls(
            credentials=credentials,
            port=rendezvous,
            random_bytes=random_bytes,
            wall_clock=wall_clock,
            engine=engine,
            tasks=self._tasks,
            keep=self._keep,
            attempt_timeout_s=attempt_timeout_s,
        )
        self._open: dict[MemberId, _Open] = {}
        self._started = asyncio.Event()
        self._closing = asyncio.Event()
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Answer calls and keep the links, until `close` or until it is cancelled. Once."""
        try:
            await self._tasks.run(self._close_idle_sessions())
        finally:
            self._calls.settle_all(Unavailable("this member is shutting down"))
            self._ended.set()

    async def close(self) -> None:
        """Close every link, and end `run`."""
        self._closing.set()
        if self._tasks.running:
            await self._ended.wait()

    async def session(self, member: MemberId, *, timeout_s: float = 20.0) -> PeerSession:
        """The one session to a member, made if there is none. Raises Unavailable."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._session(member)
        except TimeoutError:
            raise Unavailable("the friend did not answer in time") from None

    def check(self) -> None:
        """The network may have changed: replace links that are dead soon, not when they are found
        to be."""
        if self._tasks.running:
            for one in self._open.values():
                self._tasks.spawn(one.session.check)

    def links(self) -> list[LinkInfo]:
        """The links there are, those that are being made, and the members to whom the last attempt
        failed; in the order of the members."""
        now = _now()
        found = {
            member: LinkInfo(
                member, "", "failed", failure=failure.why, failed_s_ago=now - failure.at
            )
            for member, failure in self._calls.failures().items()
        }
        for member in self._calls.under_way():
            before = found.get(member, LinkInfo(member, "", ""))
            found[member] = replace(before, engine=self._engine.name, state="connecting")
        for member, one in self._open.items():
            if not one.session.closed:
                found[member] = one.info(now)
        return [found[member] for member in sorted(found)]

    async def _session(self, member: MemberId) -> PeerSession:
        one = self._open.get(member)
        if one is not None and not one.session.closed:
            return one.session
        await self._started.wait()  # who asks while everything starts up need not ask again
        if not self._tasks.running or self._closing.is_set():
            raise Unavailable("this member is shutting down")
        known = self._port.members().get(member)
        if known is None:
            raise Unavailable("not a member of the group, as far as is known")
        if not known.online:
            raise Unavailable("the friend is not online")
        return await self._calls.session(member)

    async def _keep(self, member: MemberId, link: EngineLink, near: bool) -> None:
        """Serve a link that was proven, for as long as it lives."""
        session = PeerSession(
            link,
            self._handler,
            initiator=self._me < member,
            throttle=self._throttle,
            near=near,
        )
        before = self._open.get(member)
        mine = self._open[member] = _Open(session, link, Pace(_now()))
        self._calls.settle(member, session)
        if before is not None:
            self._tasks.spawn(before.session.close)
        self._make_room(member)
        try:
            await session.run()
        except RemoteError as error:
            _log.warning("a friend broke the protocol, its link is closed: %s", error)
        finally:
            if self._open.get(member) is mine:
                del self._open[member]
            await session.close()
            await link.close()

    def _make_room(self, keep: MemberId) -> None:
        others = [one.session for member, one in self._open.items() if member != keep]
        if len(others) >= LINKS_MAX:
            idlest = min(others, key=lambda one: (one.open_streams > 0, one.last_used))
            self._tasks.spawn(idlest.close)

    async def _close_idle_sessions(self) -> None:
        self._started.set()
        loop = asyncio.get_running_loop()
        period_s = min(max(self._idle_timeout_s / 4, 0.01), IDLE_CHECK_S_MAX)
        while not self._closing.is_set():
            for one in self._open.values():
                session = one.session
                one.pace.note(one.total(), loop.time())
                unused_s = loop.time() - session.last_used
                is_idle = unused_s >= self._idle_timeout_s and not session.open_streams
                if (is_idle or unused_s >= STUCK_S) and not session.closed:
                    self._tasks.spawn(session.close)
            try:
                async with asyncio.timeout(period_s):
                    await self._closing.wait()
            except TimeoutError:
                continue


def _now() -> float:
    return asyncio.get_running_loop().time()
