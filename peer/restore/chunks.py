"""Metadata while a snapshot is walked: chunks by id, from parts of packs, a folder's at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from chunking.formats import ChunkId, Content, FormatError
from chunking.seal import Sealer
from chunking.tree import ids_of, split_ids
from peer.catalog import Catalog, ChunkRow
from peer.restore.batches import ChunkAt
from peer.restore.packs import PackIsLost, Packs
from peer.restore.plan import Part

REMEMBERED_MAX = 100_000
"""Places of listings that are read soon; some 20 MB, and looked up again when forgotten."""
NOWHERE = "a part of it is in no pack that is known here"


class ChunkIsLost(Exception):
    """A chunk cannot be had or is damaged; the text says why."""


class ChunkReader:
    """Finds chunks, and opens those that the engine itself needs.

    With `whole_packs`, as when everything is restored, the packs of metadata are fetched whole.
    """

    def __init__(
        self, catalog: Catalog, packs: Packs, sealer: Sealer, *, whole_packs: bool
    ) -> None:
        self._catalog, self._packs, self._sealer = catalog, packs, sealer
        self._whole_packs = whole_packs
        self._soon: dict[ChunkId, ChunkAt] = {}

    def id_of(self, data: bytes) -> ChunkId:
        """The id that a chunk of these bytes has."""
        return self._sealer.chunk_id(data)

    def locate(self, ids: Sequence[ChunkId]) -> dict[ChunkId, ChunkRow]:
        """Where chunks lie; unknown ones are left out."""
        return self._catalog.find_chunks(ids)

    def place(self, rows: Iterable[ChunkRow], *, whole: bool = False) -> dict[ChunkId, ChunkAt]:
        """Chunks with the parts of packs to fetch for them, few or many together."""
        by_pack: dict[int, list[ChunkRow]] = defaultdict(list)
        for row in rows:
            by_pack[row.pack].append(row)
        placed: dict[ChunkId, ChunkAt] = {}
        for pack, chunks in by_pack.items():
            spans = [(chunk.offset, chunk.length) for chunk in chunks]
            length = self._packs.shape(pack).length
            parts = self._packs.plan(pack, [(0, length)] if whole else spans)
            for chunk in chunks:
                part = next(p for p in parts if p.holds(chunk.offset, chunk.length))
                placed[chunk.id] = ChunkAt(
                    chunk.id, pack, chunk.offset, chunk.length, part.offset, part.length
                )
        return placed

    def soon(self, contents: Iterable[Content]) -> None:
        """These listings are read next: ask for all of them together."""
        ids = [ident for content in contents for ident in split_ids(content.ids)]
        placed = self.place(self.locate(ids).values(), whole=self._whole_packs)
        self._packs.want(dict.fromkeys(part_of(placed[i]) for i in ids if i in placed))
        if len(self._soon) + len(placed) > REMEMBERED_MAX:
            self._soon.clear()
        self._soon |= placed

    def get(self, ident: ChunkId) -> bytes:
        """A single chunk by id. Raises ChunkIsLost."""
        chunk = self._soon.pop(ident, None)
        if chunk is None:
            chunk = self.place(self.locate([ident]).values(), whole=self._whole_packs).get(ident)
        if chunk is None:
            raise ChunkIsLost(NOWHERE)
        part = part_of(chunk)
        try:
            self._packs.get(part)
            return self._sealer.open(ident, self._packs.read(part, chunk.offset, chunk.length))
        except PackIsLost as error:
            raise ChunkIsLost(str(error)) from error
        except FormatError as error:
            raise ChunkIsLost(f"a part of it is damaged ({error})") from error

    def content(self, content: Content) -> bytes:
        """All bytes of a content, for folders' listings. Raises ChunkIsLost."""
        try:
            return b"".join(self.get(ident) for ident in ids_of(content, self.get))
        except FormatError as error:
            raise ChunkIsLost(f"its list of parts is damaged ({error})") from error


def part_of(chunk: ChunkAt) -> Part:
    """The part of a pack that a chunk was placed in."""
    return Part(chunk.row, chunk.part_offset, chunk.part_length)
