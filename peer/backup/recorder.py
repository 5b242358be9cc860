"""Which chunks are new tonight, and each pack's way into the catalog and to the agent."""

from __future__ import annotations

from collections.abc import Callable

from chunking.formats import PACK_INDEX, ChunkId, PackId, ShareName
from chunking.tree import split_ids
from peer.backup.messages import PackMade
from peer.catalog import Catalog, NewPack


class Recorder:
    """Answers claims and records packs. All of a night's packs go through `made`.

    `tell` is called with each pack that is recorded, `wait_for_room` before anything new is wanted.
    """

    def __init__(
        self,
        catalog: Catalog,
        tell: Callable[[PackMade], None],
        wait_for_room: Callable[[], None],
    ) -> None:
        self._catalog, self._tell, self._wait_for_room = catalog, tell, wait_for_room
        self._claimed: set[ChunkId] = set()
        self.new_bytes = 0
        self.index_packs: list[int] = []

    def claim(self, joined: bytes) -> bytes:
        """Which chunks the asking worker must store; they count as claimed from now on."""
        self._wait_for_room()
        ids = split_ids(joined)
        known = self._catalog.known_chunks([i for i in ids if i not in self._claimed])
        mask = bytearray()
        for ident in ids:
            wanted = ident not in known and ident not in self._claimed
            if wanted:
                self._claimed.add(ident)
            mask.append(wanted)
        return bytes(mask)

    def claim_one(self, ident: ChunkId) -> bool:
        """Whether the asker must store this chunk."""
        if ident in self._claimed or self._catalog.known_chunks([ident]):
            return False
        self._claimed.add(ident)
        return True

    def made(self, made: PackMade) -> None:
        """Its spool file is complete: record it with its chunks, then tell the agent."""
        ids = split_ids(made.chunk_ids)
        offset, chunks = 0, []
        for ident, length in zip(ids, made.chunk_lengths, strict=True):
            chunks.append((ident, offset, length))
            offset += length
        new = NewPack(
            id=PackId(made.id),
            kind=made.kind,
            needed=made.needed,
            length=made.length,
            shares=tuple(ShareName(name) for name in split_ids(made.shares)),
            chunks=tuple(chunks),
        )
        row = self._catalog.record_pack(new, is_copy=made.is_copy)
        self._claimed.difference_update(ids)
        self.new_bytes += made.length
        if made.kind == PACK_INDEX:
            self.index_packs.append(row.pack)
        self._tell(
            PackMade(
                id=made.id,
                kind=made.kind,
                needed=made.needed,
                length=made.length,
                shares=made.shares,
                chunk_ids=b"",
                chunk_lengths=[],
                spool_bytes=made.spool_bytes,
                is_copy=made.is_copy,
                row=row.pack,
            )
        )
