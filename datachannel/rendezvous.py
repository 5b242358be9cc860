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
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import aiohttp

from datachannel.credentials import Credentials, MemberCard, seal_card
from datachannel.joining import (
    JoinRefused,
    Unreachable,
    refusal_of,
    signed_join,
    websocket_address,
)
from datachannel.relays import RelayBook
from datachannel.roster import Friend, Roster
from signaling.messages import (
    PERMANENT_CODES,
    SERVER_MESSAGE_BYTES_MAX,
    SIGNAL_BYTES_MAX,
    VERSION,
    Absent,
    Arrived,
    Challenge,
    Departed,
    Failed,
    FromServer,
    IceServer,
    IceServers,
    Join,
    Joined,
    Leave,
    MemberId,
    MessageError,
    Removed,
    RenewIce,
    Signal,
    UpdateCard,
    decode_from_server,
    encode,
)

__all__ = ["Friend", "JoinOutcome", "JoinRefused", "Rendezvous", "Unreachable", "join_once"]

log = logging.getLogger("covey.rendezvous")

CONNECT_TIMEOUT_S = 15.0
JOIN_TIMEOUT_S = 15.0
SEND_TIMEOUT_S = 15.0
CLOSE_TIMEOUT_S = 2.0
HEARTBEAT_S = 20.0
RETRY_S_MIN = 0.5
RETRY_S_MAX = 60.0
RETRY_GROWTH = 1.7
STEADY_S = 10.0
"""A connection that held this long was a good one; after others the pauses go on growing."""
REFUSED_S_MIN = 15.0
REFUSED_S_MAX = 600.0
MESSAGES_PER_S_MAX = 500
MESSAGES_BURST_MAX = 5_000
"""More than this no honest server has to say; it must not take the loop from our links."""
RENEW_ANSWER_S = 60.0
"""Before fresh TURN credentials are asked for once more."""
NONCE_BYTES = 24


@dataclass(frozen=True, slots=True)
class JoinOutcome:
    """What `join_once` found: whether the group is new, and how many others are in it."""

    created: bool
    members: int


class Rendezvous:
    """This member's presence in its group. `run` it as one task, once.

    `on_signal` hears the sealed signals of members; `on_change` that anything else here changed.
    """

    def __init__(
        self,
        *,
        url: str,
        credentials: Credentials,
        card: MemberCard,
        create: bool,
        random_bytes: Callable[[int], bytes],
        jitter: random.Random,
    ) -> None:
        self._url, self._credentials, self._create = url, credentials, create
        self._random_bytes, self._jitter = random_bytes, jitter
        # Sealed once: the server remembers nothing new when the same card comes again.
        self._card = seal_card(credentials, card, random_bytes(NONCE_BYTES))
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._roster = Roster(credentials)
        self._joined = asyncio.Event()
        self._refused: JoinRefused | None = None
        self._has_left = False
        self._relays = RelayBook()
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

    async def joined(self) -> None:
        """Wait until the group is known. Raises JoinRefused when the server says no for good."""
        await self._joined.wait()
        if self._refused is not None:
            raise self._refused

    async def run(self) -> None:
        """Until cancelled or `leave`. Raises JoinRefused when trying again is pointless."""
        loop = asyncio.get_running_loop()
        retry_s = RETRY_S_MIN
        while not self._has_left:
            wait_s = 0.0
            try:
                async with _connected(self._url, self._credentials, self._card, self._create) as (
                    socket,
                    welcome,
                ):
                    began = loop.time()
                    self._welcome(socket, welcome)
                    renewing = asyncio.create_task(self._renew_relays())
                    try:
                        await self._listen(socket)
                    finally:
                        renewing.cancel()
                        await asyncio.wait([renewing])
                        self._gone()
                        if loop.time() - began > STEADY_S:
                            retry_s = RETRY_S_MIN
            except JoinRefused as refused:
                if refused.code in PERMANENT_CODES:
                    self._refused = refused
                    self._joined.set()
                    raise
                log.warning("the server refuses for now: %s", refused.code)
                wait_s = _pause_of(refused)
            except Unreachable as error:
                log.info("%s", error)
            if not self._has_left:
                # Never sooner than the server asks; else between the half and the whole pause.
                jitter = self._jitter.random()
                await asyncio.sleep(max(wait_s * (1.0 + jitter), retry_s * (1.0 + jitter) / 2))
            retry_s = min(retry_s * RETRY_GROWTH, RETRY_S_MAX)

    async def send_signal(self, to: MemberId, blob: bytes) -> None:
        """Pass a sealed signal to a member. Raises Unreachable."""
        if len(blob) > SIGNAL_BYTES_MAX:
            raise ValueError(f"a signal of {len(blob)} bytes")
        await self._send(Signal(to, blob))

    async def update_card(self, card: MemberCard) -> None:
        """Tell everyone of a new name or offer: now, or with the next connection."""
        self._card = seal_card(self._credentials, card, self._random_bytes(NONCE_BYTES))
        with suppress(Unreachable):
            await self._send(UpdateCard(self._card))

    async def leave(self) -> None:
        """Tell the server that this member leaves for good, and end `run`. Raises Unreachable."""
        await self._send(Leave())
        self._has_left = True
        if self._socket is not None:
            await _close(self._socket)

    # --- listening --------------------------------------------------------------------------

    def _welcome(self, socket: aiohttp.ClientWebSocketResponse, welcome: Joined) -> None:
        self._relays.take(welcome.ice_servers, welcome.ice_lifetime_s, now=_now())
        self.created = self.created or welcome.created
        self._roster.welcome(welcome)
        self._socket = socket
        self._joined.set()
        self._tell_of_change()

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        loop = asyncio.get_running_loop()
        began, heard = loop.time(), 0
        while True:
            message = await _receive(socket)
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
                case Failed():
                    raise refusal_of(message)
                case _:
                    raise Unreachable("the server speaks out of turn")
            self._tell_of_change()

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

    async def _send(self, message: Signal | UpdateCard | Leave | RenewIce) -> None:
        if self._socket is None:
            raise Unreachable("the server is not connected")
        await _send(self._socket, message)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _pause_of(refused: JoinRefused) -> float:
    """As long as the server asks for, within bounds."""
    # A server that ends tells each of its members another time, and some of them are soon.
    at_least_s = RETRY_S_MIN if refused.code == "restarting" else REFUSED_S_MIN
    return min(max(refused.retry_after_s, at_least_s), REFUSED_S_MAX)


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
    async with _connected(url, credentials, sealed, create) as (_, welcome):
        return JoinOutcome(welcome.created, len(welcome.members))


