"""Sessions to friends, on demand: who calls whom, when to give up, and which link counts.

The member with the lower id always offers; the other one says "please call". So two members
who want each other at the same moment still make one connection, and nobody needs to roll back.

    lower                                   higher
      |  <------------- please call  (only when the higher one wants a session)
      |  offer  -------------------->  |
      |  <--------------------- answer |    with the hash of the offer
      |  ==== ICE, DTLS, SCTP =======  |    a new connection for every attempt, 15 s in all
      |  <-- handshake.py, on the channel -->  |
      |  <=========== one shared PeerSession ==========>

A link that comes up replaces the one before it: who offers or asks again has lost its end. A
session without work is closed after a while; a silent one is closed by its own heartbeat. What
stands in a signal is acted upon only when it opens (signals.py) and its sender is a member whose
card verified.

`session` raises Unavailable for all that can go wrong, and the caller decides when to try again.

Not here: what is said on a session (session.py, requests.py), which engine connects (webrtc.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec

from datachannel import signals
from datachannel.credentials import Credentials
from datachannel.engine import Attempt, Engine, EngineLink, LinkInfo, SignalPort
from datachannel.errors import LinkClosed, RemoteError, Unavailable
from datachannel.handshake import NONCE_BYTES, Handshake, HandshakeRefused, Role
from datachannel.link import Handler, PeerSession
from datachannel.signals import AttemptId, Description, Signal, SignalBox
from signaling.messages import IceServer, MemberId

ATTEMPT_S_MAX = 15.0  # aioice itself would take 64 s to give up
CALL_AGAIN_S = 5.0  # "please call" once more, should the first have been lost
IDLE_S = 60.0
LINKS_MAX = 64  # a group has at most 20 holders; beyond it the idlest goes
ATTEMPTS_MAX = 16  # at a time; each costs sockets

_log = logging.getLogger("covey.datachannel")
_P = ParamSpec("_P")


@dataclass(eq=False, slots=True)
class _Try:
    """An attempt under way, from our side."""

    id: AttemptId
    connection: Attempt
    answer: asyncio.Future[Description | Unavailable]
    offer_digest: bytes = b""


@dataclass(eq=False, slots=True)
class _Friend:
    """All that the mesh holds of one member."""

    member: MemberId
    session: PeerSession | None = None
    link: EngineLink | None = None
    wish: asyncio.Future[PeerSession | Unavailable] | None = None  # a session that is waited for
    calling: bool = False  # we are dialling, or asking to be called
    call_id: AttemptId | None = None
    trying: _Try | None = None
    answering: asyncio.Task[None] | None = None
    tries: int = 0


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
        idle_timeout_s: float = IDLE_S,
        attempt_timeout_s: float = ATTEMPT_S_MAX,
    ) -> None:
        self._credentials = credentials
        self._me = credentials.member_id
        self._port = rendezvous
        self._handler = handler
        self._random_bytes = random_bytes
        self._wall_clock = wall_clock
        self._engine = engine
        self._idle_timeout_s = idle_timeout_s
        self._attempt_timeout_s = attempt_timeout_s
        self._box = SignalBox(credentials, random_bytes=random_bytes)
        self._friends: dict[MemberId, _Friend] = {}
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._started = asyncio.Event()
        self._closing = asyncio.Event()
        self._ended = asyncio.Event()
        rendezvous.on_signal = self._on_signal

    async def run(self) -> None:
        """Answer calls and keep the links, until `close` or until it is cancelled. Once."""
        try:
            async with asyncio.TaskGroup() as self._group:
                self._started.set()
                try:
                    await self._close_idle_sessions()
                finally:
                    for task in list(self._tasks):
                        task.cancel()
        finally:
            self._group = None
            for friend in self._friends.values():
                _settle(friend, Unavailable("this member is shutting down"))
            self._ended.set()

    async def close(self) -> None:
        """Close every link, and end `run`."""
        self._closing.set()
        if self._group is not None:
            await self._ended.wait()

    async def session(self, member: MemberId, *, timeout_s: float = 20.0) -> PeerSession:
        """The one session to a member, made if there is none. Raises Unavailable."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._session(member)
        except TimeoutError:
            raise Unavailable("the friend did not answer in time") from None

    def links(self) -> list[LinkInfo]:
        """The links there are and those that are being made, in the order of the members."""
        found = []
        for member, friend in sorted(self._friends.items()):
            session, link = friend.session, friend.link
            if session is not None and link is not None and not session.closed:
                found.append(
                    LinkInfo(
                        member,
                        link.engine,
                        "open",
                        session.bytes_sent,
                        session.bytes_received,
                        session.rtt_s if link.rtt_s is None else link.rtt_s,
                    )
                )
            elif friend.calling or friend.trying is not None:
                found.append(LinkInfo(member, self._engine.name, "connecting", 0, 0, None))
        return found

    # Wanting a session

    async def _session(self, member: MemberId) -> PeerSession:
        friend = self._friend(member)
        if friend.session is not None and not friend.session.closed:
            return friend.session
        await self._started.wait()  # who asks while everything starts up need not ask again
        if self._group is None or self._closing.is_set():
            raise Unavailable("this member is shutting down")
        known = self._port.members().get(member)
        if known is None:
            raise Unavailable("not a member of the group, as far as is known")
        if not known.online:
            raise Unavailable("the friend is not online")
        if friend.wish is None:
            friend.wish = asyncio.get_running_loop().create_future()
        wish = friend.wish
        self._call(friend)
        outcome = await asyncio.shield(wish)
        if isinstance(outcome, Unavailable):
            raise Unavailable(str(outcome))
        return outcome

    def _call(self, friend: _Friend) -> None:
        if friend.calling or self._group is None:
            return
        friend.calling = True
        self._spawn(self._dial if self._me < friend.member else self._ask, friend)

    async def _ask(self, friend: _Friend) -> None:
        """We have the higher id: ask for an offer, until one led somewhere."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._attempt_timeout_s
        call_id = friend.call_id = self._new_id()
        problem = Unavailable("the friend did not call back")
        try:
            while friend.wish is not None and loop.time() < deadline:
                if friend.trying is None:
                    await self._send(friend, call_id, signals.PleaseCall())
                wait_s = min(CALL_AGAIN_S, deadline - loop.time())
                await asyncio.wait([friend.wish], timeout=max(wait_s, 0.0))
        except Unavailable as error:
            problem = error
        finally:
            friend.calling = False
            friend.call_id = None
            _settle(friend, problem)

    async def _dial(self, friend: _Friend) -> None:
        """We have the lower id: offer, and keep the link that comes of it."""
        trying = self._begin(friend, self._new_id(), offerer=True)
        try:
            async with asyncio.timeout(self._attempt_timeout_s):
                description = await trying.connection.local_description()
                offer = self._seal(friend, trying.id, signals.Offer(description))
                trying.offer_digest = offer.digest
                await self._port.send_signal(friend.member, offer.blob)
                answer = await trying.answer
                if isinstance(answer, Unavailable):
                    raise answer
                link = await self._connect(friend, trying, "offerer", description, answer)
        except BaseException as error:
            await self._give_up(friend, trying)
            friend.calling = False
            _settle(friend, _as_unavailable(error))
            if not isinstance(error, Exception):
                raise
            return
        friend.trying = None
        friend.calling = False
        await self._keep(friend, link)

    # Being called

    def _on_signal(self, sender: MemberId, blob: bytes) -> None:
        known = self._port.members().get(sender)
        if known is None or self._group is None:
            return
        try:
            signal = self._box.open(sender, known.card.identity_key, blob, now=self._wall_clock())
        except signals.SignalRefused as error:
            _log.warning("a signal was refused (%s): %s", error.code, error)
            return
        self._act(self._friend(sender), signal)

    def _act(self, friend: _Friend, signal: Signal) -> None:
        payload, trying = signal.payload, friend.trying
        is_ours = trying is not None and trying.id == signal.attempt
        if isinstance(payload, signals.Offer):
            if friend.member < self._me:
                self._take_offer(friend, signal, payload)
        elif isinstance(payload, signals.PleaseCall):
            if self._me < friend.member:
                self._call(friend)
        elif isinstance(payload, signals.Answer):
            if trying and is_ours and payload.offer_digest == trying.offer_digest:
                _resolve(trying.answer, payload.description)
        elif isinstance(payload, signals.Decline):
            declined = Unavailable("the friend has no room for another connection now")
            if trying and is_ours:
                _resolve(trying.answer, declined)
            elif friend.call_id == signal.attempt:
                _settle(friend, declined)
        elif trying and is_ours:
            self._spawn(
                trying.connection.add_candidates, payload.candidates, complete=payload.complete
            )

    def _take_offer(self, friend: _Friend, signal: Signal, offer: signals.Offer) -> None:
        # Only the newest offer counts: who sends another one has given the last one up.
        if friend.answering is not None:
            friend.answering.cancel()
        under_way = sum(1 for other in self._friends.values() if other.trying is not None)
        if under_way >= ATTEMPTS_MAX and friend.trying is None:
            self._spawn(self._send, friend, signal.attempt, signals.Decline("busy"))
            return
        friend.answering = self._spawn(self._answer, friend, signal, offer.description)

    async def _answer(self, friend: _Friend, signal: Signal, remote: Description) -> None:
        trying = self._begin(friend, signal.attempt, offerer=False)
        try:
            async with asyncio.timeout(self._attempt_timeout_s):
                description = await trying.connection.local_description()
                await self._send(friend, trying.id, signals.Answer(signal.digest, description))
                link = await self._connect(friend, trying, "answerer", description, remote)
        except BaseException as error:
            await self._give_up(friend, trying)
            if not isinstance(error, Exception):
                raise
            _as_unavailable(error)
            return
        friend.trying = None
        friend.answering = None
        await self._keep(friend, link)

    # The common part

    def _begin(self, friend: _Friend, attempt: AttemptId, *, offerer: bool) -> _Try:
        connection = self._engine.attempt(
            friend.member,
            offerer=offerer,
            ice_servers=rotated(self._port.ice_servers, friend.tries),
        )
        friend.tries += 1
        friend.trying = _Try(attempt, connection, asyncio.get_running_loop().create_future())
        return friend.trying

    async def _give_up(self, friend: _Friend, trying: _Try) -> None:
        if friend.trying is trying:
            friend.trying = None
        await trying.connection.close()

    async def _connect(
        self, friend: _Friend, trying: _Try, role: Role, local: Description, remote: Description
    ) -> EngineLink:
        link = await trying.connection.connect(remote)
        handshake = Handshake(
            self._credentials,
            remote=friend.member,
            attempt=trying.id,
            role=role,
            local_fingerprint=local.fingerprint,
            remote_fingerprint=remote.fingerprint,
            nonce=self._random_bytes(NONCE_BYTES),
        )
        link.send(handshake.hello())
        while not handshake.done:
            answer = handshake.receive(await link.receive())
            if answer is not None:
                link.send(answer)
        return link

    async def _keep(self, friend: _Friend, link: EngineLink) -> None:
        """Serve a link that was proven, for as long as it lives."""
        session = PeerSession(link, self._handler, initiator=self._me < friend.member)
        before, friend.session, friend.link = friend.session, session, link
        friend.tries = 0
        _settle(friend, session)
        if before is not None:
            self._spawn(before.close)
        self._make_room(keep=friend)
        try:
            await session.run()
        except RemoteError as error:
            _log.warning("a friend broke the protocol, its link is closed: %s", error)
        finally:
            if friend.session is session:
                friend.session = friend.link = None
            await session.close()
            await link.close()

    def _make_room(self, *, keep: _Friend) -> None:
        open_ = [
            (friend.session.last_used, friend.session)
            for friend in self._friends.values()
            if friend.session is not None and friend is not keep
        ]
        if len(open_) >= LINKS_MAX:
            idlest = min(open_, key=lambda one: (one[1].open_streams > 0, one[0]))[1]
            self._spawn(idlest.close)

    async def _close_idle_sessions(self) -> None:
        loop = asyncio.get_running_loop()
        period_s = min(max(self._idle_timeout_s / 4, 0.01), 5.0)
        while not self._closing.is_set():
            for friend in list(self._friends.values()):
                session = friend.session
                if session is None or session.open_streams:
                    continue
                if loop.time() - session.last_used >= self._idle_timeout_s:
                    self._spawn(session.close)
            try:
                async with asyncio.timeout(period_s):
                    await self._closing.wait()
            except TimeoutError:
                continue

    def _friend(self, member: MemberId) -> _Friend:
        return self._friends.setdefault(member, _Friend(member))

    def _new_id(self) -> AttemptId:
        return AttemptId(self._random_bytes(signals.ATTEMPT_BYTES))

    def _seal(
        self, friend: _Friend, attempt: AttemptId, payload: signals.Payload
    ) -> signals.Sealed:
        return self._box.seal(friend.member, attempt, payload, now=self._wall_clock())

    async def _send(self, friend: _Friend, attempt: AttemptId, payload: signals.Payload) -> None:
        sealed = self._seal(friend, attempt, payload)
        await self._port.send_signal(friend.member, sealed.blob)

    def _spawn(
        self, work: Callable[_P, Awaitable[None]], *args: _P.args, **kwargs: _P.kwargs
    ) -> asyncio.Task[None]:
        assert self._group is not None, "only while running"
        task = self._group.create_task(_guarded(work, *args, **kwargs))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _guarded(
    work: Callable[_P, Awaitable[None]], *args: _P.args, **kwargs: _P.kwargs
) -> None:
    """One link's trouble is not the others': a bug is logged and ends nothing else."""
    try:
        await work(*args, **kwargs)
    except (Unavailable, LinkClosed):
        pass
    except Exception:
        _log.exception("a link's task failed")


def rotated(servers: Sequence[IceServer], tries: int) -> list[IceServer]:
    """The same servers, another one first: the engine uses one STUN and one TURN at a time."""
    if not servers:
        return []
    start = tries % len(servers)
    return [*servers[start:], *servers[:start]]


def _settle(friend: _Friend, outcome: PeerSession | Unavailable) -> None:
    wish, friend.wish = friend.wish, None
    if wish is not None:
        _resolve(wish, outcome)


def _resolve(future: asyncio.Future[Any], value: object) -> None:
    if not future.done():
        future.set_result(value)


def _as_unavailable(error: BaseException) -> Unavailable:
    """What to tell who waits; what is not the world's fault is logged too."""
    if isinstance(error, Unavailable):
        return error
    if isinstance(error, TimeoutError):
        return Unavailable("the friend was not reached in time")
    if isinstance(error, HandshakeRefused):
        _log.warning("a connection was refused: %s", error)
        return Unavailable("the other end is not the friend it should be")
    if isinstance(error, LinkClosed | OSError):
        return Unavailable("the connection broke while it was made")
    if isinstance(error, Exception):
        _log.error("connecting failed", exc_info=error)
    return Unavailable("the attempt was given up")
