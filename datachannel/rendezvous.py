"""The client end of signaling: be in the group, know who is there, pass signals on.

`Rendezvous.run` connects, joins and listens, and connects again whenever the connection breaks:
soon at first, later up to a minute apart, with jitter so that a restarted server is not stormed.
After each connection the whole picture of the group is new.

The server is believed nothing that matters. Cards are sealed by the group and signed by their
member; a card that does not verify is ignored. Everything it sends is bounded. It can keep quiet
about members or about signals, and nothing more.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
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
HEARTBEAT_S = 20.0
RETRY_S_MIN = 0.3
RETRY_S_MAX = 60.0
RETRY_GROWTH = 1.7
NONCE_BYTES = 24

WORDS = {
    "unknown_group": "Nobody has used this group's name yet.",
    "wrong_password": "The password is not the one of this group.",
    "group_full": "The group has as many members as a group can have.",
    "server_full": "The server takes no more groups.",
    "replaced": "Another computer has joined with the same recovery words.",
    "rate_limited": "The server asks to wait after too many attempts.",
}


class Unreachable(Unavailable):
    """The server cannot be reached now; the text says why, for a person."""


class JoinRefused(Exception):
    """The server does not let this member in; `code` is one of `messages.FAILED_CODES`."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


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
    """This member's presence in its group. `run` it as one task."""

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
        self._members: dict[MemberId, Friend] = {}
        self._joined = asyncio.Event()
        self._refused: JoinRefused | None = None
        self.ice_servers: tuple[IceServer, ...] = ()
        self.created = False
        self.on_signal: Callable[[MemberId, bytes], None] = lambda member, blob: None
        self.on_change: Callable[[], None] = lambda: None

    @property
    def connected(self) -> bool:
        """Whether this member is in the group at the server now."""
        return self._socket is not None

    def members(self) -> Mapping[MemberId, Friend]:
        """All other members whose cards verified, online or not."""
        return self._members

    async def joined(self) -> None:
        """Wait until the group is known. Raises JoinRefused when the server says no for good."""
        await self._joined.wait()
        if self._refused is not None:
            raise self._refused

    async def run(self) -> None:
        """Until cancelled. Raises JoinRefused when trying again is pointless."""
        retry_s = RETRY_S_MIN
        while True:
            wait_s = 0.0
            try:
                async with _connected(
                    self._url, self._credentials, self._card, self._random_bytes, self._create
                ) as (socket, welcome):
                    retry_s = RETRY_S_MIN
                    self._welcome(socket, welcome)
                    await self._listen(socket)
            except JoinRefused as refused:
                if refused.code in PERMANENT_CODES:
                    self._refused = refused
                    self._joined.set()
                    raise
                log.warning("the server refuses for now: %s", refused.code)
                wait_s = RETRY_S_MAX / 4
            except Unreachable as error:
                log.info("%s", error)
            finally:
                self._gone()
            await asyncio.sleep(max(wait_s, retry_s) * (0.5 + self._jitter.random()))
            retry_s = min(retry_s * RETRY_GROWTH, RETRY_S_MAX)

    async def send_signal(self, to: MemberId, blob: bytes) -> None:
        """Pass a sealed signal to a member. Raises Unreachable."""
        if len(blob) > SIGNAL_BYTES_MAX:
            raise ValueError(f"a signal of {len(blob)} bytes")
        await self._send(Signal(to, blob))

    async def update_card(self, card: MemberCard) -> None:
        """Tell everyone of a new name or offer; also after the next connection."""
        self._card = card
        if self.connected:
            sealed = seal_card(self._credentials, card, self._random_bytes(NONCE_BYTES))
            await self._send(UpdateCard(sealed))

    async def leave(self) -> None:
        """Tell the server that this member leaves for good. Raises Unreachable."""
        await self._send(Leave())

    # --- listening --------------------------------------------------------------------------

    def _welcome(self, socket: aiohttp.ClientWebSocketResponse, welcome: Joined) -> None:
        self.ice_servers = welcome.ice_servers
        self.created = self.created or welcome.created
        self._members = {}
        for presence in welcome.members:
            self._learn(presence)
        self._socket = socket
        self._joined.set()
        self.on_change()

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            message = await _receive(socket)
            match message:
                case Signal(sender, blob):
                    if MemberId(sender) in self._members:
                        self.on_signal(MemberId(sender), blob)
                    continue
                case Arrived(member, card):
                    self._learn(Presence(member, card, True))
                case Departed(member) | Absent(member):
                    self._set_online(MemberId(member), online=False)
                case Removed(member):
                    self._members.pop(MemberId(member), None)
                case Failed(code, text):
                    raise _refusal(code, text)
                case _:
                    raise Unreachable("the server speaks out of turn")
            self.on_change()

    def _learn(self, presence: Presence) -> None:
        member = MemberId(presence.member)
        if member == self._credentials.member_id:
            return
        try:
            card = open_card(self._credentials, member, presence.card)
        except CredentialError:
            log.warning("the server showed a member whose card does not verify")
            return
        if len(self._members) < MEMBERS_MAX or member in self._members:
            self._members[member] = Friend(member, card, presence.online)

    def _set_online(self, member: MemberId, *, online: bool) -> None:
        friend = self._members.get(member)
        if friend is not None:
            self._members[member] = Friend(member, friend.card, online)

    def _gone(self) -> None:
        """Without the server nobody is known to be there; open links are not touched."""
        if self._socket is not None:
            self._socket = None
            for member in list(self._members):
                self._set_online(member, online=False)
            self.on_change()

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
    random_bytes: Callable[[int], bytes] = os.urandom,
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
    timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S)
    sealed = seal_card(credentials, card, random_bytes(NONCE_BYTES))
    async with aiohttp.ClientSession(timeout=timeout) as session:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                socket = await session.ws_connect(
                    address, heartbeat=HEARTBEAT_S, max_msg_size=SERVER_MESSAGE_BYTES_MAX
                )
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise Unreachable(f"the server {server_name} cannot be reached") from error
        try:
            async with asyncio.timeout(JOIN_TIMEOUT_S):
                challenge = await _receive(socket)
                if isinstance(challenge, Failed):
                    raise _refusal(challenge.code, challenge.text)
                if not isinstance(challenge, Challenge) or challenge.version != VERSION:
                    raise Unreachable("the server speaks another language than this program")
                await _send(
                    socket, _signed_join(credentials, sealed, server_name, challenge, create)
                )
                welcome = await _receive(socket)
        except TimeoutError as error:
            await socket.close()
            raise Unreachable(f"the server {server_name} does not answer") from error
        except BaseException:
            await socket.close()
            raise
        try:
            if isinstance(welcome, Failed):
                raise _refusal(welcome.code, welcome.text)
            if not isinstance(welcome, Joined):
                raise Unreachable("the server speaks out of turn")
            yield socket, welcome
        finally:
            await socket.close()


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
    """(the WebSocket's URL, the server's name) of a server's URL. Raises Unreachable."""
    try:
        parts = urlsplit(url)
        scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}[parts.scheme]
        if not parts.hostname:
            raise ValueError("no host")
    except (KeyError, ValueError) as error:
        raise Unreachable(f"«{url}» is not the URL of a server") from error
    name = parts.netloc.rpartition("@")[2].lower()
    path = parts.path.rstrip("/")
    return urlunsplit((scheme, name, path if path.endswith(PATH) else path + PATH, "", "")), name


async def _receive(socket: aiohttp.ClientWebSocketResponse) -> FromServer:
    """The next message. Raises Unreachable when there is none, or one that is none."""
    message = await socket.receive()
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
    except (aiohttp.ClientError, ConnectionError, RuntimeError, TimeoutError) as error:
        raise Unreachable("the server cannot be reached any more") from error


def _refusal(code: str, text: str) -> JoinRefused:
    return JoinRefused(code, WORDS.get(code) or f"The server says: {text or code}.")
