"""The signed envelope that root records, usage statements and duties have in common.

A header of 56 bytes (magic, version, whose it is, counter, time), a body, and an Ed25519 signature
of everything before it, with a purpose in front that no other kind has. Tables: formats.py.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import CryptoError

from chunking import formats
from chunking.formats import FormatError, check
from chunking.keys import MemberKeys

_HEADER = struct.Struct(">4sB3s32sQQ")
_ZEROS = b"\x00\x00\x00"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of record: how it is called, and what tells it from the others."""

    name: str
    magic: bytes
    purpose: bytes
    """What is signed begins with it."""
    bytes_max: int
    body_bytes_min: int = 1
    signer: str = "owner"


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every reader can check, and the body, which may still be sealed."""

    identity_key: bytes
    counter: int
    time_ns: int
    header: bytes
    body: bytes


def header_for(kind: Kind, keys: MemberKeys, counter: int, time_ns: int) -> bytes:
    """The header of this member's record. FormatError for a number that has no room."""
    check(
        0 <= counter <= formats.INT64_MAX and 0 <= time_ns <= formats.INT64_MAX,
        f"a {kind.name} has a number that is out of range",
    )
    return _HEADER.pack(
        kind.magic, formats.VERSION, _ZEROS, keys.identity_public_key, counter, time_ns
    )


def sign(kind: Kind, keys: MemberKeys, header: bytes, body: bytes) -> bytes:
    """The whole record. FormatError when it is longer than readers accept."""
    unsigned = header + body
    _, secret = crypto_sign_seed_keypair(keys.identity_seed)
    signature = crypto_sign(kind.purpose + unsigned, secret)[: formats.SIGNATURE_BYTES]
    data = unsigned + signature
    check(len(data) <= kind.bytes_max, f"a {kind.name} is longer than holders accept")
    return data


def read(kind: Kind, data: bytes) -> Envelope:
    """What is in a record whose signature is right. FormatError for any other bytes."""
    formats.check_prefix(data, kind.magic, kind.name)
    shortest = formats.ENVELOPE_HEADER_BYTES + kind.body_bytes_min + formats.SIGNATURE_BYTES
    check(shortest <= len(data) <= kind.bytes_max, f"a {kind.name} cannot have {len(data)} bytes")
    _, _, zeros, identity_key, counter, time_ns = _HEADER.unpack_from(data)
    check(
        zeros == _ZEROS and counter <= formats.INT64_MAX and time_ns <= formats.INT64_MAX,
        f"a {kind.name}'s header is damaged",
    )
    unsigned, signature = data[: -formats.SIGNATURE_BYTES], data[-formats.SIGNATURE_BYTES :]
    try:
        crypto_sign_open(signature + kind.purpose + unsigned, identity_key)
    except CryptoError:
        raise FormatError(f"a {kind.name} is not signed by its {kind.signer}") from None
    size = formats.ENVELOPE_HEADER_BYTES
    return Envelope(identity_key, counter, time_ns, unsigned[:size], unsigned[size:])
