"""The duty: what friends need to repair an owner's shares while the owner is gone.

It names every pack with the names of all its shares, the deputies in the order in which they are to
act, and how many days the owner must have been away. The owner signs it; every holder keeps a copy.
Nothing in it opens anything: shares are ciphertext, and the erasure code works on that. The names
bind whoever acts: a share that is not one of these is kept by nobody.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import CryptoError

from chunking import formats, index
from chunking.formats import DutyBody, FormatError, PackRef, check
from chunking.keys import MemberKeys

_HEADER = struct.Struct(">4sB3s32sQQ")
_ZEROS = b"\x00\x00\x00"
_LENGTH_MIN = formats.DUTY_HEADER_BYTES + formats.SIGNATURE_BYTES + 1
_BODY = msgspec.msgpack.Decoder(DutyBody)


@dataclass(frozen=True, slots=True)
class Duty:
    """What one owner asks of its friends. `time_ns` is since 1970, `grace_days` are observed."""

    identity_key: bytes
    counter: int
    time_ns: int
    grace_days: int
    deputies: tuple[bytes, ...]
    """Member ids; the first is to act first."""
    packs: tuple[PackRef, ...]


def sign_duty(
    keys: MemberKeys,
    counter: int,
    time_ns: int,
    grace_days: int,
    deputies: Sequence[bytes],
    packs: Sequence[PackRef],
) -> bytes:
    """This owner's duty as holders keep it. FormatError for what no reader would accept."""
    check(
        0 <= counter <= formats.INT64_MAX and 0 <= time_ns <= formats.INT64_MAX,
        "a duty has a number that is out of range",
    )
    duty = Duty(
        keys.identity_public_key, counter, time_ns, grace_days, tuple(deputies), tuple(packs)
    )
    body = DutyBody(duty.grace_days, duty.deputies, duty.packs)
    _check_body(body)
    unsigned = _HEADER.pack(
        formats.MAGIC_DUTY, formats.VERSION, _ZEROS, keys.identity_public_key, counter, time_ns
    ) + formats.encode_body(body, "duty")
    _, secret = crypto_sign_seed_keypair(keys.identity_seed)
    signed = crypto_sign(formats.SIGN_DUTY + unsigned, secret)
    data = unsigned + signed[: formats.SIGNATURE_BYTES]
    check(len(data) <= formats.DUTY_BYTES_MAX, "a duty is longer than holders accept")
    if read_duty(data) != duty:
        raise RuntimeError("a duty does not read back as it was written")
    return data


def read_duty(data: bytes) -> Duty:
    """A duty whose signature is right. Nothing of the body is decoded before it is."""
    identity_key, counter, time_ns = _read_envelope(data)
    unsigned = data[formats.DUTY_HEADER_BYTES : -formats.SIGNATURE_BYTES]
    body = formats.decode_body(_BODY, unsigned, "duty")
    _check_body(body)
    return Duty(identity_key, counter, time_ns, body.grace_days, body.deputies, body.packs)


def read_duty_envelope(data: bytes) -> tuple[bytes, int]:
    """Whose duty this is (the identity public key), and its counter, after checking the
    signature."""
    identity_key, counter, _ = _read_envelope(data)
    return identity_key, counter


def _read_envelope(data: bytes) -> tuple[bytes, int, int]:
    formats.check_prefix(data, formats.MAGIC_DUTY, "duty")
    check(
        _LENGTH_MIN <= len(data) <= formats.DUTY_BYTES_MAX, f"a duty cannot have {len(data)} bytes"
    )
    _, _, zeros, identity_key, counter, time_ns = _HEADER.unpack_from(data)
    check(
        zeros == _ZEROS and counter <= formats.INT64_MAX and time_ns <= formats.INT64_MAX,
        "a duty's header is damaged",
    )
    unsigned, signature = data[: -formats.SIGNATURE_BYTES], data[-formats.SIGNATURE_BYTES :]
    try:
        crypto_sign_open(signature + formats.SIGN_DUTY + unsigned, identity_key)
    except CryptoError:
        raise FormatError("a duty is not signed by its owner") from None
    return identity_key, counter, time_ns


def _check_body(body: DutyBody) -> None:
    check(1 <= body.grace_days <= formats.DUTY_GRACE_DAYS_MAX, "a duty's days are impossible")
    check(
        len(body.deputies) <= formats.DUTY_DEPUTIES_MAX
        and len(set(body.deputies)) == len(body.deputies)
        and all(len(deputy) == formats.ID_BYTES for deputy in body.deputies),
        "a duty's deputies are impossible",
    )
    check(len(body.packs) <= formats.DUTY_PACKS_MAX, "a duty has too many packs")
    before = b""
    for ref in body.packs:
        index.check_pack_ref(ref)
        check(ref.pack > before, "a duty's packs are not in order")
        before = ref.pack
