"""What the catalog is asked for and gives: plain rows, without any behaviour."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from chunking.formats import ID_BYTES, ChunkId, PackId, ShareName


class CatalogError(Exception):
    """The catalog cannot be used as it is; `covey check --rebuild` makes a new one."""


@dataclass(frozen=True, slots=True)
class PackRow:
    """One pack as the catalog knows it. `shares[i]` is the name of share number i.

    `index_pack` is the number of the index pack that lists it, 0 while none does. `is_copy` says
    that its chunks still count as lying elsewhere, until it is safe.
    """

    pack: int
    id: PackId
    kind: int
    needed: int
    length: int
    shares: tuple[ShareName, ...]
    safe: bool
    index_pack: int
    is_copy: bool = False

    @property
    def total(self) -> int:
        """How many shares the pack has."""
        return len(self.shares)


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """Where a sealed chunk lies: byte range `offset`, `length` of pack number `pack`."""

    id: ChunkId
    pack: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """A complete snapshot: its chunk id, when it was begun, and how much it holds."""

    id: ChunkId
    time_ns: int
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class NewPack:
    """A pack about to be recorded: chunks are (id, offset, length) in the pack's order."""

    id: PackId
    kind: int
    needed: int
    length: int
    shares: tuple[ShareName, ...]
    chunks: tuple[tuple[ChunkId, int, int], ...]


@dataclass(frozen=True, slots=True)
class IndexContent:
    """What one index pack says: itself, the packs that it lists, and those that are no more.

    `packs` are gone through once, so that a large index need not be in memory as rows.
    """

    itself: NewPack
    packs: Iterable[NewPack]
    removed: tuple[PackId, ...]


@dataclass(frozen=True, slots=True)
class PackUse:
    """A pack and its chunks by their numbers, for the sweep. `lengths` are of sealed chunks."""

    pack: int
    kind: int
    length: int
    index_pack: int
    numbers: memoryview
    lengths: memoryview


@dataclass(frozen=True, slots=True)
class DirectoryRow:
    """A directory as the last complete scan saw it.

    `files_print` and `folders_print` change when its files' stamps or its folders' entries do;
    empty: look again. `files` and `bytes` count what lies directly in it.
    """

    files_print: bytes
    folders_print: bytes
    level: int
    ids: bytes
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class SeenDirectory:
    """A directory that is not as the catalog has it: its row, and its encoded listing."""

    path: bytes
    row: DirectoryRow
    listing: bytes


@dataclass(frozen=True, slots=True)
class Node:
    """What one metadata chunk refers to: other nodes, and chunks that refer to nothing.

    `nodes` and `leaves` are joined ids. A directory whose listing takes several chunks is known by
    the first of them, and refers to the others.
    """

    id: ChunkId
    nodes: bytes
    leaves: bytes


@dataclass(slots=True)
class Totals:
    """Chunks, bytes in packs, and bytes in shares that friends have acknowledged."""

    chunks: int = 0
    packed_bytes: int = 0
    shared_bytes: int = 0
    packs_by_kind: dict[int, int] = field(default_factory=dict)


def share_names(blob: bytes) -> tuple[ShareName, ...]:
    """The names of a pack's shares, by number, from their joined form."""
    return tuple(ShareName(blob[i : i + ID_BYTES]) for i in range(0, len(blob), ID_BYTES))
