"""Copies what still lives of packs that are mostly dead into new packs.

Chunks are taken from the local files where they lie unchanged, checked by their ids, and from
friends only otherwise. The copies take the chunks over when they are safe (`adopt_copies`); until
then the old packs stay what a restore uses, and if a night fails nothing has changed.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from chunking.formats import (
    KIND_FILE,
    PACK_DATA,
    PACK_META,
    ChunkId,
    Entry,
    FormatError,
)
from chunking.tree import split_ids
from peer.backup.listing import Stamp, decode_listing, is_unchanged
from peer.backup.messages import FileJob
from peer.backup.packer import Packer
from peer.backup.ranges import NotToBeHad, RangeReader
from peer.backup.worker import ByteWorker
from peer.catalog import Catalog, ChunkRow
from peer.files import reader as files

log = logging.getLogger("covey.night")

DIRECTORIES_TOGETHER = 256


@dataclass(frozen=True, slots=True)
class _Wanted:
    number: int
    kind: int
    where: ChunkRow


class Copying:
    """One night's copies. `packer_of(kind)` makes a packer whose packs are recorded as copies."""

    def __init__(
        self, catalog: Catalog, reader: RangeReader, packer_of: Callable[[int], Packer]
    ) -> None:
        self._catalog, self._reader = catalog, reader
        self._packers = {kind: packer_of(kind) for kind in (PACK_DATA, PACK_META)}
        self._wanted: dict[ChunkId, _Wanted] = {}
        self.local_bytes = 0
        self.fetched_bytes = 0

    def run(self, packs: Sequence[int], live: bytearray) -> None:
        """Copy what lives of these packs. What cannot be had stays where it is."""
        under_way = self._catalog.copied_chunks()
        for pack in packs:
            self._want(pack, live, under_way)
        if any(one.kind == PACK_DATA for one in self._wanted.values()):
            self._take_from_files()
        self._take_from_friends()
        for packer in self._packers.values():
            packer.flush()

    def _want(self, pack: int, live: bytearray, under_way: set[ChunkId]) -> None:
        row = self._catalog.pack(pack)
        chunks = self._catalog.chunks_of(pack)
        numbers = self._catalog.numbers_of([ident for ident, _, _ in chunks])
        for ident, offset, length in chunks:
            if live[numbers[ident]] and ident not in under_way:
                where = ChunkRow(ident, pack, offset, length)
                self._wanted[ident] = _Wanted(numbers[ident], row.kind, where)

    # --- from local files -------------------------------------------------------------------

    def _take_from_files(self) -> None:
        worker = ByteWorker.asking_at_once(self._packers[PACK_DATA], self._claim)
        numbers = {one.number for one in self._wanted.values() if one.kind == PACK_DATA}
        for path, entry, stamp in self._files():
            if not self._has_wanted(entry, numbers):
                continue
            try:
                found = files.stat_root(path)
            except OSError:
                continue
            if is_unchanged(entry, stamp, found):
                worker.process([FileJob(0, path, found)])

    def _files(self) -> Iterator[tuple[bytes, Entry, Stamp]]:
        """Every file of the last scan."""
        after = b""
        while page := self._catalog.listings_after(after, DIRECTORIES_TOGETHER):
            for folder, listing in page:
                for name, (entry, stamp) in decode_listing(listing).items():
                    if entry.kind == KIND_FILE:
                        yield os.path.join(folder, name), entry, stamp
            after = page[-1][0]

    def _has_wanted(self, entry: Entry, numbers: set[int]) -> bool:
        ids = split_ids(entry.content.ids)
        if entry.content.level == 0:
            return any(ident in self._wanted for ident in ids)
        lists = self._catalog.numbers_of(ids).values()
        nodes = [node for number in lists if (node := self._catalog.node(number)) is not None]
        return any(not numbers.isdisjoint(leaves) for _, leaves in nodes)

    def _claim(self, joined: bytes) -> bytes:
        """The worker has these chunks; which of them are still wanted?"""
        mask = bytearray()
        for ident in split_ids(joined):
            one = self._wanted.pop(ident, None)
            mask.append(one is not None)
            if one is not None:
                self.local_bytes += one.where.length
        return bytes(mask)

    # --- from friends -----------------------------------------------------------------------

    def _take_from_friends(self) -> None:
        """Pack by pack; a pack of which something cannot be had gives nothing."""
        by_pack: dict[int, list[tuple[ChunkId, _Wanted]]] = {}
        for ident, one in self._wanted.items():
            by_pack.setdefault(one.where.pack, []).append((ident, one))
        self._wanted.clear()
        for pack, chunks in sorted(by_pack.items()):
            ranges = [(one.where.offset, one.where.length) for _, one in chunks]
            try:
                found = self._reader.read(pack, ranges)
                for (ident, one), place in zip(chunks, ranges, strict=True):
                    self._packers[one.kind].add_sealed(ident, found[place])
                    self.fetched_bytes += place[1]
            except (NotToBeHad, FormatError) as error:
                log.info("a pack is not compacted tonight: %s", error)
