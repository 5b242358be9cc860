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
import ipaddress
import logging
import os
import random
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from datachannel.credentials import CredentialError, Credentials, MemberCard, open_card, seal_card
from datachannel.errors import Unavailable
from signaling.messages import (
    MEMBERS_MAX,
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
    Join,
    Joined,
    Leave,
    MemberId,
    MessageError,
    Presence,
    Removed,
    Signal,
    UpdateCard,
    decode_from_server,
    encode,
    join_transcript,
)

log = logging.getLogger("covey.rendezvous")

PATH = "/v1/ws"
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
NONCE_BYTES = 24

ICE_URL = re.compile(r"(stuns?|turns?):[A-Za-z0-9.:\[\]_-]{1,255}(\?transport=(udp|tcp))?")
DEFAULT_PORTS = {"ws": 80, "wss": 443}

WORDS = {
    "unknown_group": "nobody has used this group's name at this server yet",
    "wrong_password": "the password is not the one of this group",
    "rate_limited": "the server asks to wait after too many attempts",
    "group_full": "the group has as many members as a group can have",
    "server_full": "the server takes no more groups or members",
    "replaced": "another computer has joined with the same recovery words",
    "bad_message": "the server does not understand this version of the program",
    "bad_signature": "the server goes by another name than the address that was used",
    "internal": "the server refuses without saying why",
}


class Unreachable(Unavailable):
    """The server cannot be reached now; the text says why, for a person."""


class JoinRefused(Exception):
    """The server does not let this member in; `code` is one of `messages.FAILED_CODES`."""

    def __init__(self, code: str, text: str, retry_after_s: float = 0.0) -> None:
        super().__init__(text)
        self.code, self.text, self.retry_after_s = code, text, retry_after_s


@dataclass(frozen=True, slots=True)
class Friend:
    """Another member of the group, by its own verified card."""

    member: MemberId
    card: MemberCard
    online: bool


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
        self._url, self._credentials, self._card = url, credentials, card
        self._create, self._random_bytes, self._jitter = create, random_bytes, jitter
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._members: Mapping[MemberId, Friend] = {}
        self._joined = asyncio.Event()
        self._refused: JoinRefused | None = None
        self._has_left = False
        self._warned = False
        self.ice_servers: tuple[IceServer, ...] = ()
        self.created = False
        self.on_signal: Callable[[MemberId, bytes], None] = lambda member, blob: None
        self.on_change: Callable[[], None] = lambda: None

    @property
    def connected(self) -> bool:
        """Whether this member is in the group at the server now."""
        return self._socket is not None

    def members(self) -> Mapping[MemberId, Friend]:
        """All other members whose cards verified, online or not. It stays as it is."""
        return self._members

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
                async with _connected(
                    self._url, self._credentials, self._card, self._random_bytes, self._create
                ) as (socket, welcome):
                    began = loop.time()
                    self._welcome(socket, welcome)
                    try:
                        await self._listen(socket)
                    finally:
                        self._gone()
                        if loop.time() - began > STEADY_S:
                            retry_s = RETRY_S_MIN
            except JoinRefused as refused:
                if refused.code in PERMANENT_CODES:
                    self._refused = refused
                    self._joined.set()
                    raise
                log.warning("the server refuses for now: %s", refused.code)
                wait_s = min(max(refused.retry_after_s, REFUSED_S_MIN), REFUSED_S_MAX)
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
        self._card = card
        sealed = seal_card(self._credentials, card, self._random_bytes(NONCE_BYTES))
        with suppress(Unreachable):
            await self._send(UpdateCard(sealed))

    async def leave(self) -> None:
        """Tell the server that this member leaves for good, and end `run`. Raises Unreachable."""
        await self._send(Leave())
        self._has_left = True
        if self._socket is not None:
            await self._socket.close()

    # --- listening --------------------------------------------------------------------------

    def _welcome(self, socket: aiohttp.ClientWebSocketResponse, welcome: Joined) -> None:
        self.ice_servers = tuple(
            server
            for server in welcome.ice_servers
            if server.urls and all(ICE_URL.fullmatch(url) for url in server.urls)
        )
        self.created = self.created or welcome.created
        self._members, self._warned = {}, False
        for presence in welcome.members:
            self._learn(presence)
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
                    if MemberId(sender) in self._members:
                        self._tell_of_signal(MemberId(sender), blob)
                    continue
                case Arrived(member, card):
                    self._learn(Presence(member, card, True))
                case Departed(member) | Absent(member):
                    self._set_offline(MemberId(member))
                case Removed(member):
                    self._members = {
                        other: friend for other, friend in self._members.items() if other != member
                    }
                case Failed():
                    raise _refusal(message)
                case _:
                    raise Unreachable("the server speaks out of turn")
            self._tell_of_change()

    def _learn(self, presence: Presence) -> None:
        member = MemberId(presence.member)
        if member == self._credentials.member_id:
            return
        try:
            card = open_card(self._credentials, member, presence.card)
        except CredentialError:
            if not self._warned:  # once for a connection: a server could make thousands of them
                log.warning("the server shows members whose cards do not verify; ignored")
                self._warned = True
            return
        if len(self._members) < MEMBERS_MAX or member in self._members:
            friend = Friend(member, card, presence.online)
            self._members = {**self._members, member: friend}

    def _set_offline(self, member: MemberId) -> None:
        friend = self._members.get(member)
        if friend is not None:
            self._members = {**self._members, member: replace(friend, online=False)}

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

    async def _send(self, message: Signal | UpdateCard | Leave) -> None:
        if self._socket is None:
            raise Unreachable("the server is not connected")
        await _send(self._socket, message)


