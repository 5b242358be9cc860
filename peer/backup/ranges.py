"""Bytes of packs that only friends have, while a night runs: asked of the agent.

Only what the local files cannot give is fetched: metadata after a recovery, and chunks that a
compaction wants and no unchanged file has. A round trip to a friend takes long and there may be
very many chunks, so of a metadata pack all chunks come at once and stay in the scratch folder for
a while, and ranges of a data pack are asked for together, neighbours as one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from chunking.formats import PACK_META, ChunkId, Content, FormatError
from chunking.seal import Sealer
from chunking.tree import ids_of
from peer.backup.messages import Stop
from peer.catalog import Catalog
from peer.restore.messages import HaveRange, LostPack, NeedRange, range_file

GAP_BYTES_MAX = 128 << 10
"""Wanted ranges that lie closer are one: what is between them costs less than another answer."""
KEPT_BYTES_MAX = 256 << 20
"""Metadata packs that stay in the scratch folder."""

Range = tuple[int, int]
"""Offset and length in a pack."""


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
        self._kept: OrderedDict[int, tuple[Path, int]] = OrderedDict()

    def read(self, pack: int, wanted: Sequence[Range]) -> dict[Range, bytes]:
        """Ranges of a pack. Raises NotToBeHad when any of them cannot be had."""
        spans = list(_joined(wanted))
        files = self._fetch(pack, spans)
        found: dict[Range, bytes] = {}
        for (at, _), path in zip(spans, files, strict=True):
            data = path.read_bytes()
            path.unlink()
            for offset, length in wanted:
                if at <= offset and offset + length <= at + len(data):
                    found[offset, length] = data[offset - at : offset - at + length]
        return found

    def chunk(self, ident: ChunkId) -> bytes:
        """One chunk, opened. Raises NotToBeHad."""
        where = self._catalog.find_chunks([ident]).get(ident)
        if where is None:
            raise NotToBeHad("a chunk is in no pack that is known here")
        wanted = (where.offset, where.length)
        if self._catalog.pack(where.pack).kind == PACK_META:
            sealed = self._metadata(where.pack, *wanted)
        else:
            sealed = self.read(where.pack, [wanted])[wanted]
        try:
            return self._sealer.open(ident, sealed)
        except FormatError as error:
            raise NotToBeHad(str(error)) from error

    def content(self, content: Content) -> bytes:
        """All bytes of a content. Raises NotToBeHad."""
        return b"".join(self.chunk(ident) for ident in ids_of(content, self.chunk))

    def _metadata(self, pack: int, offset: int, length: int) -> bytes:
        """A range of a metadata pack, all chunks of which are kept from then on."""
        if pack not in self._kept:
            size = max(at + size for _, at, size in self._catalog.chunks_of(pack))
            (path,) = self._fetch(pack, [(0, size)])
            self._kept[pack] = (path, size)
            while sum(s for _, s in self._kept.values()) > KEPT_BYTES_MAX and len(self._kept) > 1:
                _, (oldest, _) = self._kept.popitem(last=False)
                oldest.unlink()
        self._kept.move_to_end(pack)
        with self._kept[pack][0].open("rb") as file:
            file.seek(offset)
            return file.read(length)

    def _fetch(self, pack: int, spans: Sequence[Range]) -> list[Path]:
        """The files of these ranges, in order. Raises NotToBeHad, and leaves none of them then."""
        for offset, length in spans:
            self._ask(NeedRange(pack, offset, length))
        lost = ""
        left = len(spans)
        while left:
            for message in self._hear():
                if isinstance(message, HaveRange | LostPack):
                    left -= 1
                if isinstance(message, LostPack):
                    lost = message.text
        files = [self._scratch / range_file(pack, offset, length) for offset, length in spans]
        if lost:
            for path in files:
                path.unlink(missing_ok=True)
            raise NotToBeHad(lost)
        return files


def _joined(wanted: Iterable[Range]) -> Iterable[Range]:
    """The wanted ranges by offset, with near neighbours joined."""
    begin = end = -1
    for offset, length in sorted(wanted):
        if begin >= 0 and offset - end > GAP_BYTES_MAX:
            yield begin, end - begin
            begin = -1
        if begin < 0:
            begin = offset
        end = max(end, offset + length)
    if begin >= 0:
        yield begin, end - begin
