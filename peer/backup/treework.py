"""Trees as chunks: what a night stores of directories, and what each such chunk refers to.

A directory's listing is stored as content like a file's, long lists of ids go into list chunks, and
a snapshot is one chunk. For each of them a `Node` is kept, from which the sweep later knows what a
snapshot needs without reading it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from chunking import chunker
from chunking.formats import (
    CHUNK_MAX,
    CONTENT_IDS_MAX,
    ID_BYTES,
    KIND_DIR,
    ChunkId,
    Content,
    Entry,
    Snapshot,
)
from chunking.tree import content_of, encode_snapshot, split_ids, unpack_ids
from peer.catalog import Node


class TreeWriter:
    """Stores metadata by `add`, which returns the id of a chunk and stores it if it is new."""

    def __init__(self, add: Callable[[bytes], ChunkId]) -> None:
        self._add = add
        self._nodes: list[Node] = []

    def take_nodes(self) -> list[Node]:
        """The nodes since the last call, those below before those above."""
        nodes, self._nodes = self._nodes, []
        return nodes

    def directory(self, entries: Sequence[Entry], data: bytes) -> Content:
        """Store a directory's listing: `data` is how `entries` are encoded."""
        chunks = [data] if len(data) <= CHUNK_MAX else chunker.split_stream([data])
        content = self._content([self._add(chunk) for chunk in chunks])
        self._nodes.append(node_of_directory(content, entries))
        return content

    def fold(self, content: Content) -> Content:
        """A file's content with its long list of ids, if it is one, moved into list chunks."""
        if len(content.ids) <= CONTENT_IDS_MAX * ID_BYTES:
            return content
        return self._content(split_ids(content.ids))

    def snapshot(self, snapshot: Snapshot) -> tuple[ChunkId, bytes]:
        """Store a snapshot: its id, and how it is encoded."""
        encoded = encode_snapshot(snapshot)
        ident = self._add(encoded)
        self._nodes.append(node_of_snapshot(ident, snapshot))
        return ident, encoded

    def _content(self, ids: Sequence[ChunkId]) -> Content:
        def store(part: bytes, level: int) -> ChunkId:
            ident = self._add(part)
            self._nodes.append(node_of_list(ident, part, level))
            return ident

        return content_of(ids, store)


def node_of_list(ident: ChunkId, part: bytes, level: int) -> Node:
    """A list chunk of level 1 refers to data chunks, one of a higher level to other lists."""
    ids = b"".join(unpack_ids(part))
    return Node(ident, b"", ids) if level == 1 else Node(ident, ids, b"")


def node_of_directory(content: Content, entries: Iterable[Entry]) -> Node:
    """A directory is known by the first chunk of its listing, and refers to the others too."""
    nodes, leaves = _references(entries)
    others = content.ids[ID_BYTES:]
    if content.level:
        nodes.append(others)
    else:
        leaves.append(others)
    return Node(ChunkId(content.ids[:ID_BYTES]), b"".join(nodes), b"".join(leaves))


def node_of_snapshot(ident: ChunkId, snapshot: Snapshot) -> Node:
    """A snapshot refers to the entries of its roots."""
    nodes, leaves = _references(root.entry for root in snapshot.roots)
    return Node(ident, b"".join(nodes), b"".join(leaves))


def _references(entries: Iterable[Entry]) -> tuple[list[bytes], list[bytes]]:
    nodes: list[bytes] = []
    leaves: list[bytes] = []
    for entry in entries:
        content = entry.content
        if entry.kind == KIND_DIR:
            nodes.append(content.ids[:ID_BYTES])
        elif content.level:
            nodes.append(content.ids)
        else:
            leaves.append(content.ids)
    return nodes, leaves
