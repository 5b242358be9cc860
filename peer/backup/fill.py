"""What old snapshots refer to, read from friends when the catalog does not know it.

After a recovery the catalog has the chunks, but not which one refers to which: that stands in the
metadata packs. It is read once, from the leaves up, so that a node that is recorded has all that is
below it recorded as well, whatever interrupts us.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from chunking.formats import ID_BYTES, KIND_DIR, ChunkId, Content, Entry, FormatError
from chunking.tree import decode_directory, decode_snapshot, split_ids, unpack_ids
from peer.backup.ranges import NotToBeHad, RangeReader
from peer.backup.treework import node_of_directory, node_of_list, node_of_snapshot
from peer.catalog import Catalog, Node, UnknownChunk


def fill_nodes(catalog: Catalog, reader: RangeReader, snapshot: ChunkId) -> None:
    """Record all nodes of a snapshot that are missing. Raises NotToBeHad."""
    try:
        if _is_known(catalog, snapshot):
            return
        decoded = decode_snapshot(reader.chunk(snapshot))
        _Filler(catalog, reader).fill(root.entry for root in decoded.roots)
        catalog.add_nodes([node_of_snapshot(snapshot, decoded)])
    except (FormatError, UnknownChunk) as error:
        raise NotToBeHad(f"a snapshot's tree is damaged: {error}") from error


def _is_known(catalog: Catalog, ident: ChunkId) -> bool:
    number = catalog.numbers_of([ident]).get(ident)
    return number is not None and catalog.node(number) is not None


class _Filler:
    """Walks a tree depth first; each directory is recorded when all below it is."""

    def __init__(self, catalog: Catalog, reader: RangeReader) -> None:
        self._catalog, self._reader = catalog, reader

    def fill(self, entries: Iterable[Entry]) -> None:
        stack: list[tuple[list[Node], Iterator[Entry]]] = [([], iter(tuple(entries)))]
        while stack:
            nodes, left = stack[-1]
            entry = next(left, None)
            if entry is None:
                stack.pop()
                self._catalog.add_nodes(nodes)
            elif entry.kind == KIND_DIR:
                if not _is_known(self._catalog, ChunkId(entry.content.ids[:ID_BYTES])):
                    stack.append(self._open(entry))
            elif entry.content.level:
                self._catalog.add_nodes(list(self._lists(entry.content)))

    def _open(self, entry: Entry) -> tuple[list[Node], Iterator[Entry]]:
        """A directory's nodes, to be recorded after its entries', and those entries."""
        entries = decode_directory(self._reader.content(entry.content))
        lists = self._lists(entry.content)
        return [*lists, node_of_directory(entry.content, entries)], iter(entries)

    def _lists(self, content: Content) -> Iterator[Node]:
        """The nodes of a content's list chunks, those below first."""
        if not content.level:
            return
        for ident in split_ids(content.ids):
            part = self._reader.chunk(ident)
            yield from self._lists(Content(content.level - 1, b"".join(unpack_ids(part))))
            yield node_of_list(ident, part, content.level)
