"""How two members come to a link: offers, answers, "please call", and giving up in time.

The member with the lower id always offers; the other one says "please call". So two members
who want each other at the same moment still make one connection, and nobody needs to roll back.

    lower                                   higher
      |  <------------- please call  (only when the higher one wants a session)
      |  offer  -------------------->  |
      |  <--------------------- answer |    with the hash of the offer
      |  ==== ICE, DTLS, SCTP =======  |    a new connection for every attempt, 15 s in all
      |  <-- handshake.py, on the channel -->  |
      |  <=========== one shared PeerSession ==========>

What stands in a signal is acted upon only when it opens (signals.py) and its sender is a member
whose card verified. Of several offers of a member the newest counts.

Not here: what becomes of a link (mesh.py), which engine connects (engines.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from datachannel import signals
from datachannel.credentials import Credentials
from datachannel.engine import Attempt, Engine, EngineLink, SignalPort
from datachannel.errors import LinkClosed, Unavailable
from datachannel.handshake import NONCE_BYTES, Handshake, HandshakeRefused, Role
from datachannel.link import PeerSession
from datachannel.nearness import is_near
from datachannel.signals import AttemptId, Description, Signal, SignalBox
from datachannel.tasks import Tasks
from signaling.messages import IceServer, MemberId, Outcome

ATTEMPT_S_MAX = 15.0  # aioice itself would take 64 s to give up
CALL_AGAIN_S = 5.0  # "please call" once more, should the first have been lost
WARN_EVERY_S = 60.0
SETTLED_S = 5.0  # a link may open over the relay and move to a direct path after it
ATTEMPTS_MAX = 16  # at a time; each costs sockets

_log = logging.getLogger("covey.datachannel")

Keep = Callable[[MemberId, EngineLink, bool], Awaitable[None]]
"""Serves a link; whether the friend is in our own network."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt came to nothing, for a person; `at` is the loop's time."""

    why: str
    at: float


@dataclass(eq=False, slots=True)
class _Try:
    """An attempt under way, from our side."""

    id: AttemptId
    connection: Attempt
    answer: asyncio.Future[Description | Unavailable]
    offer_digest: bytes = b""
    has_answer: bool = False


@dataclass(eq=False, slots=True)
class _Call:
    """What is going on with one member until there is a link."""

    member: MemberId
    wish: asyncio.Future[PeerSession | Unavailable] | None = None  # a session that is waited for
    calling: bool = False  # we are dialling, or asking to be called
    call_id: AttemptId | None = None
    trying: _Try | None = None
    answering: asyncio.Task[None] | None = None
    tries: int = 0
    failure: Failure | None = None  # of the last attempt, until one succeeds


