"""What a backup is: directories, long lists of chunks, and snapshots, as bytes and back.

A directory's listing is content like any file's: it is chunked and sealed, and its chunk ids
stand in the entry of the directory above. So an unchanged directory costs nothing, whatever
changed beside it. A content with more than CONTENT_IDS_MAX chunks keeps its ids in list chunks,
cut where the ids themselves say so: a change in the middle of a huge file changes one of them.

The readers check everything: a name that could lead out of a directory, an unsorted or repeated
name, an impossible extent is a FormatError here, long before a file system meets it.

Empty and sparse files: a file of size > 0 without chunks is one single hole. `extents` says where
the content of a sparse file goes; without them it goes from the start to the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from chunking import formats
from chunking.formats import (
    KIND_DIR,
    KIND_FILE,
    KIND_OTHER,
    KIND_SYMLINK,
    NO_CONTENT,
    ChunkId,
    Content,
    Entry,
    FormatError,
    Note,
    Root,
    Snapshot,
    check,
)

__all__ = [
    "KIND_DIR",
    "KIND_FILE",
    "KIND_OTHER",
    "KIND_SYMLINK",
    "NO_CONTENT",
    "Content",
    "Entry",
    "Note",
    "Root",
    "Snapshot",
    "content_of",
    "decode_directory",
    "decode_snapshot",
    "encode_directory",
    "encode_snapshot",
    "fit_notes",
    "ids_of",
    "pack_ids",
    "split_ids",
    "unpack_ids",
]

_ID = formats.ID_BYTES
_KINDS = (KIND_FILE, KIND_DIR, KIND_SYMLINK)
_FORBIDDEN_NAMES = (b"", b".", b"..")
_MODE_MAX = 0o7777
_DIRECTORY = msgspec.msgpack.Decoder(tuple[Entry, ...])
_SNAPSHOT = msgspec.msgpack.Decoder(Snapshot)


# --- directories ------------------------------------------------------------------------------


def encode_directory(entries: Iterable[Entry]) -> bytes:
    """The listing of a directory, the same for the same entries in whatever order they come."""
    listing = sorted(map(_with_sorted_xattrs, entries), key=_name_of)
    _check_listing(listing)
    data = formats.prefix(formats.MAGIC_DIRECTORY) + formats.encode_body(listing, "directory")
    check(len(data) <= formats.DIRECTORY_BYTES_MAX, "a directory's listing is too long")
    return data


def decode_directory(data: bytes) -> tuple[Entry, ...]:
    """The entries of a directory, sorted by name, each one checked."""
    formats.check_prefix(data, formats.MAGIC_DIRECTORY, "directory")
    check(len(data) <= formats.DIRECTORY_BYTES_MAX, "a directory's listing is too long")
    body = memoryview(data)[formats.PREFIX_BYTES :]
    listing = formats.decode_body(_DIRECTORY, body, "directory")
    _check_listing(listing)
    return listing


def _name_of(entry: Entry) -> bytes:
    return entry.name


def _with_sorted_xattrs(entry: Entry) -> Entry:
    if len(entry.xattrs) < 2:
        return entry
    return msgspec.structs.replace(entry, xattrs=tuple(sorted(entry.xattrs)))


def _check_listing(listing: Sequence[Entry]) -> None:
    check(len(listing) <= formats.DIRECTORY_ENTRIES_MAX, "a directory has too many entries")
    before = b""
    for entry in listing:
        name = entry.name
        if name <= before:
            raise FormatError("a directory is not sorted, or has a name twice or without letters")
        _check_name(name)
        _check_entry(entry)
        before = name


def _check_name(name: bytes) -> None:
    if name in _FORBIDDEN_NAMES or b"/" in name or b"\x00" in name:
        raise FormatError(f"{name[:80]!r} cannot be a file's name")
    if len(name) > formats.NAME_BYTES_MAX:
        raise FormatError(f"a file's name has {len(name)} bytes")


def _check_entry(entry: Entry) -> None:
    kind = entry.kind
    if (
        kind not in _KINDS
        or not 0 <= entry.mode <= _MODE_MAX
        or not 0 <= entry.uid <= formats.UINT32_MAX
        or not 0 <= entry.gid <= formats.UINT32_MAX
        or not -formats.INT64_MAX <= entry.mtime_ns <= formats.INT64_MAX
        or not 0 <= entry.size <= formats.INT64_MAX
        or not 0 <= entry.link_group <= formats.INT64_MAX
    ):
        raise FormatError(f"the entry {entry.name[:80]!r} has a number that is out of range")
    content = entry.content
    if content.ids or content.level:
        _check_content(content)
    if entry.xattrs:
        _check_xattrs(entry)
    if entry.extents:
        _check_extents(entry)
    # What only one kind may have.
    if kind == KIND_FILE:
        wrong = bool(entry.target)
    elif kind == KIND_DIR:
        wrong = bool(entry.target or entry.link_group or entry.extents)
    else:
        wrong = bool(content.ids or entry.extents) or not (
            0 < len(entry.target) <= formats.PATH_BYTES_MAX and b"\x00" not in entry.target
        )
    if wrong:
        raise FormatError(f"the entry {entry.name[:80]!r} has what its kind cannot have")


def _check_content(content: Content) -> None:
    ids, level = len(content.ids), content.level
    if ids % _ID or not 0 < ids <= formats.CONTENT_IDS_MAX * _ID:
        raise FormatError("a content has an impossible list of chunks")
    if not 0 <= level <= formats.LEVEL_MAX:
        raise FormatError(f"a content has the impossible level {level}")


def _check_xattrs(entry: Entry) -> None:
    total = 0
    before = b""
    for name, value in entry.xattrs:
        if name <= before or b"\x00" in name or len(name) > formats.XATTR_NAME_BYTES_MAX:
            raise FormatError(f"an extended attribute of {entry.name[:80]!r} has a bad name")
        if len(value) > formats.XATTR_VALUE_BYTES_MAX:
            raise FormatError(f"an extended attribute of {entry.name[:80]!r} is too long")
        total += len(name) + len(value)
        before = name
    if total > formats.XATTRS_BYTES_MAX:
        raise FormatError(f"the extended attributes of {entry.name[:80]!r} are too long")


def _check_extents(entry: Entry) -> None:
    if len(entry.extents) > formats.EXTENTS_MAX:
        raise FormatError(f"{entry.name[:80]!r} has too many extents")
    end = 0
    for offset, length in entry.extents:
        if offset < end or length <= 0 or offset + length > entry.size:
            raise FormatError(f"an extent of {entry.name[:80]!r} is out of place")
        end = offset + length
    if not entry.content.ids:
        raise FormatError(f"{entry.name[:80]!r} has extents and no content")


# --- lists of chunks --------------------------------------------------------------------------


def split_ids(ids: bytes) -> list[ChunkId]:
    """Ids that are stored end to end, one by one."""
    return [ChunkId(ids[at : at + _ID]) for at in range(0, len(ids), _ID)]


def pack_ids(ids: Sequence[ChunkId]) -> list[bytes]:
    """List chunks (their plaintext) that together hold these ids, in order.

    A part ends after an id that begins with ten zero bits, once it has LIST_IDS_MIN ids.
    Ids are random, so that is once in a thousand, and always at the same ones.
    """
    parts: list[bytes] = []
    begin = 0
    for end in range(1, len(ids) + 1):
        length = end - begin
        last = ids[end - 1]
        cut = length >= formats.LIST_IDS_MIN and last[0] == 0 and last[1] < 64
        if cut or length == formats.LIST_IDS_MAX or end == len(ids):
            parts.append(formats.prefix(formats.MAGIC_LIST) + b"".join(ids[begin:end]))
            begin = end
    return parts


def unpack_ids(part: bytes) -> list[ChunkId]:
    """The ids in one list chunk."""
    formats.check_prefix(part, formats.MAGIC_LIST, "list of chunks")
    size = len(part) - formats.PREFIX_BYTES
    check(
        0 < size <= formats.LIST_IDS_MAX * _ID and size % _ID == 0,
        "a list of chunks has an impossible length",
    )
    return split_ids(part[formats.PREFIX_BYTES :])


def content_of(ids: Sequence[ChunkId], store: Callable[[bytes, int], ChunkId]) -> Content:
    """The content made of these chunks. `store` is called with each list chunk that it needs and
    that list's level, 1 for lists of data chunks first, and returns the list chunk's id."""
    level = 0
    while len(ids) > formats.CONTENT_IDS_MAX:
        level += 1
        check(level <= formats.LEVEL_MAX, "a file has more chunks than can be listed")
        ids = [store(part, level) for part in pack_ids(ids)]
    return Content(level, b"".join(ids))


def ids_of(content: Content, fetch: Callable[[ChunkId], bytes]) -> Iterator[ChunkId]:
    """The data chunks of a content, in order. `fetch` returns the plaintext of a list chunk;
    it is called as the iteration reaches it, at most LEVEL_MAX lists are held at a time."""
    return _walk(split_ids(content.ids), content.level, fetch)


def _walk(
    ids: Iterable[ChunkId], level: int, fetch: Callable[[ChunkId], bytes]
) -> Iterator[ChunkId]:
    if level == 0:
        yield from ids
        return
    for chunk_id in ids:
        yield from _walk(unpack_ids(fetch(chunk_id)), level - 1, fetch)


# --- snapshots --------------------------------------------------------------------------------


def fit_notes(notes: Iterable[Note]) -> tuple[Note, ...]:
    """As many of the notes, from the first, as a snapshot can hold."""
    kept: list[Note] = []
    room = formats.NOTES_BYTES_MAX
    for note in notes:
        room -= len(note.path) + len(note.code.encode("utf-8", "replace")) + 16
        if room < 0 or len(kept) == formats.NOTES_MAX:
            break
        kept.append(note)
    return tuple(kept)


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """A snapshot, which must fit one chunk."""
    roots = tuple(
        Root(root.path, _with_sorted_xattrs(root.entry))
        for root in sorted(snapshot.roots, key=lambda root: root.path)
    )
    snapshot = msgspec.structs.replace(snapshot, roots=roots)
    _check_snapshot(snapshot)
    data = formats.prefix(formats.MAGIC_SNAPSHOT) + formats.encode_body(snapshot, "snapshot")
    check(len(data) <= formats.SNAPSHOT_BYTES_MAX, "a snapshot does not fit one chunk")
    return data


def decode_snapshot(data: bytes) -> Snapshot:
    """A snapshot, checked; its roots are sorted by path."""
    formats.check_prefix(data, formats.MAGIC_SNAPSHOT, "snapshot")
    check(len(data) <= formats.SNAPSHOT_BYTES_MAX, "a snapshot is too long")
    body = memoryview(data)[formats.PREFIX_BYTES :]
    snapshot = formats.decode_body(_SNAPSHOT, body, "snapshot")
    _check_snapshot(snapshot)
    return snapshot


def _check_snapshot(snapshot: Snapshot) -> None:
    check(len(snapshot.member) <= formats.TEXT_CHARS_MAX, "a member's name is too long")
    check(
        0 <= snapshot.time_ns <= formats.INT64_MAX
        and 0 <= snapshot.files <= formats.INT64_MAX
        and 0 <= snapshot.bytes <= formats.INT64_MAX,
        "a snapshot has a number that is out of range",
    )
    check(len(snapshot.roots) <= formats.SNAPSHOT_ROOTS_MAX, "a snapshot has too many roots")
    check(len(snapshot.notes) <= formats.NOTES_MAX, "a snapshot has too many notes")
    before = b""
    for root in snapshot.roots:
        check_path(root.path)
        check(root.path > before, "a snapshot's roots are not sorted, or one is there twice")
        if root.entry.name:  # the root of a file system has none
            _check_name(root.entry.name)
        _check_entry(root.entry)
        before = root.path
    for note in snapshot.notes:
        check(len(note.path) <= formats.PATH_BYTES_MAX, "a note's path is too long")
        check(len(note.code) <= formats.TEXT_CHARS_MAX, "a note's code is too long")


def check_path(path: bytes) -> None:
    """Raise FormatError unless this is an absolute path without `.`, `..` or empty parts."""
    ok = path == b"/" or (
        0 < len(path) <= formats.PATH_BYTES_MAX
        and b"\x00" not in path
        and (path[:1] == b"/" or path[1:2] == b":")
        and not any(part in _FORBIDDEN_NAMES for part in path[1:].split(b"/"))
    )
    if not ok:
        raise FormatError(f"{path[:80]!r} is not an absolute path")
