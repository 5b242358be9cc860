"""Many sealed chunks in one blob, with a sealed table at its end.

The table comes last so that chunks are appended as they arrive. A pack's length is rounded up
by Padmé's rule (at most about 12 %, 3 % when it is large), and padding, table and trailer are
ciphertext, so that the length tells a holder little about the chunks in it.

A `PackWriter` holds the pack in memory: the caller bounds it by `full`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from chunking import formats, hashing, seal
from chunking.formats import ChunkId, FormatError, PackEntry, PackId
from chunking.keys import MemberKeys

_COUNT = struct.Struct(">I")
_ROW = struct.Struct(">32sI")
_OFFSET = struct.Struct(">Q")
_TRAILER = struct.Struct(">4sB3sQ")
_ZEROS = b"\x00\x00\x00"
_FRAME_BYTES = formats.SEALED_OVERHEAD + _COUNT.size + formats.PACK_TRAILER_BYTES

_pack_hash = hashing.Hasher(formats.HASH_PACK)
_nonce_hash = hashing.Hasher(formats.HASH_PACK_NONCE)


@dataclass(frozen=True, slots=True)
class Pack:
    """A finished pack."""

    id: PackId
    data: bytes
    entries: tuple[PackEntry, ...]

    def __repr__(self) -> str:
        return f"Pack({self.id.hex()[:12]}, {len(self.data)} bytes, {len(self.entries)} chunks)"


def padme(length: int) -> int:
    """`length` rounded up so that only O(log log length) bits of it can be told from outside."""
    if length < 2:
        return length
    exponent = length.bit_length() - 1
    granule = 1 << (exponent - exponent.bit_length())
    return (length + granule - 1) // granule * granule


def length_of(chunks: int, sealed_bytes: int) -> int:
    """How long a pack with so many chunks of so many sealed bytes in all is."""
    return padme(sealed_bytes + _FRAME_BYTES + chunks * formats.PACK_TABLE_ROW_BYTES)


def pack_id_of(data: bytes) -> PackId:
    """The id of a pack: the hash of its bytes."""
    return PackId(_pack_hash(data))


def check_pack_id(data: bytes, pack_id: PackId) -> None:
    """Raise FormatError unless these are the bytes of that pack."""
    formats.check(pack_id_of(data) == pack_id, "these are not the bytes of that pack")


def target_for(needed: int) -> int:
    """How large a full pack is when `needed` shares rebuild it."""
    wanted = needed * formats.PACK_TARGET_PER_NEEDED
    return min(max(wanted, formats.PACK_TARGET_MIN), formats.PACK_TARGET_MAX)


class PackWriter:
    """Collects sealed chunks. Every chunk once; `finish` once."""

    __slots__ = ("_entries", "_ids", "_offset", "_parts", "_target_bytes")

    def __init__(self, target_bytes: int) -> None:
        if not 0 < target_bytes <= formats.PACK_TARGET_MAX:
            raise ValueError(f"a pack of {target_bytes} bytes is out of bounds")
        self._target_bytes = target_bytes
        self._parts: list[bytes] = []
        self._entries: list[PackEntry] = []
        self._ids: set[bytes] = set()
        self._offset = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, chunk_id: ChunkId) -> bool:
        return chunk_id in self._ids

    @property
    def size(self) -> int:
        """The length of the pack if it were finished now, without padding."""
        return self._offset + _FRAME_BYTES + len(self._entries) * formats.PACK_TABLE_ROW_BYTES

    @property
    def full(self) -> bool:
        """Whether it is time to finish."""
        return self.size >= self._target_bytes or len(self._entries) >= formats.PACK_ENTRIES_MAX

    def add(self, chunk_id: ChunkId, sealed: bytes) -> int:
        """Append a sealed chunk and return its offset. Not when `full`, not the same id twice."""
        if chunk_id in self._ids:
            raise ValueError("this chunk is in the pack already")
        if self.full:
            raise ValueError("this pack is full")
        offset, length = self._offset, len(sealed)
        if length > formats.SEALED_CHUNK_MAX:
            raise ValueError(f"a sealed chunk cannot have {length} bytes")
        self._ids.add(chunk_id)
        self._parts.append(sealed)
        self._entries.append(PackEntry(chunk_id, offset, length))
        self._offset = offset + length
        return offset

    def finish(self, keys: MemberKeys, nonce: bytes) -> Pack:
        """The pack. Reads its own table back before it lets go of it."""
        if not self._entries:
            raise ValueError("a pack needs a chunk")
        size = self.size
        rows = [_ROW.pack(entry.id, entry.length) for entry in self._entries]
        table = b"".join((_COUNT.pack(len(rows)), *rows, bytes(padme(size) - size)))
        bound = _OFFSET.pack(self._offset)
        trailer = _TRAILER.pack(formats.MAGIC_PACK, formats.VERSION, _ZEROS, self._offset)
        key = keys.content_key
        # The trailer's nonce follows from the table's: one draw of chance seals one pack.
        second = _nonce_hash(nonce)[: formats.NONCE_BYTES]
        self._parts.append(seal.seal_blob(key, formats.SEAL_PACK_TABLE, bound, table, nonce))
        self._parts.append(seal.seal_blob(key, formats.SEAL_PACK_TRAILER, b"", trailer, second))
        data = b"".join(self._parts)
        entries = tuple(self._entries)
        self._parts.clear()
        if read_pack_table(keys, data) != entries:
            raise RuntimeError("a pack's table does not read back as it was written")
        return Pack(pack_id_of(data), data, entries)


def read_pack_table(keys: MemberKeys, data: bytes) -> tuple[PackEntry, ...]:
    """What is in a pack, and where. The chunks themselves are checked when they are opened."""
    if not _FRAME_BYTES <= len(data) <= formats.PACK_BYTES_MAX:
        raise FormatError(f"a pack cannot have {len(data)} bytes")
    formats.check(padme(len(data)) == len(data), "a pack cannot have this length")
    end = len(data) - formats.PACK_TRAILER_BYTES
    trailer = seal.open_blob(keys.content_key, formats.SEAL_PACK_TRAILER, b"", data[end:])
    formats.check_prefix(trailer, formats.MAGIC_PACK, "pack")
    formats.check(len(trailer) == _TRAILER.size, "a pack's trailer has the wrong length")
    _, _, zeros, offset = _TRAILER.unpack(trailer)
    formats.check(zeros == _ZEROS and offset <= end, "a pack's trailer is damaged")
    bound = _OFFSET.pack(offset)
    table = seal.open_blob(keys.content_key, formats.SEAL_PACK_TABLE, bound, data[offset:end])
    return _decode_table(table, offset)


def _decode_table(table: bytes, chunks_end: int) -> tuple[PackEntry, ...]:
    formats.check(len(table) >= _COUNT.size, "a pack's table is too short")
    (count,) = _COUNT.unpack_from(table)
    rows_end = _COUNT.size + count * _ROW.size
    formats.check(
        0 < count <= formats.PACK_ENTRIES_MAX and rows_end <= len(table),
        "a pack's table has an impossible number of chunks",
    )
    formats.check(table.count(0, rows_end) == len(table) - rows_end, "a pack's padding is damaged")
    entries: list[PackEntry] = []
    offset = 0
    for chunk_id, length in _ROW.iter_unpack(table[_COUNT.size : rows_end]):
        if not formats.SEALED_OVERHEAD <= length <= formats.SEALED_CHUNK_MAX:
            raise FormatError(f"a sealed chunk cannot have {length} bytes")
        entries.append(PackEntry(chunk_id, offset, length))
        offset += length
    formats.check(offset == chunks_end, "a pack's table does not cover the pack")
    formats.check(len({entry.id for entry in entries}) == count, "a chunk is in a pack twice")
    return tuple(entries)
