"""Every layout that outlives a process: magics, versions, limits, purpose tags, structs.

Be very careful here. Almost any change makes backups that people already have unreadable.
To change a format: raise its version, keep the reader of the old one, add a golden file.

Integers in fixed layouts are big-endian. "sealed" is the layout of a sealed blob, below.

sealed blob            the form of everything encrypted (seal.py)
    0   1   algorithm: 1 = XChaCha20-Poly1305, 2 = the same over a zstd frame
    1  24   nonce
   25   *   ciphertext, then the 16 bytes of its tag
    Associated data: purpose (16 bytes, zero padded) || algorithm || what the purpose binds.

sealed chunk           a sealed blob; purpose SEAL_CHUNK, binds the chunk id

pack                   many sealed chunks (pack.py)
    0   *   sealed chunks, end to end
        *   table: a sealed blob (SEAL_PACK_TABLE, binds its own offset as 8 bytes) of
              0   4   number of chunks
              4  36   for each chunk in order: chunk id 32 | length of the sealed chunk 4
                  *   zeros that bring the whole pack to a Padmé length
  -57  57   trailer: a sealed blob (SEAL_PACK_TRAILER, binds nothing) of
              0   4   magic "CVPK"
              4   1   version 1
              5   3   zeros
              8   8   offset of the table
    A holder sees no boundary in it: the table, its padding and the trailer are ciphertext.

share                  one of the coded parts of a pack (share.py): header, then payload
    0   4   magic "CVSH"
    4   1   version 1
    5   1   needed: how many shares rebuild the pack, 1..255
    6   1   number of this share, 0..255
    7   1   zero
    8   8   length of the pack
   16  32   owner's member id
   48  32   pack id
   80       end of the header; the payload has ceil(pack length / needed) bytes
    Its name: BLAKE2b-256 (HASH_SHARE) of header || Merkle root of the payload's 64 KiB blocks.
    How many shares there are is not in it, so that more can be made without renaming any.

list chunk             a part of a long list of chunk ids (tree.py)
    0   4   magic "CVLS"
    4   1   version 1
    5  32   each: a chunk id

directory  "CVDR" 1    a MessagePack array of Entry, sorted by name
snapshot   "CVSN" 1    MessagePack Snapshot
index      "CVIX" 2    MessagePack Index; version 1 was its `entries` alone
    Each: magic 4 | version 1 | MessagePack; structs are arrays, in the order of their fields.
    Only the canonical encoding is read: what is decoded must encode to the same bytes.

root record            the newest state of an owner, whole (root.py)
    0   4   magic "CVRR"
    4   1   version 1
    5   3   zeros
    8  32   identity public key (Ed25519)
   40   8   counter: the highest valid one wins
   48   8   time, nanoseconds since 1970
   56   *   sealed blob (SEAL_ROOT, binds bytes 0..56) of MessagePack RootBody
  -64  64   Ed25519 signature of SIGN_ROOT || everything before it

usage statement        what a member holds, and what others have shown it to hold (statement.py)
    0   4   magic "CVUS"
    4   1   version 1
    5   3   zeros
    8  32   identity public key (Ed25519)
   40   8   counter: the highest one is the newest
   48   8   time, nanoseconds since 1970
   56   *   MessagePack StatementBody, in the clear: every member may add it up
  -64  64   Ed25519 signature of SIGN_STATEMENT || everything before it

duty                   what friends need to repair an absent owner's shares (duty.py)
    0   4   magic "CVDU"
    4   1   version 1
    5   3   zeros
    8  32   identity public key (Ed25519) of the owner
   40   8   counter: the highest valid one wins
   48   8   time, nanoseconds since 1970
   56   *   MessagePack DutyBody, in the clear
  -64  64   Ed25519 signature of SIGN_DUTY || everything before it
"""

from __future__ import annotations

from typing import NewType, TypeVar

import msgspec

