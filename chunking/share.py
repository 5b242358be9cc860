"""A share: a header, a payload, and the name that proves both.

The name is a hash of the header and of the Merkle root over the payload. Whoever knows it can
check a whole share as it arrives (`ShareHasher`), or any range of its blocks (`verify_range`),
and needs nothing else. A holder can check what it is given in the same way.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from chunking import erasure, formats, hashing, merkle
from chunking.erasure import payload_length_of
from chunking.formats import FormatError, PackId, ShareName

__all__ = [
    "Share",
    "ShareHasher",
    "ShareHeader",
    "block_count",
    "decode_header",
    "encode_header",
    "make_shares",
    "name_of",
    "payload_length",
    "payload_length_of",
    "range_length",
    "share_name",
    "verify_range",
]

_HEADER = struct.Struct(">4sBBBBQ32s32s")
_name_hash = hashing.Hasher(formats.HASH_SHARE)


@dataclass(frozen=True, slots=True)
class ShareHeader:
    """What a share says about itself."""

    owner: bytes
    pack: PackId
    needed: int
    number: int
    pack_length: int


@dataclass(frozen=True, slots=True)
class Share:
    """A whole share, ready to travel."""

    name: ShareName
    header: bytes
    payload: bytes

    def __repr__(self) -> str:
        return f"Share({self.name.hex()[:12]}, {len(self.payload)} bytes)"


def encode_header(header: ShareHeader) -> bytes:
    """The header's bytes, always SHARE_HEADER_BYTES of them."""
    _check_header(header)
    return _HEADER.pack(
        formats.MAGIC_SHARE,
        formats.VERSION,
        header.needed,
        header.number,
        0,
        header.pack_length,
        header.owner,
        header.pack,
    )


def decode_header(data: bytes) -> ShareHeader:
    """The inverse of `encode_header`."""
    formats.check_prefix(data, formats.MAGIC_SHARE, "share")
    formats.check(len(data) == _HEADER.size, "a share's header has the wrong length")
    _, _, needed, number, zero, pack_length, owner, pack = _HEADER.unpack(data)
    formats.check(zero == 0, "a share's header is damaged")
    header = ShareHeader(owner, PackId(pack), needed, number, pack_length)
    _check_header(header)
    return header


def _check_header(header: ShareHeader) -> None:
    payload_length_of(header.pack_length, header.needed)
    formats.check(
        len(header.owner) == formats.ID_BYTES and len(header.pack) == formats.ID_BYTES,
        "a share's header has an id of the wrong length",
    )
    formats.check(0 <= header.number < formats.SHARES_MAX, "a share has an impossible number")


def payload_length(header: ShareHeader) -> int:
    """How many bytes follow this header."""
    return payload_length_of(header.pack_length, header.needed)


def block_count(header: ShareHeader) -> int:
    """How many blocks the payload after this header has."""
    return merkle.leaf_count(payload_length(header))


def share_name(header: bytes, payload_root: bytes) -> ShareName:
    """The name of a share, from its header's bytes and its payload's Merkle root."""
    return ShareName(_name_hash(header + payload_root))


def name_of(header: bytes, payload: bytes | memoryview) -> ShareName:
    """The name of a share that is here as a whole."""
    return share_name(header, merkle.root(merkle.leaf_hashes(payload)))


def make_shares(
    pack: bytes, pack_id: PackId, *, owner: bytes, needed: int, numbers: Sequence[int]
) -> list[Share]:
    """The shares of a pack with these numbers, in this order."""
    made: list[Share] = []
    for number, payload in zip(numbers, erasure.split(pack, needed, numbers), strict=True):
        header = encode_header(ShareHeader(owner, pack_id, needed, number, len(pack)))
        made.append(Share(name_of(header, payload), header, payload))
    return made


class ShareHasher:
    """Computes a share's name while its payload arrives, in pieces of any size.

    Raises FormatError when the header is no header, or more or fewer bytes come than it says.
    """

    __slots__ = ("_header", "_leaves", "_length", "_partial", "_received")

    def __init__(self, header: bytes) -> None:
        self._length = payload_length(decode_header(header))
        self._header = header
        self._leaves: list[bytes] = []
        self._partial = bytearray()
        self._received = 0

    @property
    def leaves(self) -> Sequence[bytes]:
        """The hashes of the blocks that are complete."""
        return self._leaves

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the payload."""
        self._received += len(data)
        if self._received > self._length:
            raise FormatError("a share has more bytes than its header says")
        view = memoryview(data)
        if self._partial:
            missing = formats.BLOCK_BYTES - len(self._partial)
            self._partial += view[:missing]
            view = view[missing:]
            if len(self._partial) < formats.BLOCK_BYTES:
                return
            self._leaves.append(merkle.leaf_hash(bytes(self._partial)))
            self._partial.clear()
        whole = len(view) - len(view) % formats.BLOCK_BYTES
        self._leaves += merkle.leaf_hashes(view[:whole])
        self._partial += view[whole:]

    def finish(self) -> ShareName:
        """The share's name, once all of it is here."""
        if self._received != self._length:
            raise FormatError("a share has fewer bytes than its header says")
        if self._partial:
            self._leaves.append(merkle.leaf_hash(bytes(self._partial)))
            self._partial.clear()
        return share_name(self._header, merkle.root(self._leaves))


def range_length(header: ShareHeader, first_block: int, count: int) -> int:
    """How many bytes these blocks have. Raises FormatError when they are not all in the share."""
    length = payload_length(header)
    if first_block < 0 or count < 1 or first_block + count > merkle.leaf_count(length):
        raise FormatError("this range of blocks is not in the share")
    begin = first_block * formats.BLOCK_BYTES
    return min(count * formats.BLOCK_BYTES, length - begin)


def verify_range(
    name: ShareName,
    header: bytes,
    first_block: int,
    data: bytes | memoryview,
    proof: Sequence[bytes],
) -> ShareHeader:
    """Raise FormatError unless these are whole blocks of the share with this name, from
    `first_block` on. `proof` is `merkle.range_proof`'s; it is empty for a whole payload."""
    decoded = decode_header(header)
    count = merkle.leaf_count(len(data))
    if range_length(decoded, first_block, count) != len(data):
        raise FormatError("a range of a share does not end with a block")
    payload_root = merkle.root_from_range(
        block_count(decoded), first_block, merkle.leaf_hashes(data), proof
    )
    if share_name(header, payload_root) != name:
        raise FormatError("these are not the bytes of that share")
    return decoded
