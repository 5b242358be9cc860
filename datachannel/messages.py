"""What two members say to each other: requests and answers, and their bounds.

A *stream* carries one request. The one who opens it sends the request, then maybe data, and
finishes; the other answers with messages and data, and finishes. `->` is the opener's side:

    -> Put(name, header, length)   <- Continue(offset)  -> payload[offset:]    <- Stored
    -> Get(name, first, count)     <- Found(header, length, proof)  <- those blocks of the payload
    -> Delete(names)               <- Deleted(count)
    -> List(after, limit)          <- Listing(items, more)
    -> RootPut(length)             -> the record        <- Stored
    -> RootGet()                   <- Found(b"", length, ())         <- the record
    -> SpaceQuery()                <- Space(offer, used, free for you)
    -> StatementsGet()             <- Found(b"", length, ())         <- usage statements, in frames
    -> FarewellsGet()              <- Found(b"", length, ())         <- goodbyes, in such frames
    -> HandedOver()                <- Stored
    -> DutyPut(length)             -> the duty          <- Stored
    -> DutyGet(owner)              <- Found(b"", length, ())         <- the duty
    -> LeaseAsk(owner, counter)    <- Leased(seconds)
    -> ForOwner(owner, request)    as that request: a Put, Get or List

Instead of any answer: Refused(code, text). Everything is about the shares of the member at the
other end, as the link has authenticated it: nobody can name another owner, except a deputy, by a
duty that the owner has signed and a lease on it (ForOwner). All requests may be repeated. `length`
of a share counts its payload without the header.

MessagePack, tagged by the first array element; version 1 is agreed in the handshake.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar

import msgspec

from datachannel.errors import ProtocolError, Refusal

NAME_BYTES = 32
BLOCK_BYTES = 64 * 1024
"""The unit of resuming and of proofs; a share's payload is a sequence of such blocks."""
HEADER_BYTES_MAX = 256
SHARE_BYTES_MAX = 96 << 20
"""Above any payload: a pack has at most 80 MiB, and with k = 1 a share is as long."""
ROOT_BYTES_MAX = 1 << 20
DUTY_BYTES_MAX = 4 << 20
STATEMENT_BYTES_MAX = 16 * 1024
STATEMENTS_MAX = 256
"""The newest one of each member, and a group has no more members."""
STATEMENTS_BYTES_MAX = STATEMENTS_MAX * (4 + STATEMENT_BYTES_MAX)
DELETE_NAMES_MAX = 512
LIST_ITEMS_MAX = 1000
"""Some 41 KB, so that a page fits one frame."""
PROOF_HASHES_MAX = 64
"""Two paths through a tree of 2^32 leaves; 1,536 leaves are the most there are."""
LEASE_S_MAX = 86_400
MESSAGE_BYTES_MAX = 60 * 1024
TEXT_CHARS_MAX = 300
REASON_CHARS_MAX = 100
"""Of what a decoder says about bytes that are no message."""
INT_MAX = 2**63 - 1

_T = TypeVar("_T")

REFUSAL_CODES = (
    "not_found",
    "full",
    "over_offer",
    "too_large",
    "bad_share",
    "stale",
    "not_due",
    "busy",
    "bad_request",
    "internal",
)

