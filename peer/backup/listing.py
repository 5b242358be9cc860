"""What the last night saw in a directory, so that unchanged files need not be read again.

Kept in the catalog only. Of each directory there are two *prints*: of the stamps of its files, and
of the entries of its folders. While both stay the same the directory is the same, and its listing
is not even decoded. When one differs, the *listing* tells for each file whether it was touched: its
entry as it went into the snapshot, and beside it the stamps that the file had.

A file is unchanged when size, modification time, change time and inode are. The change time cannot
be set by programs, so a tool that restores an old modification time does not fool us. The device
does not count: some file systems get another number at every mount.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from chunking.formats import Entry, FormatError
from chunking.tree import decode_directory
from peer.files.reader import Found

RACY_NS = 2_000_000_000
"""A file changed this shortly before it was read may change again within one clock tick."""
PRINT_BYTES = 16
LOOK_AGAIN = b""
"""The print of files that are to be looked at one by one next time."""

Stamp = tuple[int, int]
"""Change time in nanoseconds, and inode."""
NO_STAMP: Stamp = (0, 0)
"""A stamp that no real file has: the file is read again next time."""


class _Listing(msgspec.Struct, array_like=True):
    entries: bytes
    stamps: list[Stamp]


_decoder = msgspec.msgpack.Decoder(_Listing)
_encode = msgspec.msgpack.Encoder().encode


def encode_listing(
    encoded: bytes, entries: Iterable[Entry], stamps: Mapping[bytes, Stamp]
) -> bytes:
    """`encoded` is `entries` as a directory; `stamps` by name, missing for folders and links."""
    return _encode(_Listing(encoded, [stamps.get(entry.name, NO_STAMP) for entry in entries]))


def decode_listing(data: bytes | None) -> dict[bytes, tuple[Entry, Stamp]]:
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


def listed_entries(data: bytes | None) -> tuple[Entry, ...]:
    """The entries alone, in the directory's order; none where there is no readable listing."""
    if data is None:
        return ()
    try:
        return decode_directory(_decoder.decode(data).entries)
    except (msgspec.MsgspecError, FormatError):
        return ()


def stamp_of(found: Found, night_ns: int) -> Stamp:
    """The stamp to keep for a file that was read tonight."""
    if found.ctime_ns > night_ns - RACY_NS:
        return NO_STAMP
    return (found.ctime_ns, found.inode)


def is_unchanged(entry: Entry, stamp: Stamp, found: Found) -> bool:
    """Whether the file need not be read again."""
    return (
        stamp == (found.ctime_ns, found.inode)
        and entry.kind == found.kind
        and entry.size == found.size
        and entry.mtime_ns == found.mtime_ns
    )


def files_print(found: Iterable[Found], night_ns: int) -> bytes:
    """Another one whenever anything but a folder was touched; LOOK_AGAIN if it might be again."""
    last = night_ns - RACY_NS
    rows = []
    for f in found:
        if f.ctime_ns > last:
            return LOOK_AGAIN
        rows.append((f.name, f.kind, f.mode, f.uid, f.gid, f.size, f.mtime_ns, f.ctime_ns, f.inode))
    return _print(rows)


def folders_print(entries: Sequence[Entry]) -> bytes:
    """Another one whenever a folder's entry, and so anything below it, is another."""
    return _print(entries)


def _print(value: object) -> bytes:
    return hashlib.blake2b(_encode(value), digest_size=PRINT_BYTES).digest()
