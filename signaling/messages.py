"""What members and the server say to each other, and the bounds of it.

One WebSocket binary frame is one message: MessagePack, a map with a short "type".

    server -> Challenge(version, server_name, nonce)
    client -> Join(...)            signed by the group key and by the member's identity key
    server -> Joined(members, ice_servers, created)   or   Failed(code, text, retry_after_s)

and from then on, in any order:

    client -> Signal(to, blob)     server -> Signal(sender, blob) to that member, or Absent(member)
    client -> UpdateCard(card)     server -> Arrived(member, card) to all others
    client -> Leave()              server -> Removed(member) to all others
    client -> Report(outcome)      counted, and passed to nobody
    client -> RenewIce()           server -> IceServers(servers, lifetime_s)
    client -> Move(notice)         server -> Moved(notice) to all members, and in Joined ever after
                                   server -> Arrived / Departed as members come and go

The signatures of Join cover the server's name and this connection's nonce, so that neither a
server nor a listener can use them anywhere else. Cards and signals are sealed with a key that the
server does not have. A member is known by the hash of its identity key; a group by the hash of its
name, and by its public key, which only those can sign for who know the password.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Literal, NewType, TypeVar

import msgspec

MemberId = NewType("MemberId", bytes)

VERSION = 1
ID_BYTES = 32
KEY_BYTES = 32
NONCE_BYTES = 32
SIGNATURE_BYTES = 64
MESSAGE_BYTES_MAX = 64 * 1024
"""Of a frame from a client."""
SERVER_MESSAGE_BYTES_MAX = 2 * 1024 * 1024
"""Of a frame from the server: the largest is Joined with every member's card."""
CARD_BYTES_MAX = 4 * 1024
SIGNAL_BYTES_MAX = 16 * 1024
MEMBERS_MAX = 256
"""Members of one group."""
SERVER_NAME_CHARS_MAX = 255
TEXT_CHARS_MAX = 400
ICE_SERVERS_MAX = 8
ICE_LIFETIME_S_MAX = 7 * 86_400.0
ICE_URL = re.compile(r"(stuns?|turns?):[A-Za-z0-9.:\[\]_-]{1,255}(\?transport=(udp|tcp))?")
"""What is an address of a STUN or TURN server."""

PERSON_MEMBER_ID = b"covey member id"
PERSON_JOIN = b"covey join"
PERSON_MOVE = b"covey move"
MOVE_VERSION = 1
MOVE_NUMBER_MAX = 2**53 - 1
"""A number that every store can compare."""
MOVE_BYTES_MAX = 1024
"""Of an encoded notice."""

FAILED_CODES = (
    "unknown_group",
    "wrong_password",
    "rate_limited",
    "group_full",
    "server_full",
    "bad_message",
    "bad_signature",
    "replaced",
    "restarting",
    "internal",
)
PERMANENT_CODES = frozenset({"unknown_group", "wrong_password", "group_full", "replaced"})
"""After these a client does not simply try again."""