async def join_once(
    url: str,
    credentials: Credentials,
    card: MemberCard,
    create: bool,
    *,
    random_bytes: Callable[[int], bytes] = os.urandom,  # noqa: TID251 - it seals one card
) -> JoinOutcome:
    """Join, and end the connection. Raises JoinRefused, Unreachable."""
    async with _connected(url, credentials, card, random_bytes, create) as (_, welcome):
        return JoinOutcome(welcome.created, len(welcome.members))


@asynccontextmanager
async def _connected(
    url: str,
    credentials: Credentials,
    card: MemberCard,
    random_bytes: Callable[[int], bytes],
    create: bool,
) -> AsyncIterator[tuple[aiohttp.ClientWebSocketResponse, Joined]]:
    """A connection that has joined. Raises JoinRefused, Unreachable."""
    address, server_name = websocket_address(url)
    sealed = seal_card(credentials, card, random_bytes(NONCE_BYTES))
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        socket = await _open_socket(session, address, server_name)
        try:
            yield socket, await _join(socket, credentials, sealed, server_name, create)
        finally:
            await socket.close()


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
                raise _refusal(challenge)
            if not isinstance(challenge, Challenge) or challenge.version != VERSION:
                raise Unreachable(f"{server_name} speaks another language than this program")
            await _send(socket, _signed_join(credentials, card, server_name, challenge, create))
            welcome = await _receive(socket)
    except TimeoutError as error:
        raise Unreachable(f"{server_name} does not answer") from error
    if isinstance(welcome, Failed):
        raise _refusal(welcome)
    if not isinstance(welcome, Joined):
        raise Unreachable("the server speaks out of turn")
    return welcome


def _signed_join(
    credentials: Credentials, card: bytes, server_name: str, challenge: Challenge, create: bool
) -> Join:
    """The signatures cover the server that *we* called, not the one that it says it is."""
    transcript = join_transcript(
        server_name=server_name,
        nonce=challenge.nonce,
        name_id=credentials.name_id,
        group_key=credentials.group_public_key,
        identity_key=credentials.identity_public_key,
        create=create,
        card=card,
    )
    return Join(
        version=VERSION,
        name_id=credentials.name_id,
        group_key=credentials.group_public_key,
        identity_key=credentials.identity_public_key,
        create=create,
        card=card,
        group_signature=credentials.sign_as_group(transcript),
        identity_signature=credentials.sign_as_member(transcript),
    )


def websocket_address(url: str) -> tuple[str, str]:
    """(the WebSocket's URL, the server's name: host[:port]) of a URL. Raises Unreachable.

    Names are as in the Host header: lower case, no default port, letters beyond ASCII as IDNA.
    """
    try:
        parts = urlsplit(url.strip())
        scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}[parts.scheme]
        host, port = parts.hostname, parts.port
        if not host:
            raise ValueError("no host")
        if ":" in host:
            name = f"[{ipaddress.IPv6Address(host)}]"
        else:
            name = host.encode("ascii" if host.isascii() else "idna").decode()
    except (KeyError, ValueError) as error:
        raise Unreachable(f"«{url}» is not the URL of a server") from error
    if port not in (None, DEFAULT_PORTS[scheme]):
        name = f"{name}:{port}"
    path = parts.path.rstrip("/")
    return urlunsplit((scheme, name, path if path.endswith(PATH) else path + PATH, "", "")), name


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


async def _send(
    socket: aiohttp.ClientWebSocketResponse, message: Join | Signal | UpdateCard | Leave
) -> None:
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await socket.send_bytes(encode(message))
    except (aiohttp.ClientError, OSError, RuntimeError) as error:
        raise Unreachable("the connection to the server broke") from error


def _refusal(failed: Failed) -> JoinRefused:
    """In our own words: what a server says is not for a person's terminal."""
    code = failed.code if failed.code in WORDS else "internal"
    return JoinRefused(code, WORDS[code], failed.retry_after_s)