@asynccontextmanager
async def _connected(
    url: str, credentials: Credentials, card: bytes, create: bool
) -> AsyncIterator[tuple[aiohttp.ClientWebSocketResponse, Joined]]:
    """A connection that has joined. Raises JoinRefused, Unreachable."""
    address, server_name = websocket_address(url)
    stay = aiohttp.TraceConfig()
    stay.on_request_redirect.append(_stay_here)
    async with aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(), trace_configs=[stay]
    ) as session:
        socket = await _open_socket(session, address, server_name)
        try:
            yield socket, await _join(socket, credentials, card, server_name, create)
        finally:
            await _close(socket)


async def _stay_here(*_: object) -> None:
    """A server must not send us about, least of all to what listens at home."""
    raise aiohttp.ClientError("redirected")


async def _open_socket(
    session: aiohttp.ClientSession, address: str, server_name: str
) -> aiohttp.ClientWebSocketResponse:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            return await session.ws_connect(
                address,
                headers={"Host": server_name},  # exactly what the signatures cover
                heartbeat=HEARTBEAT_S,
                max_msg_size=SERVER_MESSAGE_BYTES_MAX,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT_S),
            )
    except aiohttp.WSServerHandshakeError as error:
        why = "is busy" if error.status == 503 else "is no signaling server"
        raise Unreachable(f"{server_name} {why}") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Unreachable(f"no connection to {server_name}") from error


async def _join(
    socket: aiohttp.ClientWebSocketResponse,
    credentials: Credentials,
    card: bytes,
    server_name: str,
    create: bool,
) -> Joined:
    try:
        async with asyncio.timeout(JOIN_TIMEOUT_S):
            challenge = await _receive(socket)
            if isinstance(challenge, Failed):
                raise refusal_of(challenge)
            if not isinstance(challenge, Challenge) or challenge.version != VERSION:
                raise Unreachable(f"{server_name} speaks another language than this program")
            await _send(socket, signed_join(credentials, card, server_name, challenge, create))
            welcome = await _receive(socket)
    except TimeoutError as error:
        raise Unreachable(f"{server_name} does not answer") from error
    if isinstance(welcome, Failed):
        raise refusal_of(welcome)
    if not isinstance(welcome, Joined):
        raise Unreachable("the server speaks out of turn")
    return welcome


async def _receive(socket: aiohttp.ClientWebSocketResponse) -> FromServer:
    """The next message. Raises Unreachable when there is none, or one that is none."""
    try:
        message = await socket.receive()
    except (aiohttp.ClientError, OSError) as error:
        raise Unreachable("the connection to the server broke") from error
    if message.type is not aiohttp.WSMsgType.BINARY:
        raise Unreachable("the server has closed the connection")
    try:
        return decode_from_server(message.data)
    except MessageError as error:
        raise Unreachable("the server sent something that is no message") from error


async def _close(socket: aiohttp.ClientWebSocketResponse) -> None:
    """End the connection. aiohttp alone waits as long as the server goes on talking."""
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await socket.close()


async def _send(
    socket: aiohttp.ClientWebSocketResponse,
    message: Join | Signal | UpdateCard | Leave | RenewIce,
) -> None:
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await socket.send_bytes(encode(message))
    except (aiohttp.ClientError, OSError, RuntimeError) as error:
        raise Unreachable("the connection to the server broke") from error