ChunkId = NewType("ChunkId", bytes)
PackId = NewType("PackId", bytes)
ShareName = NewType("ShareName", bytes)


class FormatError(ValueError):
    """These bytes are not what they should be: damaged, forged, or from another program."""


class UnknownVersion(FormatError):
    """These bytes were written by a newer Covey."""


# --- sizes -------------------------------------------------------------------------------

ID_BYTES = 32  # every id and name here is a BLAKE2b-256
KEY_BYTES = 32
NONCE_BYTES = 24
TAG_BYTES = 16
SIGNATURE_BYTES = 64

CHUNK_MIN = 256 * 1024  # below it FastCDC never cuts; also the chunk of a small file
CHUNK_AVG = 1024 * 1024
CHUNK_MAX = 4 * 1024 * 1024  # also the bound on what one decompression may produce

SEALED_OVERHEAD = 1 + NONCE_BYTES + TAG_BYTES
SEALED_CHUNK_MAX = CHUNK_MAX + SEALED_OVERHEAD

BLOCK_BYTES = 64 * 1024  # a leaf of a share's Merkle tree; the unit of resuming and auditing

PACK_TARGET_PER_NEEDED = 4 * 1024 * 1024  # a share of a full pack is about this large
PACK_TARGET_MIN = 8 * 1024 * 1024
PACK_TARGET_MAX = 64 * 1024 * 1024
PACK_BYTES_MAX = 80 * 1024 * 1024  # target, one chunk more, the table, and Padmé's at most 3 %
PACK_ENTRIES_MAX = 65_536  # keeps one pack's index entry below CHUNK_MAX
PACK_TABLE_ROW_BYTES = ID_BYTES + 4
PACK_TRAILER_BYTES = SEALED_OVERHEAD + 16

SHARE_HEADER_BYTES = 80
SHARES_MAX = 256  # zfec's field has 256 elements
NEEDED_MAX = 255

CONTENT_IDS_MAX = 256  # more ids than this go into list chunks
LIST_IDS_MIN = 256  # every level shortens the list at least by this factor
LIST_IDS_MAX = 8_192
LEVEL_MAX = 3  # 256 * 256**3 chunks at the least: exabytes

NAME_BYTES_MAX = 1_024  # Linux has 255; some file systems allow more
PATH_BYTES_MAX = 64 * 1024
XATTR_NAME_BYTES_MAX = 1_024
XATTR_VALUE_BYTES_MAX = 64 * 1024
XATTRS_BYTES_MAX = 256 * 1024  # all names and values of one entry
EXTENTS_MAX = 1_024
DIRECTORY_ENTRIES_MAX = 4_000_000
DIRECTORY_BYTES_MAX = 1024 * 1024 * 1024

SNAPSHOT_BYTES_MAX = CHUNK_MAX  # a snapshot is one chunk
SNAPSHOT_ROOTS_MAX = 1_024
NOTES_MAX = 1_000
NOTES_BYTES_MAX = 1024 * 1024
TEXT_CHARS_MAX = 256  # a member's name, a note's code, a setting's name

INDEX_BYTES_MAX = CHUNK_MAX  # an index object is one chunk
INDEX_BYTES_TARGET = 1024 * 1024
INDEX_ENTRIES_MAX = 65_536
INDEX_REMOVED_MAX = 65_536

ROOT_BYTES_MAX = 1024 * 1024  # every holder keeps a whole copy
ENVELOPE_HEADER_BYTES = 56
ROOT_SNAPSHOTS_MAX = 4_096
ROOT_INDEX_PACKS_MAX = 4_096
SETTINGS_MAX = 256
SETTING_CHARS_MAX = 4_096

STATEMENT_BYTES_MAX = 16 * 1024
STATEMENT_DEALINGS_MAX = 256  # a group has at most so many members; 53 bytes each at most