Name = Annotated[bytes, msgspec.Meta(min_length=NAME_BYTES, max_length=NAME_BYTES)]
After = Annotated[bytes, msgspec.Meta(max_length=NAME_BYTES)]
Header = Annotated[bytes, msgspec.Meta(max_length=HEADER_BYTES_MAX)]
Bytes = Annotated[int, msgspec.Meta(ge=0, le=INT_MAX)]
ShareLength = Annotated[int, msgspec.Meta(ge=0, le=SHARE_BYTES_MAX)]
DutyLength = Annotated[int, msgspec.Meta(ge=1, le=DUTY_BYTES_MAX)]
RootLength = Annotated[int, msgspec.Meta(ge=1, le=ROOT_BYTES_MAX)]
Blocks = Annotated[int, msgspec.Meta(ge=0, le=SHARE_BYTES_MAX // BLOCK_BYTES)]
Text = Annotated[str, msgspec.Meta(max_length=TEXT_CHARS_MAX)]


class _Message(msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True):
    pass


class Put(_Message, frozen=True, tag="put"):
    """Keep this share for me."""

    name: Name
    header: Header
    length: ShareLength


class Get(_Message, frozen=True, tag="get"):
    """Give me blocks of this share; a `block_count` of 0 means up to the end."""

    name: Name
    first_block: Blocks = 0
    block_count: Blocks = 0


class Delete(_Message, frozen=True, tag="delete"):
    """I need these shares no more."""

    names: Annotated[tuple[Name, ...], msgspec.Meta(max_length=DELETE_NAMES_MAX)]


class List(_Message, frozen=True, tag="list"):
    """Which shares of mine do you have, by name, after this one?"""

    after: After = b""
    limit: Annotated[int, msgspec.Meta(ge=1, le=LIST_ITEMS_MAX)] = LIST_ITEMS_MAX


class RootPut(_Message, frozen=True, tag="root_put"):
    """Keep this root record for me, in the place of an older one."""

    length: RootLength


class RootGet(_Message, frozen=True, tag="root_get"):
    """Give me the newest root record of mine."""


class SpaceQuery(_Message, frozen=True, tag="space_query"):
    """How much would you take from me?"""


class StatementsGet(_Message, frozen=True, tag="statements_get"):
    """Give me the newest usage statement of each member that you know, your own included."""


class FarewellsGet(_Message, frozen=True, tag="farewells_get"):
    """Who has left, with the cards that say so?"""


class HandedOver(_Message, frozen=True, tag="handed_over"):
    """You are leaving: I have taken elsewhere what I could of mine, do not wait for me."""


class DutyPut(_Message, frozen=True, tag="duty_put"):
    """Keep this duty, mine or another owner's, in the place of an older one."""

    length: DutyLength


class DutyGet(_Message, frozen=True, tag="duty_get"):
    """Give me this owner's newest duty; I am one of its deputies."""

    owner: Name


class LeaseAsk(_Message, frozen=True, tag="lease_ask"):
    """I am a deputy of this absent owner by its duty number so-and-so: let me alone act now."""

    owner: Name
    counter: Bytes


class ForOwner(_Message, frozen=True, tag="for_owner"):
    """What this owner would ask if it were there; I have the lease."""

    owner: Name
    request: Put | Get | List


class Leased(_Message, frozen=True, tag="leased"):
    """Nobody else gets the lease for so many seconds."""

    seconds: Annotated[int, msgspec.Meta(ge=0, le=LEASE_S_MAX)]


class Continue(_Message, frozen=True, tag="continue"):
    """Send the payload from here; what is before it lies here already."""

    offset: ShareLength


class Stored(_Message, frozen=True, tag="stored"):
    """It is on disk, synced."""


class Found(_Message, frozen=True, tag="found"):
    """Data follows. `length` is the whole payload's, whatever range was asked for."""

    header: Header
    length: ShareLength
    proof: Annotated[tuple[Name, ...], msgspec.Meta(max_length=PROOF_HASHES_MAX)] = ()


class Deleted(_Message, frozen=True, tag="deleted"):
    """So many of them were here."""

    count: Annotated[int, msgspec.Meta(ge=0, le=DELETE_NAMES_MAX)]


class Item(_Message, frozen=True):
    """One share in a listing; `stored_length` is its payload's."""

    name: Name
    stored_length: ShareLength


class Listing(_Message, frozen=True, tag="listing"):
    """A page of names, ascending; `more` says that others come after the last one."""

    items: Annotated[tuple[Item, ...], msgspec.Meta(max_length=LIST_ITEMS_MAX)]
    more: bool


class Space(_Message, frozen=True, tag="space"):
    """What this member gives to the group, what of it is taken, what you could still take."""

    offer_bytes: Bytes
    used_bytes: Bytes
    free_for_you_bytes: Bytes


class Refused(_Message, frozen=True, tag="refused"):
    """No, and why."""

    code: Annotated[str, msgspec.Meta(max_length=16)]
    text: Text = ""

    def as_refusal(self) -> Refusal:
        """The same as an exception, with a code that is known and a text fit for a terminal."""
        code = self.code if self.code in REFUSAL_CODES else "internal"
        text = "".join(char if char.isprintable() else " " for char in self.text)
        return Refusal(code, text)


Request = (
    Put
    | Get
    | Delete
    | List
    | RootPut
    | RootGet
    | SpaceQuery
    | StatementsGet
    | FarewellsGet
    | HandedOver
    | DutyPut
    | DutyGet
    | LeaseAsk
    | ForOwner
)
Answer = Continue | Stored | Found | Deleted | Listing | Space | Leased | Refused
Message = Request | Answer

_encoder = msgspec.msgpack.Encoder()
_request_decoder: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_answer_decoder: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def encode_message(message: Message) -> bytes:
    """A request or an answer as bytes, at most MESSAGE_BYTES_MAX of them."""
    data = _encoder.encode(message)
    assert len(data) <= MESSAGE_BYTES_MAX
    return data


def decode_request(data: bytes) -> Request:
    """The inverse of `encode_message` for requests. Raises ProtocolError."""
    return _decode(_request_decoder, data)


def decode_answer(data: bytes) -> Answer:
    """The inverse of `encode_message` for answers. Raises ProtocolError."""
    return _decode(_answer_decoder, data)


def join_statements(statements: Sequence[bytes]) -> bytes:
    """Usage statements, or goodbyes, as they follow a Found: each after its length, four bytes."""
    assert len(statements) <= STATEMENTS_MAX
    return b"".join(len(data).to_bytes(4, "big") + data for data in statements)


def split_statements(data: bytes) -> list[bytes]:
    """The inverse of `join_statements`; what is in them is not looked at. Raises ProtocolError."""
    found: list[bytes] = []
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        end = at + 4 + length
        if len(found) == STATEMENTS_MAX or not 0 < length <= STATEMENT_BYTES_MAX or end > len(data):
            raise ProtocolError("these are not usage statements")
        found.append(data[at + 4 : end])
        at = end
    return found


def _decode(decoder: msgspec.msgpack.Decoder[_T], data: bytes) -> _T:
    if len(data) > MESSAGE_BYTES_MAX:
        raise ProtocolError(f"a message of {len(data)} bytes")
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        # The reason may quote what was sent, whatever it is: escaped and cut, it may be logged.
        raise ProtocolError(f"no message: {str(error)[:REASON_CHARS_MAX]!r}") from None
