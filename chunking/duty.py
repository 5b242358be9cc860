"""The duty: what friends need to repair an owner's shares while the owner is gone.

It names every pack with the names of all its shares, the deputies in the order in which they are to
act, and how many days the owner must have been away. The owner signs it; every holder keeps a copy.
Nothing in it opens anything: shares are ciphertext, and the erasure code works on that. The names
bind whoever acts: a share that is not one of these is kept by nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from chunking import envelope, formats, index
from chunking.formats import DutyBody, PackRef, check
from chunking.keys import MemberKeys

_KIND = envelope.Kind("duty", formats.MAGIC_DUTY, formats.SIGN_DUTY, formats.DUTY_BYTES_MAX)
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
    header = envelope.header_for(_KIND, keys, counter, time_ns)
    duty = Duty(
        keys.identity_public_key, counter, time_ns, grace_days, tuple(deputies), tuple(packs)
    )
    body = DutyBody(duty.grace_days, duty.deputies, duty.packs)
    _check_body(body)
    data = envelope.sign(_KIND, keys, header, formats.encode_body(body, _KIND.name))
    if read_duty(data) != duty:
        raise RuntimeError("a duty does not read back as it was written")
    return data


def read_duty(data: bytes) -> Duty:
    """A duty whose signature is right. Nothing of the body is decoded before it is."""
    found = envelope.read(_KIND, data)
    body = formats.decode_body(_BODY, found.body, _KIND.name)
    _check_body(body)
    return Duty(
        found.identity_key,
        found.counter,
        found.time_ns,
        body.grace_days,
        body.deputies,
        body.packs,
    )


def read_duty_envelope(data: bytes) -> tuple[bytes, int]:
    """Whose duty this is (the identity public key), and its counter, after checking the
    signature."""
    found = envelope.read(_KIND, data)
    return found.identity_key, found.counter


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
