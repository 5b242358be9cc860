"""The usage statement: what a member holds for others, and what others have shown it to hold.

Each member signs one about its dealings with the rest of the group; everybody passes the newest of
everybody on, and who has them can add up what each member takes and gives (`peer/space/ledger.py`).
A statement binds its signer alone: what it says of others is that member's word and no more.
The highest counter is the newest.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import msgspec
from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import CryptoError

from chunking import formats
from chunking.formats import Dealing, FormatError, StatementBody, check
from chunking.keys import MemberKeys

_HEADER = struct.Struct(">4sB3s32sQQ")
_ZEROS = b"\x00\x00\x00"
_LENGTH_MIN = formats.STATEMENT_HEADER_BYTES + formats.SIGNATURE_BYTES + 1
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
    check(
        0 <= counter <= formats.INT64_MAX and 0 <= time_ns <= formats.INT64_MAX,
        "a usage statement has a number that is out of range",
    )
    body = StatementBody(offer_bytes, dealings)
    _check_body(body)
    unsigned = _HEADER.pack(
        formats.MAGIC_STATEMENT,
        formats.VERSION,
        _ZEROS,
        keys.identity_public_key,
        counter,
        time_ns,
    ) + formats.encode_body(body, "usage statement")
    _, secret = crypto_sign_seed_keypair(keys.identity_seed)
    signed = crypto_sign(formats.SIGN_STATEMENT + unsigned, secret)
    data = unsigned + signed[: formats.SIGNATURE_BYTES]
    check(len(data) <= formats.STATEMENT_BYTES_MAX, "a usage statement is too long")
    if read_statement(data) != statement:
        raise RuntimeError("a usage statement does not read back as it was written")
    return data


def read_statement(data: bytes) -> Statement:
    """A statement whose signature is right. Nothing of the body is decoded before it is."""
    formats.check_prefix(data, formats.MAGIC_STATEMENT, "usage statement")
    check(
        _LENGTH_MIN <= len(data) <= formats.STATEMENT_BYTES_MAX,
        f"a usage statement cannot have {len(data)} bytes",
    )
    _, _, zeros, identity_key, counter, time_ns = _HEADER.unpack_from(data)
    check(
        zeros == _ZEROS and counter <= formats.INT64_MAX and time_ns <= formats.INT64_MAX,
        "a usage statement's header is damaged",
    )
    unsigned, signature = data[: -formats.SIGNATURE_BYTES], data[-formats.SIGNATURE_BYTES :]
    try:
        crypto_sign_open(signature + formats.SIGN_STATEMENT + unsigned, identity_key)
    except CryptoError:
        raise FormatError("a usage statement is not signed by its member") from None
    body = formats.decode_body(_BODY, unsigned[formats.STATEMENT_HEADER_BYTES :], "usage statement")
    _check_body(body)
    return Statement(identity_key, counter, time_ns, body.offer_bytes, body.dealings)


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
