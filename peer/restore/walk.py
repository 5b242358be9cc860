"""Walk the tree of a snapshot, as far as it is wanted, in the order of its names."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from chunking.formats import KIND_DIR, Entry, FormatError, Snapshot
from chunking.tree import decode_directory
from peer.restore.chunks import ChunkIsLost, ChunkReader
from peer.restore.paths import Parts, Selection, prefixes, split_path

Visit = Callable[[Parts, Entry, bool], bool]
"""Called for each entry: its path, itself, whether it is wanted or only on the way to what is.
Answers whether to go below."""
Lose = Callable[[Parts, str], None]

Item = tuple[Parts, Entry, bool]


class Walk:
    """Goes through one snapshot, as often as `run` is called."""

    def __init__(self, chunks: ChunkReader, snapshot: Snapshot, selection: Selection) -> None:
        self._chunks, self._snapshot, self._selection = chunks, snapshot, selection

    def run(self, visit: Visit, lose: Lose) -> None:
        """Visit every wanted entry, folders before what is in them."""
        stack = [self._roots()]
        while stack:
            item = next(stack[-1], None)
            if item is None:
                stack.pop()
                continue
            parts, entry, inside = item
            if entry.kind != KIND_DIR and not inside:
                continue
            if visit(*item) and entry.kind == KIND_DIR:
                try:
                    stack.append(self._below(parts, entry, inside=inside))
                except ChunkIsLost as error:
                    lose(parts, str(error))
                except FormatError as error:
                    lose(parts, f"its list of files is damaged ({error})")

    def _roots(self) -> Iterator[Item]:
        roots = [(split_path(root.path), root.entry) for root in self._snapshot.roots]
        wanted = [(parts, entry) for parts, entry in roots if self._selection.above(parts)]
        self._chunks.soon(entry.content for _, entry in wanted if entry.kind == KIND_DIR)
        for parts, entry in wanted:
            for prefix in prefixes(parts):
                self._selection.see(prefix)
            yield parts, entry, self._selection.inside(parts)

    def _below(self, parts: Parts, entry: Entry, *, inside: bool) -> Iterator[Item]:
        below: list[Item] = []
        for item in decode_directory(self._chunks.content(entry.content)):
            path = (*parts, item.name)
            self._selection.see(path)
            if inside:
                below.append((path, item, True))
            elif self._selection.above(path):
                below.append((path, item, self._selection.inside(path)))
        self._chunks.soon(item.content for _, item, _ in below if item.kind == KIND_DIR)
        return iter(below)
