"""What is in which pack, and what its shares are called.

An index object is a chunk in an index pack; the root record names the index packs. So from a
root record on, every byte that a holder sends has a known hash before it is decoded.
Where a share lies is not in here: one asks the friends, so that shares can move.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import msgspec

from chunking import formats
from chunking.formats import (
    PACK_DATA,
    PACK_INDEX,
    PACK_META,
    FormatError,
    Index,
    IndexEntry,
    PackEntry,
    PackId,
    PackRef,
    ShareName,
    check,
)

__all__ = [
    "PACK_DATA",
    "PACK_INDEX",
    "PACK_META",
    "Index",
    "IndexEntry",
    "PackEntry",
    "PackRef",
    "check_pack_ref",
    "decode_index",
    "encode_index",
    "encode_index_parts",
    "removed_packs",
    "share_names",
]

_KINDS = (PACK_DATA, PACK_META, PACK_INDEX)
_ROW_BYTES = 48  # of a chunk in an index, at most
_ENTRY_BYTES = 64
_REMOVED_TOGETHER = 16_384
_INDEX = msgspec.msgpack.Decoder(Index)
_ENTRIES = msgspec.msgpack.Decoder(tuple[IndexEntry, ...])  # version 1


def share_names(ref: PackRef) -> list[ShareName]:
    """The names of a pack's shares, by number."""
    step = formats.ID_BYTES
    return [ShareName(ref.shares[at : at + step]) for at in range(0, len(ref.shares), step)]


def removed_packs(index: Index) -> list[PackId]:
    """The packs that this index object says are no more."""
    step = formats.ID_BYTES
    return [PackId(index.removed[at : at + step]) for at in range(0, len(index.removed), step)]


def encode_index(entries: Iterable[IndexEntry], removed: Iterable[PackId] = ()) -> bytes:
    """One index object, which must fit one chunk."""
    ordered = tuple(sorted(entries, key=lambda entry: entry.pack.pack))
    index = Index(b"".join(sorted(removed)), ordered)
    _check_index(index)
    body = formats.encode_body(index, "index")
    data = formats.prefix(formats.MAGIC_INDEX, formats.VERSION_INDEX) + body
    check(len(data) <= formats.INDEX_BYTES_MAX, "an index object does not fit one chunk")
    return data


def encode_index_parts(
    entries: Iterable[IndexEntry], removed: Sequence[PackId] = ()
) -> Iterator[bytes]:
    """As few index objects as hold it all with none much above INDEX_BYTES_TARGET."""
    for at in range(0, len(removed), _REMOVED_TOGETHER):
        yield encode_index((), removed[at : at + _REMOVED_TOGETHER])
    group: list[IndexEntry] = []
    size = 0
    for entry in entries:
        more = _ENTRY_BYTES + len(entry.pack.shares) + len(entry.chunks) * _ROW_BYTES
        if group and size + more > formats.INDEX_BYTES_TARGET:
            yield encode_index(group)
            group, size = [], 0
        group.append(entry)
        size += more
    if group:
        yield encode_index(group)


def decode_index(data: bytes) -> Index:
    """What an index object says, each part checked."""
    version = formats.check_prefix(data, formats.MAGIC_INDEX, "index", newest=formats.VERSION_INDEX)
    check(len(data) <= formats.INDEX_BYTES_MAX, "an index object is too long")
    body = memoryview(data)[formats.PREFIX_BYTES :]
    if version == 1:
        index = Index(b"", formats.decode_body(_ENTRIES, body, "index"))
    else:
        index = formats.decode_body(_INDEX, body, "index")
    _check_index(index)
    return index


def _check_index(index: Index) -> None:
    check(len(index.entries) <= formats.INDEX_ENTRIES_MAX, "an index object has too many packs")
    check(
        len(index.removed) % formats.ID_BYTES == 0
        and len(index.removed) <= formats.INDEX_REMOVED_MAX * formats.ID_BYTES,
        "an index object removes an impossible number of packs",
    )
    _check_ascending(removed_packs(index))
    _check_ascending([entry.pack.pack for entry in index.entries])
    for entry in index.entries:
        check(entry.kind in _KINDS, "an index has a pack of an unknown kind")
        check_pack_ref(entry.pack)
        _check_chunks(entry)


def _check_ascending(packs: Sequence[PackId]) -> None:
    for before, after in pairwise(packs):
        check(before < after, "an index is not sorted, or has a pack twice")


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