class Calls:
    """Makes links, on our wish or on a friend's, and hands each proven one to `keep`.

    `keep` serves the link until it ends; it calls `settle` as soon as there is a session.
    """

    def __init__(
        self,
        *,
        credentials: Credentials,
        port: SignalPort,
        random_bytes: Callable[[int], bytes],
        wall_clock: Callable[[], float],
        engine: Engine,
        tasks: Tasks,
        keep: Keep,
        attempt_timeout_s: float = ATTEMPT_S_MAX,
    ) -> None:
        self._credentials = credentials
        self._me = credentials.member_id
        self._port = port
        self._random_bytes = random_bytes
        self._wall_clock = wall_clock
        self._engine = engine
        self._tasks = tasks
        self._keep = keep
        self._attempt_timeout_s = attempt_timeout_s
        self._box = SignalBox(credentials, random_bytes=random_bytes)
        self._calls: dict[MemberId, _Call] = {}
        self._warn_again_at: dict[str, float] = {}
        port.on_signal = self._on_signal

    async def session(self, member: MemberId) -> PeerSession:
        """Call a member and wait for the session. Raises Unavailable."""
        call = self._call_with(member)
        if call.wish is None:
            call.wish = asyncio.get_running_loop().create_future()
        wish = call.wish
        self._begin_to_call(call)
        outcome = await asyncio.shield(wish)
        if isinstance(outcome, Unavailable):
            raise Unavailable(str(outcome))
        return outcome

    def settle(self, member: MemberId, outcome: PeerSession | Unavailable) -> None:
        """Tell everybody who waits for a session to that member."""
        call = self._call_with(member)
        if isinstance(outcome, PeerSession):
            call.tries = 0
            call.failure = None
        wish, call.wish = call.wish, None
        if wish is not None:
            _resolve(wish, outcome)

    def settle_all(self, outcome: Unavailable) -> None:
        """Tell everybody who waits for anybody."""
        for member in self._calls:
            self.settle(member, outcome)

    def under_way(self) -> list[MemberId]:
        """The members to whom a link is being made."""
        return [call.member for call in self._calls.values() if call.calling or call.trying]

    def failures(self) -> dict[MemberId, Failure]:
        """The members to whom the last attempt failed."""
        return {call.member: call.failure for call in self._calls.values() if call.failure}

    # Calling

    def _begin_to_call(self, call: _Call) -> None:
        if not call.calling:
            call.calling = True
            self._tasks.spawn(self._dial if self._me < call.member else self._ask, call)

    async def _ask(self, call: _Call) -> None:
        """We have the higher id: ask for an offer, until one led somewhere."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        deadline = began + self._attempt_timeout_s
        call_id = call.call_id = self._new_id()
        problem = Unavailable("the friend did not call back")
        try:
            while call.wish is not None and loop.time() < deadline:
                if call.trying is None:
                    await self._send(call, call_id, signals.PleaseCall())
                wait_s = min(CALL_AGAIN_S, deadline - loop.time())
                await asyncio.wait([call.wish], timeout=max(wait_s, 0.0))
        except Unavailable as error:
            problem = error
        finally:
            call.calling = False
            call.call_id = None
            if call.wish is not None:
                if call.trying is not None:  # the friend did, and its time is over as well
                    problem = self._problem_of(call.trying, TimeoutError())
                elif call.failure is not None and call.failure.at >= began:
                    problem = Unavailable(call.failure.why)  # of the attempt that it led to
                self._note_failure(call, problem)
            self.settle(call.member, problem)

    async def _dial(self, call: _Call) -> None:
        """We have the lower id: offer, and keep the link that comes of it."""
        trying = None
        try:
            async with asyncio.timeout(self._attempt_timeout_s):
                trying = self._begin(call, self._new_id(), offerer=True)
                description = await trying.connection.local_description()
                offer = self._seal(call, trying.id, signals.Offer(description))
                trying.offer_digest = offer.digest
                await self._port.send_signal(call.member, offer.blob)
                answer = await trying.answer
                if isinstance(answer, Unavailable):
                    raise answer
                link = await self._connect(call, trying, "offerer", description, answer)
        except BaseException as error:
            await self._give_up(call, trying)
            call.calling = False
            problem = self._problem_of(trying, error)
            self._note_failure(call, problem)
            self.settle(call.member, problem)
            if not isinstance(error, Exception):
                raise
            await self._port.report("failed")
            return
        self._tasks.spawn(self._report, link)
        call.trying = None
        call.calling = False
        await self._keep(call.member, link, is_near(description, answer))

    async def _report(self, link: EngineLink) -> None:
        """Tell the server how we met, once the path has settled, or as it was when that is over."""
        first = outcome_of(link)
        await asyncio.sleep(SETTLED_S)
        settled = outcome_of(link)
        await self._port.report(first if settled == "unknown" else settled)

    # Being called

    def _on_signal(self, sender: MemberId, blob: bytes) -> None:
        known = self._port.members().get(sender)
        if known is None or not self._tasks.running:
            return
        try:
            signal = self._box.open(sender, known.card.identity_key, blob, now=self._wall_clock())
        except signals.SignalRefused as error:
            self._warn_of(error)
            return
        self._act(self._call_with(sender), signal)

    def _warn_of(self, refused: signals.SignalRefused) -> None:
        # Whoever carries signals can make thousands of these.
        now = asyncio.get_running_loop().time()
        if now >= self._warn_again_at.get(refused.code, now):
            self._warn_again_at[refused.code] = now + WARN_EVERY_S
            _log.warning("a signal was refused (%s): %s", refused.code, refused)

    def _act(self, call: _Call, signal: Signal) -> None:
        payload, trying = signal.payload, call.trying
        is_ours = trying is not None and trying.id == signal.attempt
        if isinstance(payload, signals.Offer):
            if call.member < self._me:
                self._take_offer(call, signal, payload)
        elif isinstance(payload, signals.PleaseCall):
            if self._me < call.member:
                self._begin_to_call(call)
        elif isinstance(payload, signals.Answer):
            if trying and is_ours and payload.offer_digest == trying.offer_digest:
                _resolve(trying.answer, payload.description)
        elif isinstance(payload, signals.Decline):
            declined = Unavailable("the friend has no room for another connection now")
            if trying and is_ours:
                _resolve(trying.answer, declined)
            elif call.call_id == signal.attempt:
                self._note_failure(call, declined)
                self.settle(call.member, declined)
        elif trying and is_ours:
            self._tasks.spawn(
                trying.connection.add_candidates, payload.candidates, complete=payload.complete
            )

    def _take_offer(self, call: _Call, signal: Signal, offer: signals.Offer) -> None:
        # Who sends another offer has given the last one up.
        if call.answering is not None:
            call.answering.cancel()
        under_way = sum(1 for other in self._calls.values() if other.trying is not None)
        if under_way >= ATTEMPTS_MAX and call.trying is None:
            self._tasks.spawn(self._send, call, signal.attempt, signals.Decline("busy"))
            return
        call.answering = self._tasks.spawn(self._answer, call, signal, offer.description)

    async def _answer(self, call: _Call, signal: Signal, remote: Description) -> None:
        trying = None
        try:
            async with asyncio.timeout(self._attempt_timeout_s):
                trying = self._begin(call, signal.attempt, offerer=False)
                description = await trying.connection.local_description(remote)
                await self._send(call, trying.id, signals.Answer(signal.digest, description))
                link = await self._connect(call, trying, "answerer", description, remote)
        except BaseException as error:
            await self._give_up(call, trying)
            if not isinstance(error, Exception):
                raise
            self._note_failure(call, self._problem_of(trying, error))
            return
        call.trying = None
        call.answering = None
        await self._keep(call.member, link, is_near(description, remote))

    # Both

    def _begin(self, call: _Call, attempt: AttemptId, *, offerer: bool) -> _Try:
        connection = self._engine.attempt(
            call.member,
            offerer=offerer,
            ice_servers=rotated(self._port.ice_servers, call.tries),
        )
        call.tries += 1
        call.trying = _Try(attempt, connection, asyncio.get_running_loop().create_future())
        return call.trying

    def _note_failure(self, call: _Call, problem: Unavailable) -> None:
        call.failure = Failure(str(problem), asyncio.get_running_loop().time())

    def _problem_of(self, trying: _Try | None, error: BaseException) -> Unavailable:
        """What to tell who waits; when the time was over, what it was spent on."""
        if not isinstance(error, TimeoutError) or trying is None:
            return _as_unavailable(error)
        if not trying.has_answer:
            return Unavailable("the friend did not answer the call")
        if any(url.startswith("turn") for one in self._port.ice_servers for url in one.urls):
            return Unavailable("no path to the friend was found, not even through the relay")
        return Unavailable("no direct path to the friend was found, and the server has no relay")

    async def _give_up(self, call: _Call, trying: _Try | None) -> None:
        if trying is not None:
            if call.trying is trying:
                call.trying = None
            await trying.connection.close()

    async def _connect(
        self, call: _Call, trying: _Try, role: Role, local: Description, remote: Description
    ) -> EngineLink:
        trying.has_answer = True
        link = await trying.connection.connect(remote)
        handshake = Handshake(
            self._credentials,
            remote=call.member,
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

    def _call_with(self, member: MemberId) -> _Call:
        return self._calls.setdefault(member, _Call(member))

    def _new_id(self) -> AttemptId:
        return AttemptId(self._random_bytes(signals.ATTEMPT_BYTES))

    def _seal(self, call: _Call, attempt: AttemptId, payload: signals.Payload) -> signals.Sealed:
        return self._box.seal(call.member, attempt, payload, now=self._wall_clock())

    async def _send(self, call: _Call, attempt: AttemptId, payload: signals.Payload) -> None:
        sealed = self._seal(call, attempt, payload)
        await self._port.send_signal(call.member, sealed.blob)


def outcome_of(link: EngineLink) -> Outcome:
    """What the server counts of a link that stands. The end that called reports it."""
    if link.is_relayed is None:
        return "unknown"
    return "relay" if link.is_relayed else "direct"


def rotated(servers: Sequence[IceServer], tries: int) -> list[IceServer]:
    """The same servers, another one first: the engine uses one STUN and one TURN at a time."""
    if not servers:
        return []
    start = tries % len(servers)
    return [*servers[start:], *servers[:start]]


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
