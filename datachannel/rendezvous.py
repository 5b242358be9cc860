"""The client end of signaling: be in the group, know who is there, pass signals on.

`Rendezvous.run` connects, joins and listens, and connects again whenever the connection breaks:
soon at first, later up to a minute apart, with jitter so that a restarted server is not stormed.
After each connection the whole picture of the group is new.

The server is believed nothing that matters. Cards are sealed by the group and signed by their
member; a card that does not verify is ignored. All that it sends is bounded, in size and in rate,
and none of its words reach a person. It can keep quiet about members or about signals, and
nothing more.

While the server is away the last picture stays: links to members do not need it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from datachannel.credentials import Credentials, MemberCard, seal_card
from datachannel.joining import (
    JoinRefused,
    Servers,
    Silent,
    Unreachable,
    refusal_of,
    replaced_by,
)
from datachannel.moving import move_is_right
from datachannel.relays import RelayBook
from datachannel.roster import Farewell, Friend, Roster
from datachannel.server_socket import Socket, close, connected, receive, send
from datachannel.twins import newer_twin, twin_of
from signaling.messages import (
    PERMANENT_CODES,
    SIGNAL_BYTES_MAX,
    Absent,
    Arrived,
    Departed,
    Failed,
    FromClient,
    IceServer,
    IceServers,
    Joined,
    Leave,
    MemberId,
    Move,
    Moved,
    MoveNotice,
    Outcome,
    Removed,
    RenewIce,
    Report,
    Signal,
    UpdateCard,
)

__all__ = ["Friend", "JoinOutcome", "JoinRefused", "Rendezvous", "Unreachable", "join_once"]

log = logging.getLogger("covey.rendezvous")

RETRY_S_MIN = 0.5
RETRY_S_MAX = 60.0
SILENT_S_MAX = 5.0
"""The same while no answer comes at all: it is our own network that is away, most likely, and
nothing else tells when it is back."""
RETRY_GROWTH = 1.7
STEADY_S = 10.0
"""A connection that held this long was a good one; after others the pauses go on growing."""
REFUSED_S_MIN = 15.0
REFUSED_S_MAX = 600.0
MESSAGES_PER_S_MAX = 500
MESSAGES_BURST_MAX = 5_000
"""More than this no honest server has to say; it must not take the loop from our links."""
ANSWER_TIMEOUT_S = 15.0
RENEW_ANSWER_S = 60.0
"""Before fresh TURN credentials are asked for once more."""
NONCE_BYTES = 24


@dataclass(frozen=True, slots=True)
class JoinOutcome:
    """What `join_once` found: whether the group is new, how many others are in it, to which
    server it has moved, as it says itself, and the last card of this member, if it had one."""

    created: bool
    members: int
    moved: MoveNotice | None = None
    twin: MemberCard | None = None


class Rendezvous:
    """This member's presence in its group. `run` it as one task, once.

    `on_signal` hears the sealed signals of members; `on_change` that anything else here changed.
    """

    def __init__(
        self,
        *,
        servers: Servers,
        credentials: Credentials,
        card: MemberCard,
        create: bool,
        random_bytes: Callable[[int], bytes],
        jitter: random.Random,
    ) -> None:
        self._servers, self._credentials, self._create = servers, credentials, create
        self._random_bytes, self._jitter = random_bytes, jitter
        self.set_card(card)
        self._socket: Socket | None = None
        self._roster = Roster(credentials)
        self._joined = asyncio.Event()
        self._refused: JoinRefused | None = None
        self._has_left = False
        self._hurried = asyncio.Event()
        self._relays = RelayBook()
        self._moves: list[asyncio.Future[MoveNotice]] = []
        self.created = False
        self.on_signal: Callable[[MemberId, bytes], None] = lambda member, blob: None
        self.on_change: Callable[[], None] = lambda: None

    @property
    def connected(self) -> bool:
        """Whether this member is in the group at the server now."""
        return self._socket is not None

    @property
    def ice_servers(self) -> tuple[IceServer, ...]:
        """The STUN and TURN servers for an attempt to connect that begins now."""
        return self._relays.usable(now=_now())

    def members(self) -> Mapping[MemberId, Friend]:
        """All other members whose cards verified, online or not. It stays as it is."""
        return self._roster.friends

    @property
    def farewells(self) -> Mapping[MemberId, Farewell]:
        """The members who have said goodbye."""
        return self._roster.farewells

    def bid_farewell(self, member: MemberId, sealed: bytes) -> bool:
        """A goodbye that was kept or passed on: whether it counts."""
        is_news = member not in self._roster.farewells
        counts = self._roster.bid_farewell(member, sealed)
        if is_news and counts:
            self._tell_of_change()
        return counts

    async def joined(self) -> None:
        """Wait until the group is known. Raises JoinRefused when the server says no for good."""
        await self._joined.wait()
        if self._refused is not None:
            raise self._refused

    async def run(self) -> None:
        """Until cancelled or `leave`. Raises JoinRefused when trying again is pointless."""
        loop = asyncio.get_running_loop()
        retry_s, retry_s_max = RETRY_S_MIN, RETRY_S_MAX
        while not self._has_left:
            wait_s, url = 0.0, None
            try:
                url = await self._servers.address()
                async with connected(url, self._credentials, self._card, self._create) as (
                    socket,
                    welcome,
                ):
                    self._servers.joined(url)
                    began = loop.time()
                    try:
                        await self._stay(url, socket, welcome)
                    finally:
                        if loop.time() - began > STEADY_S:
                            retry_s = RETRY_S_MIN
            except JoinRefused as refused:
                has_another = url is not None and self._servers.failed(url)
                # Another server may know better, but not who we are: that we are elsewhere is so.
                has_another = has_another and refused.code != "replaced"
                if refused.code in PERMANENT_CODES and not has_another:
                    self._refused = refused
                    self._joined.set()
                    raise
                log.warning("the server refuses for now: %s", refused.code)
                wait_s = 0.0 if has_another else _pause_of(refused)
            except Unreachable as error:
                log.info("%s", error)
                if url is not None:  # else there was none to try, which tells nothing new
                    retry_s_max = SILENT_S_MAX if isinstance(error, Silent) else RETRY_S_MAX
                    self._servers.failed(url)
            if not self._has_left:
                # Never sooner than the server asks; else between the half and the whole pause.
                jitter = self._jitter.random()
                await asyncio.sleep(wait_s * (1.0 + jitter))
                if await self._rest(retry_s * (1.0 + jitter) / 2 - wait_s * (1.0 + jitter)):
                    retry_s = RETRY_S_MIN
            retry_s = min(retry_s * RETRY_GROWTH, retry_s_max)

    def hurry(self) -> None:
        """The network may have changed: connect anew at once."""
        self._hurried.set()

    async def _rest(self, pause_s: float) -> bool:
        """Pause; True when that was cut short, since the network has changed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(pause_s, 0.0)):
                await self._hurried.wait()
        was_cut = self._hurried.is_set()
        self._hurried.clear()
        return was_cut

    async def send_signal(self, to: MemberId, blob: bytes) -> None:
        """Pass a sealed signal to a member. Raises Unreachable."""
        if len(blob) > SIGNAL_BYTES_MAX:
            raise ValueError(f"a signal of {len(blob)} bytes")
        await self._send(Signal(to, blob))

    async def report(self, outcome: Outcome) -> None:
        """Tell the server how an attempt at a link ended: that alone, for its counters."""
        with suppress(Unreachable):
            await self._send(Report(outcome))

    def set_card(self, card: MemberCard) -> None:
        """From the next connection on this is the card."""
        self._mine = card
        # Sealed once: the server remembers nothing new when the same card comes again.
        self._card = seal_card(self._credentials, card, self._random_bytes(NONCE_BYTES))

    async def update_card(self, card: MemberCard) -> None:
        """Tell everyone of a new name or offer: now, or with the next connection."""
        self.set_card(card)
        with suppress(Unreachable):
            await self._send(UpdateCard(self._card))

    async def move(self, notice: MoveNotice) -> MoveNotice:
        """Tell the group that it goes to another server; answers the notice that counts now.

        Raises Unreachable when the server does not confirm it.
        """
        told: asyncio.Future[MoveNotice] = asyncio.get_running_loop().create_future()
        self._moves.append(told)
        await self._send(Move(notice))
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await told
        except TimeoutError as error:
            raise Unreachable("the server does not confirm the move") from error

    async def leave(self) -> None:
        """Tell the server that this member leaves for good, and end `run`. Raises Unreachable."""
        await self._send(Leave())
        self._has_left = True
        if self._socket is not None:
            await close(self._socket)

    # --- listening --------------------------------------------------------------------------

    async def _stay(self, url: str, socket: Socket, welcome: Joined) -> None:
        """Until the connection breaks, or another server is to be tried."""
        self._welcome(url, socket, welcome)
        if welcome.moved is not None:
            self._has_moved(url, welcome.moved)
        listening = asyncio.create_task(self._listen(url, socket))
        leaving = asyncio.create_task(self._servers.better(url))
        self._hurried.clear()
        hurried = asyncio.create_task(self._hurried.wait())
        renewing = asyncio.create_task(self._renew_relays())
        tasks = (listening, leaving, hurried, renewing)
        try:
            await asyncio.wait([listening, leaving, hurried], return_when=asyncio.FIRST_COMPLETED)
            for task in (listening, leaving):
                if task.done():
                    task.result()
        finally:
            for one in tasks:
                one.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._gone()

    def _welcome(self, url: str, socket: Socket, welcome: Joined) -> None:
        """Raises JoinRefused when this member is at work on a newer computer."""
        twin = newer_twin(self._credentials, self._mine, welcome.before)
        if twin is not None:
            raise replaced_by(twin)
        self._relays.take(welcome.ice_servers, welcome.ice_lifetime_s, now=_now())
        self.created = self.created or welcome.created
        self._roster.welcome(welcome, is_all=self._servers.knows_all(url))
        self._socket = socket
        self._joined.set()
        self._tell_of_change()

    async def _listen(self, url: str, socket: Socket) -> None:
        loop = asyncio.get_running_loop()
        began, heard = loop.time(), 0
        while True:
            message = await receive(socket)
            heard += 1
            if heard > MESSAGES_BURST_MAX + (loop.time() - began) * MESSAGES_PER_S_MAX:
                raise Unreachable("the server says more than an honest one has to say")
            await asyncio.sleep(0)  # what came in one go must not keep the links waiting
            match message:
                case Signal(sender, blob):
                    if MemberId(sender) in self._roster.friends:
                        self._tell_of_signal(MemberId(sender), blob)
                    continue
                case Arrived() | Departed() | Absent() | Removed():
                    self._roster.take(message)
                case IceServers(servers, lifetime_s):
                    self._relays.take(servers, lifetime_s, now=_now())
                    continue
                case Moved(notice):
                    self._has_moved(url, notice)
                    continue
                case Failed():
                    raise self._refusal(message)
                case _:
                    raise Unreachable("the server speaks out of turn")
            self._tell_of_change()

    def _refusal(self, failed: Failed) -> Exception:
        """An older computer with the same words stops by itself as soon as it sees our card."""
        twin = twin_of(self._credentials, failed.card) if failed.code == "replaced" else None
        if twin is None or twin.order == self._mine.order:
            return refusal_of(failed)
        if twin.order > self._mine.order:
            return replaced_by(twin)
        return Unreachable("an older computer with the same recovery words has joined")

    def _has_moved(self, url: str, notice: MoveNotice) -> None:
        if not move_is_right(self._credentials, notice):
            log.warning("the server shows a move that the group has not signed; ignored")
            return
        for waiting in self._moves:
            if not waiting.done():
                waiting.set_result(notice)
        self._moves.clear()
        self._servers.moved(url, notice)

    async def _renew_relays(self) -> None:
        """Ask for fresh credentials in time, as long as the connection lasts."""
        while (at := self._relays.renew_at()) is not None:
            await asyncio.sleep(at - _now())
            if self._relays.renew_at() != at:
                continue
            try:
                await self._send(RenewIce())
            except Unreachable:
                return  # who listens hears of it
            await asyncio.sleep(RENEW_ANSWER_S)

    def _gone(self) -> None:
        self._socket = None
        self._tell_of_change()

    def _tell_of_signal(self, sender: MemberId, blob: bytes) -> None:
        try:
            self.on_signal(sender, blob)
        except Exception:
            log.exception("a signal could not be handled")

    def _tell_of_change(self) -> None:
        try:
            self.on_change()
        except Exception:
            log.exception("a change of the group could not be handled")

    async def _send(self, message: FromClient) -> None:
        if self._socket is None:
            raise Unreachable("the server is not connected")
        await send(self._socket, message)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _pause_of(refused: JoinRefused) -> float:
    """As long as the server asks for, within bounds."""
    # A server that ends tells each of its members another time, and some of them are soon.
    at_least_s = RETRY_S_MIN if refused.code == "restarting" else REFUSED_S_MIN
    return min(max(refused.retry_after_s, at_least_s), REFUSED_S_MAX)


async def try_server(
    url: str, credentials: Credentials, card: MemberCard, *, random_bytes: Callable[[int], bytes]
) -> None:
    """Find out whether a server takes the group: join, and leave for good. With an identity that
    nobody else has. Raises JoinRefused, Unreachable."""
    sealed = seal_card(credentials, card, random_bytes(NONCE_BYTES))
    async with connected(url, credentials, sealed, True) as (socket, _):
        await send(socket, Leave())


async def join_once(
    url: str,
    credentials: Credentials,
    card: MemberCard,
    create: bool,
    *,
    random_bytes: Callable[[int], bytes] = os.urandom,  # noqa: TID251 - it seals one card
) -> JoinOutcome:
    """Join, and end the connection. Raises JoinRefused, Unreachable."""
    sealed = seal_card(credentials, card, random_bytes(NONCE_BYTES))
    async with connected(url, credentials, sealed, create) as (_, welcome):
        moved = welcome.moved
        if moved is not None and not move_is_right(credentials, moved):
            moved = None
        twin = twin_of(credentials, welcome.before)
        return JoinOutcome(welcome.created, len(welcome.members), moved, twin)
