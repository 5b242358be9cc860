"""What the last night saw in a directory, so that unchanged files need not be read again.

A listing is kept in the catalog only: the directory's entries as they went into the snapshot, and
beside each the stamps that tell whether the file was touched since. A file is unchanged when
size, modification time, change time, inode and device all are. The change time cannot be set by
programs, so a tool that restores an old modification time does not fool us.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from chunking.formats import Entry, FormatError
from chunking.tree import decode_directory, encode_directory
from peer.files.reader import Found

UNSETTLED = 0
"""A stamp that no real file has: the file is read again next time."""
RACY_NS = 2_000_000_000
"""A file changed this shortly before it was read may change again within one clock tick."""


class _Listing(msgspec.Struct, array_like=True):
    entries: bytes
    stamps: list[tuple[int, int, int]]


def encode_listing(entries: Sequence[Entry], stamps: Mapping[bytes, tuple[int, int, int]]) -> bytes:
    """`entries` sorted by name; `stamps` by name, missing for directories and symlinks."""
    none = (UNSETTLED, 0, 0)
    return msgspec.msgpack.encode(
        _Listing(encode_directory(entries), [stamps.get(entry.name, none) for entry in entries])
    )


_decoder = msgspec.msgpack.Decoder(_Listing)


def decode_listing(data: bytes | None) -> dict[bytes, tuple[Entry, tuple[int, int, int]]]:
    """By name; empty when there is none or it is not readable (then files are simply re-read)."""
    if data is None:
        return {}
    try:
        listing = _decoder.decode(data)
        entries = decode_directory(listing.entries)
    except (msgspec.MsgspecError, FormatError):
        return {}
    return {
        entry.name: (entry, stamp) for entry, stamp in zip(entries, listing.stamps, strict=True)
    }


def stamp_of(found: Found, night_ns: int) -> tuple[int, int, int]:
    """The stamp to keep for a file that was read tonight."""
    if found.ctime_ns > night_ns - RACY_NS:
        return (UNSETTLED, 0, 0)
    return (found.ctime_ns, found.inode, found.device)


def is_unchanged(entry: Entry, stamp: tuple[int, int, int], found: Found) -> bool:
    """Whether the file need not be read again."""
    return (
        stamp == (found.ctime_ns, found.inode, found.device)
        and entry.kind == found.kind
        and entry.size == found.size
        and entry.mtime_ns == found.mtime_ns
    )
