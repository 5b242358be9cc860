"""The usage statement: what a member holds for others, and what others have shown it to hold.

Each member signs one about its dealings with the rest of the group; everybody passes the newest of
everybody on, and who has them can add up what each member takes and gives (`peer/space/ledger.py`).
A statement binds its signer alone: what it says of others is that member's word and no more.
The highest counter is the newest.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from chunking import envelope, formats
from chunking.formats import Dealing, StatementBody, check
from chunking.keys import MemberKeys

_KIND = envelope.Kind(
    "usage statement",
    formats.MAGIC_STATEMENT,
    formats.SIGN_STATEMENT,
    formats.STATEMENT_BYTES_MAX,
    signer="member",
)
_BODY = msgspec.msgpack.Decoder(StatementBody)


@dataclass(frozen=True, slots=True)
class Statement:
    """What one member says of its dealings. Sizes are in bytes, `time_ns` since 1970."""

    identity_key: bytes
    counter: int
    time_ns: int
    offer_bytes: int
    dealings: tuple[Dealing, ...] = ()
    """One for each member that it holds for or has audited, sorted by member id."""


def sign_statement(
    keys: MemberKeys, counter: int, time_ns: int, offer_bytes: int, dealings: tuple[Dealing, ...]
) -> bytes:
    """This member's statement as it goes round. FormatError for what no reader would accept."""
    statement = Statement(keys.identity_public_key, counter, time_ns, offer_bytes, dealings)
    header = envelope.header_for(_KIND, keys, counter, time_ns)
    body = StatementBody(offer_bytes, dealings)
    _check_body(body)
    data = envelope.sign(_KIND, keys, header, formats.encode_body(body, _KIND.name))
    if read_statement(data) != statement:
        raise RuntimeError("a usage statement does not read back as it was written")
    return data


def read_statement(data: bytes) -> Statement:
    """A statement whose signature is right. Nothing of the body is decoded before it is."""
    found = envelope.read(_KIND, data)
    body = formats.decode_body(_BODY, found.body, _KIND.name)
    _check_body(body)
    return Statement(
        found.identity_key, found.counter, found.time_ns, body.offer_bytes, body.dealings
    )


def _check_body(body: StatementBody) -> None:
    check(0 <= body.offer_bytes <= formats.INT64_MAX, "a usage statement's offer is impossible")
    check(
        len(body.dealings) <= formats.STATEMENT_DEALINGS_MAX,
        "a usage statement speaks of too many members",
    )
    before = b""
    for dealing in body.dealings:
        check(
            len(dealing.member) == formats.ID_BYTES and dealing.member > before,
            "a usage statement's members are not in order",
        )
        check(
            0 <= dealing.held_bytes <= formats.INT64_MAX
            and 0 <= dealing.shown_bytes <= formats.INT64_MAX,
            "a usage statement has a size that is out of range",
        )
        before = dealing.member
