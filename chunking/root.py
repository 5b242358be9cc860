"""The root record: the one thing from which an owner's backups are found again.

Every holder keeps a whole copy. A holder has no key, but it can see whose record it is, that it is
signed, and which of two is newer; it never replaces a record by one with a lower counter.
The rest is sealed. The highest valid counter wins.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from chunking import envelope, formats, index, seal, tree
from chunking.formats import PackRef, RootBody, SnapshotRef, check
from chunking.keys import MemberKeys

_KIND = envelope.Kind(
    "root record",
    formats.MAGIC_ROOT,
    formats.SIGN_ROOT,
    formats.ROOT_BYTES_MAX,
    formats.SEALED_OVERHEAD,
)
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
    header = envelope.header_for(_KIND, keys, record.counter, record.time_ns)
    body = RootBody(record.snapshots, record.index_packs, record.marks, record.settings)
    _check_body(body)
    plaintext = formats.encode_body(body, _KIND.name)
    sealed = seal.seal_blob(keys.root_key, formats.SEAL_ROOT, header, plaintext, nonce)
    data = envelope.sign(_KIND, keys, header, sealed)
    if open_root(keys, data) != record:
        raise RuntimeError("a root record does not read back as it was written")
    return data


def read_root_envelope(data: bytes) -> tuple[bytes, int]:
    """Whose record this is (the identity public key), and its counter, after checking the
    signature. This is all that a holder can and must check."""
    found = envelope.read(_KIND, data)
    return found.identity_key, found.counter


def open_root(keys: MemberKeys, data: bytes) -> RootRecord:
    """The record, if it is this member's own."""
    found = envelope.read(_KIND, data)
    check(found.identity_key == keys.identity_public_key, "this root record is another member's")
    plaintext = seal.open_blob(keys.root_key, formats.SEAL_ROOT, found.header, found.body)
    body = formats.decode_body(_BODY, plaintext, _KIND.name)
    _check_body(body)
    return RootRecord(
        found.counter,
        found.time_ns,
        body.snapshots,
        body.index_packs,
        body.marks,
        body.settings,
    )


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