DUTY_BYTES_MAX = 4 * 1024 * 1024  # some 10,000 packs of ten shares: what holders keep whole
DUTY_GRACE_DAYS_MAX = 3650
DUTY_DEPUTIES_MAX = 64  # a pack has at most 20 holders
DUTY_PACKS_MAX = 65_536

INT64_MAX = 2**63 - 1
UINT32_MAX = 2**32 - 1

# --- magics and versions -----------------------------------------------------------------

MAGIC_PACK = b"CVPK"
MAGIC_SHARE = b"CVSH"
MAGIC_LIST = b"CVLS"
MAGIC_DIRECTORY = b"CVDR"
MAGIC_SNAPSHOT = b"CVSN"
MAGIC_INDEX = b"CVIX"
MAGIC_ROOT = b"CVRR"
MAGIC_STATEMENT = b"CVUS"
MAGIC_DUTY = b"CVDU"
VERSION = 1  # of each of them but the index
VERSION_INDEX = 2  # 1 had no `removed`
PREFIX_BYTES = 5

ALGORITHM_PLAIN = 1
ALGORITHM_ZSTD = 2

# --- purpose tags: no hash and no key is ever used for two purposes -----------------------
# BLAKE2b's personalisation has 16 bytes. "covey member id" is taken by signaling.messages.

HASH_GROUP_NAME = b"covey group name"
HASH_GROUP_SALT = b"covey group salt"
HASH_CHUNK = b"covey chunk"
HASH_PACK = b"covey pack"
HASH_PACK_NONCE = b"covey pack nonce"
HASH_LEAF = b"covey leaf"
HASH_NODE = b"covey node"
HASH_SHARE = b"covey share"

KEY_IDENTITY = b"covey identity"
KEY_CHUNK_IDS = b"covey chunk ids"
KEY_CONTENT = b"covey content"
KEY_ROOT = b"covey root key"

SEAL_CHUNK = b"covey chunk"
SEAL_PACK_TABLE = b"covey table"
SEAL_PACK_TRAILER = b"covey trailer"
SEAL_ROOT = b"covey root"
SEAL_PURPOSE_BYTES = 16

SIGN_ROOT = b"covey root record\x00"
SIGN_STATEMENT = b"covey usage statement\x00"
SIGN_DUTY = b"covey duty\x00"

# --- what is in the trees -----------------------------------------------------------------

KIND_OTHER = 0  # sockets, devices, FIFOs: met while scanning, never stored
KIND_FILE = 1
KIND_DIR = 2
KIND_SYMLINK = 3

PACK_DATA = 1  # pieces of files
PACK_META = 2  # directories, list chunks, snapshots
PACK_INDEX = 3  # index objects


