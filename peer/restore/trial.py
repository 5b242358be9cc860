"""A restore that is only tried: what it would do to every file, and how much it would fetch.

Nothing is written, and of the packs only those with lists of files are fetched. Files that are
there are compared as a restore would do it, so that the answer is the one that it would come to.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from chunking.formats import ChunkId, Entry, FormatError
from chunking.tree import ids_of, split_ids
from peer.restore.chunks import NOWHERE, ChunkIsLost, ChunkReader, part_of
from peer.restore.missing import Item, Missing
from peer.restore.paths import Parts
from peer.restore.plan import Part
from peer.restore.report import Report
from peer.restore.window import CHUNKS_LOOKED_UP, WINDOW_FILES


class Trial:
    """Takes the place of `Files`. Without `missing` there is nothing in the target yet."""

    def __init__(self, missing: Missing | None, chunks: ChunkReader, report: Report) -> None:
        self._missing, self._chunks, self._report = missing, chunks, report
        self._window: list[Item] = []
        self._counted: set[Part] = set()

    def add(self, parts: Parts, entry: Entry) -> None:
        """This file is wanted."""
        self._window.append((parts, entry))
        if len(self._window) >= WINDOW_FILES:
            self._look()

    def finish(self) -> None:
        """All has been counted when this returns."""
        self._look()

    def _look(self) -> None:
        window: Sequence[Item] = self._window
        self._window = []
        if self._missing is not None:
            window = self._missing.among(window, lambda: None)
        short = [ident for _, entry in window for ident in _listed(entry)]
        known = self._count(short)
        for parts, entry in window:
            try:
                whole = known.issuperset(_listed(entry)) and self._count_long(entry)
            except ChunkIsLost as error:
                self._report.lose(parts, str(error))
            except FormatError as error:
                self._report.lose(parts, f"its list of parts is damaged ({error})")
            else:
                self._tell(parts, entry, whole=whole)
        self._report.progress()

    def _tell(self, parts: Parts, entry: Entry, *, whole: bool) -> None:
        if whole:
            self._report.written += 1
            self._report.bytes += entry.size
        else:
            self._report.lose(parts, NOWHERE)

    def _count_long(self, entry: Entry) -> bool:
        """Count the chunks of a file whose list of chunks is in chunks; whether all are known."""
        ids = ids_of(entry.content, self._chunks.get) if entry.content.level else iter(())
        while group := list(islice(ids, CHUNKS_LOOKED_UP)):
            if not self._count(group).issuperset(group):
                return False
        return True

    def _count(self, ids: Sequence[ChunkId]) -> set[ChunkId]:
        """Count what would be fetched for these chunks; those that lie in packs that are known."""
        placed = self._chunks.place(self._chunks.locate(ids).values())
        parts = {part_of(chunk) for chunk in placed.values()} - self._counted
        self._counted |= parts
        self._report.to_fetch += sum(part.length for part in parts)
        return set(placed)


def _listed(entry: Entry) -> list[ChunkId]:
    """The chunks that an entry itself lists."""
    return [] if entry.content.level else split_ids(entry.content.ids)
