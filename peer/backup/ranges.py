"""Bytes of packs that only friends have, while a night runs: asked of the agent, one by one.

Only what the local files cannot give is fetched: metadata after a recovery, and chunks that a
compaction wants and no unchanged file has.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from chunking.formats import ChunkId, Content, FormatError
from chunking.seal import Sealer
from chunking.tree import ids_of
from peer.backup.messages import Stop
from peer.catalog import Catalog
from peer.restore.messages import HaveRange, LostPack, NeedRange, range_file


class NotToBeHad(Exception):
    """The friends who are there cannot give it, or what they gave does not open."""


class RangeReader:
    """Sealed and opened chunks from friends. `hear` waits for the agent's next messages."""

    def __init__(
        self,
        catalog: Catalog,
        sealer: Sealer,
        scratch: Path,
        ask: Callable[[NeedRange], None],
        hear: Callable[[], list[HaveRange | LostPack | Stop]],
    ) -> None:
        self._catalog, self._sealer, self._scratch = catalog, sealer, scratch
        self._ask, self._hear = ask, hear
        self.fetched_bytes = 0

    def read(self, pack: int, offset: int, length: int) -> bytes:
        """A range of a pack. Raises NotToBeHad."""
        self._ask(NeedRange(pack, offset, length))
        for message in self._answers():
            if isinstance(message, LostPack):
                raise NotToBeHad(message.text)
        path = self._scratch / range_file(pack, offset, length)
        data = path.read_bytes()
        path.unlink()
        if len(data) != length:
            raise NotToBeHad("a range of a pack has the wrong length")
        self.fetched_bytes += length
        return data

    def _answers(self) -> list[HaveRange | LostPack]:
        while True:
            answers = [m for m in self._hear() if isinstance(m, HaveRange | LostPack)]
            if answers:
                return answers

    def chunk(self, ident: ChunkId) -> bytes:
        """One chunk, opened. Raises NotToBeHad."""
        where = self._catalog.find_chunks([ident]).get(ident)
        if where is None:
            raise NotToBeHad("a chunk is in no pack that is known here")
        try:
            return self._sealer.open(ident, self.read(where.pack, where.offset, where.length))
        except FormatError as error:
            raise NotToBeHad(str(error)) from error

    def content(self, content: Content) -> bytes:
        """All bytes of a content. Raises NotToBeHad."""
        return b"".join(self.chunk(ident) for ident in ids_of(content, self.chunk))