class _Struct(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    """Immutable, an array on the wire, and never part of a reference cycle."""


class Content(_Struct, frozen=True):
    """Which chunks, in order, make up some bytes: a file's, or a directory's listing.

    Level 0: `ids` are those chunks. Level n: `ids` are list chunks of level n - 1.
    """

    level: int = 0
    ids: bytes = b""  # ids end to end


NO_CONTENT = Content()


class Entry(_Struct, frozen=True):
    """One name in a directory."""

    name: bytes
    kind: int
    mode: int  # the permission bits, setuid, setgid and sticky: 0..0o7777
    uid: int
    gid: int
    mtime_ns: int
    size: int
    content: Content = NO_CONTENT
    xattrs: tuple[tuple[bytes, bytes], ...] = ()  # sorted by name
    target: bytes = b""  # of a symbolic link
    link_group: int = 0  # entries of a snapshot with the same number are one file; 0: alone
    extents: tuple[tuple[int, int], ...] = ()  # of a sparse file: where its content goes


class Root(_Struct, frozen=True):
    """One marked path as it was when the snapshot was made."""

    path: bytes
    entry: Entry


class Note(_Struct, frozen=True):
    """Something that the snapshot does not have, and why, as a short code."""

    path: bytes
    code: str


class Snapshot(_Struct, frozen=True):
    """One backup."""

    time_ns: int
    member: str
    roots: tuple[Root, ...]
    files: int
    bytes: int
    notes: tuple[Note, ...] = ()


class PackEntry(_Struct, frozen=True):
    """Where a sealed chunk lies in its pack."""

    id: ChunkId
    offset: int
    length: int


class PackRef(_Struct, frozen=True):
    """A pack, and the names of its shares, end to end in the order of their numbers."""

    pack: PackId
    needed: int
    length: int
    shares: bytes


class IndexEntry(_Struct, frozen=True):
    """A pack and what is in it."""

    pack: PackRef
    kind: int
    chunks: tuple[PackEntry, ...]


class Index(_Struct, frozen=True):
    """Packs and what is in them, and packs of other index objects that are no more.

    An index object is never changed, so that a pack's end is told by a later one. Ids are random:
    a removed pack never comes back, and the order in which index objects are read is all one.
    """

    removed: bytes  # ids end to end, sorted
    entries: tuple[IndexEntry, ...]  # sorted by pack id


class SnapshotRef(_Struct, frozen=True):
    """A snapshot as the root record names it."""

    id: ChunkId
    time_ns: int
    files: int
    bytes: int
    complete: bool


class RootBody(_Struct, frozen=True):
    """The sealed part of a root record."""

    snapshots: tuple[SnapshotRef, ...]
    index_packs: tuple[PackRef, ...]
    marks: tuple[bytes, ...]
    settings: dict[str, str | int]


class Dealing(_Struct, frozen=True):
    """What a member says of itself and one other member."""

    member: bytes
    held_bytes: int  # of that member's shares, kept by the one who signs
    shown_bytes: int  # of the signer's own shares: what that member's audits have shown it to keep


class DutyBody(_Struct, frozen=True):
    """What a duty tells; deputies by whose turn it is, packs sorted by id."""

    grace_days: int
    deputies: tuple[bytes, ...]
    packs: tuple[PackRef, ...]


class StatementBody(_Struct, frozen=True):
    """What a usage statement tells."""

    offer_bytes: int
    dealings: tuple[Dealing, ...]  # sorted by member


# --- magic, version, MessagePack ------------------------------------------------------------

_T = TypeVar("_T")
_ENCODER = msgspec.msgpack.Encoder(order="deterministic")


def check_prefix(data: bytes, magic: bytes, what: str, newest: int = VERSION) -> int:
    """The version of these bytes; refuses another kind, and a version newer than `newest`."""
    if len(data) < PREFIX_BYTES or data[:4] != magic:
        raise FormatError(f"this is not a {what}")
    if not 1 <= data[4] <= newest:
        raise UnknownVersion(f"this {what} has version {data[4]}; this program knows {newest}")
    return data[4]


def prefix(magic: bytes, version: int = VERSION) -> bytes:
    """The first five bytes of a format."""
    return magic + bytes((version,))


def encode_body(value: object, what: str) -> bytes:
    """MessagePack; the same bytes for the same value. FormatError for what it cannot hold."""
    try:
        return _ENCODER.encode(value)
    except (msgspec.MsgspecError, OverflowError, UnicodeError, TypeError, RecursionError) as error:
        raise FormatError(f"this {what} cannot be written: {error}") from error


def decode_body(decoder: msgspec.msgpack.Decoder[_T], body: bytes | memoryview, what: str) -> _T:
    """The inverse of `encode_body`; refuses every other encoding of the same value."""
    try:
        value = decoder.decode(body)
        again = _ENCODER.encode(value)
    except (msgspec.MsgspecError, OverflowError, UnicodeError, RecursionError) as error:
        raise FormatError(f"this {what} is damaged: {error}") from error
    if again != bytes(body):  # comparing a memoryview goes byte by byte
        raise FormatError(f"this {what} is not in canonical form")
    return value


def check(condition: bool, message: str) -> None:
    """Raise FormatError unless `condition` holds."""
    if not condition:
        raise FormatError(message)
