"""What is in which pack, and what its shares are called.

An index object is a chunk in an index pack; the root record names the index packs. So from a
root record on, every byte that a holder sends has a known hash before it is decoded.
Where a share lies is not in here: one asks the friends, so that shares can move.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from chunking import formats
from chunking.formats import (
    PACK_DATA,
    PACK_INDEX,
    PACK_META,
    FormatError,
    IndexEntry,
    PackEntry,
    PackRef,
    ShareName,
    check,
)

__all__ = [
    "PACK_DATA",
    "PACK_INDEX",
    "PACK_META",
    "IndexEntry",
    "PackEntry",
    "PackRef",
    "check_pack_ref",
    "decode_index",
    "encode_index",
    "encode_index_parts",
    "share_names",
]

_KINDS = (PACK_DATA, PACK_META, PACK_INDEX)
_ROW_BYTES = 48  # of a chunk in an index, at most
_ENTRY_BYTES = 64
_INDEX = msgspec.msgpack.Decoder(tuple[IndexEntry, ...])


def share_names(ref: PackRef) -> list[ShareName]:
    """The names of a pack's shares, by number."""
    step = formats.ID_BYTES
    return [ShareName(ref.shares[at : at + step]) for at in range(0, len(ref.shares), step)]


def encode_index(entries: Iterable[IndexEntry]) -> bytes:
    """One index object, which must fit one chunk."""
    ordered = sorted(entries, key=lambda entry: entry.pack.pack)
    _check_index(ordered)
    data = formats.prefix(formats.MAGIC_INDEX) + formats.encode_body(ordered, "index")
    check(len(data) <= formats.INDEX_BYTES_MAX, "an index object does not fit one chunk")
    return data


def encode_index_parts(entries: Iterable[IndexEntry]) -> list[bytes]:
    """As few index objects as hold all entries with none much above INDEX_BYTES_TARGET."""
    parts: list[bytes] = []
    group: list[IndexEntry] = []
    size = 0
    for entry in entries:
        more = _ENTRY_BYTES + len(entry.pack.shares) + len(entry.chunks) * _ROW_BYTES
        if group and size + more > formats.INDEX_BYTES_TARGET:
            parts.append(encode_index(group))
            group, size = [], 0
        group.append(entry)
        size += more
    if group:
        parts.append(encode_index(group))
    return parts


def decode_index(data: bytes) -> tuple[IndexEntry, ...]:
    """The entries of an index object, sorted by pack id, each one checked."""
    formats.check_prefix(data, formats.MAGIC_INDEX, "index")
    check(len(data) <= formats.INDEX_BYTES_MAX, "an index object is too long")
    body = memoryview(data)[formats.PREFIX_BYTES :]
    entries = formats.decode_body(_INDEX, body, "index")
    _check_index(entries)
    return entries


def _check_index(entries: Sequence[IndexEntry]) -> None:
    check(len(entries) <= formats.INDEX_ENTRIES_MAX, "an index object has too many packs")
    before = b""
    for entry in entries:
        check(entry.pack.pack > before, "an index is not sorted, or has a pack twice")
        check(entry.kind in _KINDS, "an index has a pack of an unknown kind")
        check_pack_ref(entry.pack)
        _check_chunks(entry)
        before = entry.pack.pack


def check_pack_ref(ref: PackRef) -> None:
    """Raise FormatError for a reference that no pack can have."""
    shares, rest = divmod(len(ref.shares), formats.ID_BYTES)
    check(
        len(ref.pack) == formats.ID_BYTES
        and rest == 0
        and 1 <= ref.needed <= formats.NEEDED_MAX
        and ref.needed <= shares <= formats.SHARES_MAX
        and 0 < ref.length <= formats.PACK_BYTES_MAX,
        "a reference to a pack is impossible",
    )


def _check_chunks(entry: IndexEntry) -> None:
    chunks = entry.chunks
    check(0 < len(chunks) <= formats.PACK_ENTRIES_MAX, "a pack has an impossible number of chunks")
    end = 0
    for chunk in chunks:
        if (
            len(chunk.id) != formats.ID_BYTES
            or chunk.offset < end
            or not formats.SEALED_OVERHEAD <= chunk.length <= formats.SEALED_CHUNK_MAX
        ):
            raise FormatError("a chunk of a pack is out of place")
        end = chunk.offset + chunk.length
    check(end <= entry.pack.length, "a chunk lies outside of its pack")
    check(len({chunk.id for chunk in chunks}) == len(chunks), "a chunk is in a pack twice")
