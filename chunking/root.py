"""The root record: the one thing from which an owner's backups are found again.

Every holder keeps a whole copy. A holder has no key, but it can see whose record it is, that it is
signed, and which of two is newer; it never replaces a record by one with a lower counter.
The rest is sealed. The highest valid counter wins.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import msgspec
from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import CryptoError

from chunking import formats, index, seal, tree
from chunking.formats import FormatError, PackRef, RootBody, SnapshotRef, check
from chunking.keys import MemberKeys

_HEADER = struct.Struct(">4sB3s32sQQ")
_ZEROS = b"\x00\x00\x00"
_LENGTH_MIN = formats.ROOT_HEADER_BYTES + formats.SEALED_OVERHEAD + formats.SIGNATURE_BYTES
_BODY = msgspec.msgpack.Decoder(RootBody)


@dataclass(frozen=True, slots=True)
class RootRecord:
    """What an owner must know to find everything else."""

    counter: int
    time_ns: int
    snapshots: tuple[SnapshotRef, ...] = ()
    index_packs: tuple[PackRef, ...] = ()
    marks: tuple[bytes, ...] = ()
    settings: dict[str, str | int] = field(default_factory=dict)


def seal_root(keys: MemberKeys, record: RootRecord, nonce: bytes) -> bytes:
    """The record as it is given to every holder. FormatError when it has no room for it all."""
    check(
        0 <= record.counter <= formats.INT64_MAX and 0 <= record.time_ns <= formats.INT64_MAX,
        "a root record has a number that is out of range",
    )
    body = RootBody(record.snapshots, record.index_packs, record.marks, record.settings)
    _check_body(body)
    header = _HEADER.pack(
        formats.MAGIC_ROOT,
        formats.VERSION,
        _ZEROS,
        keys.identity_public_key,
        record.counter,
        record.time_ns,
    )
    plaintext = formats.encode_body(body, "root record")
    sealed = seal.seal_blob(keys.root_key, formats.SEAL_ROOT, header, plaintext, nonce)
    unsigned = header + sealed
    _, secret = crypto_sign_seed_keypair(keys.identity_seed)
    signature = crypto_sign(formats.SIGN_ROOT + unsigned, secret)[: formats.SIGNATURE_BYTES]
    data = unsigned + signature
    check(len(data) <= formats.ROOT_BYTES_MAX, "a root record is longer than holders accept")
    if open_root(keys, data) != record:
        raise RuntimeError("a root record does not read back as it was written")
    return data


def read_root_envelope(data: bytes) -> tuple[bytes, int]:
    """Whose record this is (the identity public key), and its counter, after checking the
    signature. This is all that a holder can and must check."""
    identity_key, counter, _ = _read_envelope(data)
    return identity_key, counter


def open_root(keys: MemberKeys, data: bytes) -> RootRecord:
    """The record, if it is this member's own."""
    identity_key, counter, time_ns = _read_envelope(data)
    check(identity_key == keys.identity_public_key, "this root record is another member's")
    header = data[: formats.ROOT_HEADER_BYTES]
    sealed = data[formats.ROOT_HEADER_BYTES : -formats.SIGNATURE_BYTES]
    plaintext = seal.open_blob(keys.root_key, formats.SEAL_ROOT, header, sealed)
    body = formats.decode_body(_BODY, plaintext, "root record")
    _check_body(body)
    return RootRecord(counter, time_ns, body.snapshots, body.index_packs, body.marks, body.settings)


def _read_envelope(data: bytes) -> tuple[bytes, int, int]:
    formats.check_prefix(data, formats.MAGIC_ROOT, "root record")
    check(
        _LENGTH_MIN <= len(data) <= formats.ROOT_BYTES_MAX,
        f"a root record cannot have {len(data)} bytes",
    )
    _, _, zeros, identity_key, counter, time_ns = _HEADER.unpack_from(data)
    check(
        zeros == _ZEROS and counter <= formats.INT64_MAX and time_ns <= formats.INT64_MAX,
        "a root record's header is damaged",
    )
    unsigned, signature = data[: -formats.SIGNATURE_BYTES], data[-formats.SIGNATURE_BYTES :]
    try:
        crypto_sign_open(signature + formats.SIGN_ROOT + unsigned, identity_key)
    except CryptoError:
        raise FormatError("a root record is not signed by its owner") from None
    return identity_key, counter, time_ns


def _check_body(body: RootBody) -> None:
    check(len(body.snapshots) <= formats.ROOT_SNAPSHOTS_MAX, "there are too many snapshots")
    for snapshot in body.snapshots:
        check(
            len(snapshot.id) == formats.ID_BYTES
            and 0 <= snapshot.time_ns <= formats.INT64_MAX
            and 0 <= snapshot.files <= formats.INT64_MAX
            and 0 <= snapshot.bytes <= formats.INT64_MAX,
            "a reference to a snapshot is impossible",
        )
    check(len(body.index_packs) <= formats.ROOT_INDEX_PACKS_MAX, "there are too many index packs")
    for ref in body.index_packs:
        index.check_pack_ref(ref)
    check(len(body.marks) <= formats.SNAPSHOT_ROOTS_MAX, "there are too many marks")
    for mark in body.marks:
        tree.check_path(mark)
    check(len(body.settings) <= formats.SETTINGS_MAX, "there are too many settings")
    for name, value in body.settings.items():
        check(len(name) <= formats.TEXT_CHARS_MAX, "a setting's name is too long")
        check(
            isinstance(value, int) or len(value) <= formats.SETTING_CHARS_MAX,
            "a setting is too long",
        )