Id = Annotated[bytes, msgspec.Meta(min_length=ID_BYTES, max_length=ID_BYTES)]
Key = Annotated[bytes, msgspec.Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]
Nonce = Annotated[bytes, msgspec.Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
Signature = Annotated[bytes, msgspec.Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]
Card = Annotated[bytes, msgspec.Meta(max_length=CARD_BYTES_MAX)]
Blob = Annotated[bytes, msgspec.Meta(max_length=SIGNAL_BYTES_MAX)]
Text = Annotated[str, msgspec.Meta(max_length=TEXT_CHARS_MAX)]
ServerName = Annotated[str, msgspec.Meta(max_length=SERVER_NAME_CHARS_MAX)]

Outcome = Literal["direct", "relay", "unknown", "failed"]
"""How an attempt at a link ended; of one that stands its engine may not tell the path."""

_T = TypeVar("_T")


class MessageError(ValueError):
    """These bytes are no message, or not one that is allowed here."""


class _Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    pass


class IceServer(msgspec.Struct, frozen=True):
    """A STUN or TURN server, as WebRTC wants it."""

    urls: Annotated[tuple[Text, ...], msgspec.Meta(max_length=8)]
    username: Text = ""
    credential: Text = ""


IceServerList = Annotated[tuple[IceServer, ...], msgspec.Meta(max_length=ICE_SERVERS_MAX)]
Lifetime = Annotated[float, msgspec.Meta(ge=0, le=ICE_LIFETIME_S_MAX)]
"""Seconds from now; 0 is for ever."""


class Presence(msgspec.Struct, frozen=True):
    """One member of the group as the server knows it; the card is sealed."""

    member: Id
    card: Card
    online: bool


class MoveNotice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The group is at the server `url` from now on, says the group's key. The highest number
    counts. `url` may be `lan`: whatever server there is on the members' local network.
    """

    version: Annotated[int, msgspec.Meta(ge=1, le=2**31)]
    number: Annotated[int, msgspec.Meta(ge=1, le=MOVE_NUMBER_MAX)]
    url: Text
    signature: Signature


class Challenge(_Message, frozen=True, tag="challenge"):
    """The server's first message."""

    version: int
    server_name: ServerName
    nonce: Nonce


class Join(_Message, frozen=True, tag="join"):
    """The client's first message. `create` agrees to start the group if there is none."""

    version: int
    name_id: Id
    group_key: Key
    identity_key: Key
    create: bool
    card: Card
    group_signature: Signature
    identity_signature: Signature


class Joined(_Message, frozen=True, tag="joined"):
    """Welcome. `members` are all others, online or not; `before` is the last card of this very
    member, if there was one: perhaps that of another computer with the same recovery words."""

    members: Annotated[tuple[Presence, ...], msgspec.Meta(max_length=MEMBERS_MAX)]
    ice_servers: IceServerList
    created: bool
    ice_lifetime_s: Lifetime = 0.0
    moved: MoveNotice | None = None
    before: Card = b""


class Failed(_Message, frozen=True, tag="failed"):
    """No; the connection is closed after it. With `replaced` comes the card of who has joined."""

    code: Text
    text: Text = ""
    retry_after_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 0.0
    card: Card = b""


class Signal(_Message, frozen=True, tag="signal"):
    """From a client `member` is the receiver, from the server the sender."""

    member: Id
    blob: Blob


class UpdateCard(_Message, frozen=True, tag="card"):
    """My card is this from now on."""

    card: Card


class Leave(_Message, frozen=True, tag="leave"):
    """I leave the group for good."""


class Move(_Message, frozen=True, tag="move"):
    """The group goes to another server: tell all members, now and when they come."""

    notice: MoveNotice


class Moved(_Message, frozen=True, tag="moved"):
    """The group has gone to another server. Also the answer to a Move that is not the latest."""

    notice: MoveNotice


class Report(_Message, frozen=True, tag="report"):
    """How a link to another member came about: no more than that, for the operator's counters."""

    outcome: Outcome


class RenewIce(_Message, frozen=True, tag="renew_ice"):
    """Give me credentials that are good for longer."""


class IceServers(_Message, frozen=True, tag="ice_servers"):
    """From now on in place of those before; the credentials are good for `lifetime_s`."""

    servers: IceServerList
    lifetime_s: Lifetime


class Arrived(_Message, frozen=True, tag="arrived"):
    """This member is online, with this card."""

    member: Id
    card: Card


class Departed(_Message, frozen=True, tag="departed"):
    """This member is offline."""

    member: Id


class Absent(_Message, frozen=True, tag="absent"):
    """Your signal did not reach this member: it is offline, or no member."""

    member: Id


class Removed(_Message, frozen=True, tag="removed"):
    """This member has left the group."""

    member: Id


FromClient = Join | Signal | UpdateCard | Leave | Report | RenewIce | Move
FromServer = (
    Challenge
    | Joined
    | Failed
    | Signal
    | Arrived
    | Departed
    | Absent
    | Removed
    | IceServers
    | Moved
)

_encoder = msgspec.msgpack.Encoder()
_move_notice: msgspec.msgpack.Decoder[MoveNotice] = msgspec.msgpack.Decoder(MoveNotice)
_from_client: msgspec.msgpack.Decoder[FromClient] = msgspec.msgpack.Decoder(FromClient)
_from_server: msgspec.msgpack.Decoder[FromServer] = msgspec.msgpack.Decoder(FromServer)


def encode(message: FromClient | FromServer) -> bytes:
    """One message as one frame."""
    return _encoder.encode(message)


def decode_from_client(data: bytes) -> FromClient:
    """What a client sent. Raises MessageError."""
    return _decode(_from_client, data, MESSAGE_BYTES_MAX)


def decode_from_server(data: bytes) -> FromServer:
    """What a server sent. Raises MessageError."""
    return _decode(_from_server, data, SERVER_MESSAGE_BYTES_MAX)


def encode_move(notice: MoveNotice) -> bytes:
    """A notice as it is kept."""
    return _encoder.encode(notice)


def decode_move(data: bytes) -> MoveNotice:
    """A notice that was kept. Raises MessageError."""
    return _decode(_move_notice, data, MOVE_BYTES_MAX)


def _decode(decoder: msgspec.msgpack.Decoder[_T], data: bytes, size_max: int) -> _T:
    if len(data) > size_max:
        raise MessageError(f"a message of {len(data)} bytes")
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise MessageError(f"no message: {error}") from error


def member_id_of(identity_key: bytes) -> MemberId:
    """The id of the member with this Ed25519 public key: BLAKE2b-256 with its own purpose tag."""
    digest = hashlib.blake2b(identity_key, digest_size=ID_BYTES, person=PERSON_MEMBER_ID)
    return MemberId(digest.digest())


def join_transcript(
    *,
    server_name: str,
    nonce: bytes,
    name_id: bytes,
    group_key: bytes,
    identity_key: bytes,
    create: bool,
    card: bytes,
) -> bytes:
    """What both signatures of a Join cover: every field, this server, this connection."""
    state = hashlib.blake2b(digest_size=64, person=PERSON_JOIN)
    name = server_name.encode()
    for part in (name, nonce, name_id, group_key, identity_key, bytes([create]), card):
        state.update(len(part).to_bytes(4, "big") + part)
    return PERSON_JOIN + state.digest()


def move_transcript(name_id: bytes, notice: MoveNotice) -> bytes:
    """What the group's key signs of a MoveNotice: all of it, and the group."""
    state = hashlib.blake2b(digest_size=64, person=PERSON_MOVE)
    version, number = notice.version.to_bytes(4, "big"), notice.number.to_bytes(8, "big")
    for part in (version, name_id, number, notice.url.encode()):
        state.update(len(part).to_bytes(4, "big") + part)
    return PERSON_MOVE + state.digest()
