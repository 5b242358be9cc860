"""Snapshots' metadata for looking around: chunks asked for together, out of ranges or whole packs.

Of a pack of which little was needed so far, ranges are fetched; of one of which much is, all of it
(`plan.worth_ranges`, as in a restore). Sealed pieces of packs stay in memory up to a bound, since a
person who looks at one directory soon looks at the next, and blocks that came with a range hold its
neighbours. They are kept as they are stored: encrypted.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from chunking.erasure import join
from chunking.formats import ChunkId, Content, FormatError, PackId
from chunking.keys import MemberKeys
from chunking.pack import check_pack_id
from chunking.seal import Sealer
from chunking.tree import split_ids, unpack_ids
from peer.catalog import ChunkRow, PackRow
from peer.member import Member
from peer.restore.fetch import Fetcher, PackUnavailable
from peer.restore.messages import range_file, share_file
from peer.restore.plan import Shape, ranges_of, worth_ranges
from peer.service import Problem

CACHE_BYTES_MAX = 64 << 20
PACKS_AT_ONCE = 4
"""Packs fetched at the same time; one of metadata may have as much as the cache holds."""

T = TypeVar("T")


class SealedPieces:
    """Pieces of packs, the least recently used first to go. For the loop's thread only."""

    def __init__(self, bytes_max: int = CACHE_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._pieces: OrderedDict[tuple[PackId, int], bytes] = OrderedDict()
        self._offsets: dict[PackId, set[int]] = defaultdict(set)
        self._bytes = 0

    def add(self, pack: PackId, offset: int, data: bytes) -> None:
        """Keep a piece; at least the newest one is always kept."""
        self._drop(pack, offset)
        self._pieces[pack, offset] = data
        self._offsets[pack].add(offset)
        self._bytes += len(data)
        while self._bytes > self._bytes_max and len(self._pieces) > 1:
            self._drop(*next(iter(self._pieces)))

    def read(self, pack: PackId, offset: int, length: int) -> bytes | None:
        """These bytes of a pack, or None when no piece has all of them."""
        for begin in self._offsets.get(pack, ()):
            data = self._pieces[pack, begin]
            if begin <= offset and offset + length <= begin + len(data):
                self._pieces.move_to_end((pack, begin))
                return data[offset - begin : offset - begin + length]
        return None

    def _drop(self, pack: PackId, offset: int) -> None:
        data = self._pieces.pop((pack, offset), None)
        if data is not None:
            self._bytes -= len(data)
            self._offsets[pack].discard(offset)
            if not self._offsets[pack]:
                del self._offsets[pack]


class MetadataReader:
    """Reads chunks and contents. All that it raises is Problem."""

    def __init__(
        self, member: Member, fetcher: Fetcher, scratch: Path, pieces: SealedPieces
    ) -> None:
        self._m, self._fetcher, self._scratch = member, fetcher, scratch
        self._pieces = pieces
        self._drawn: Counter[int] = Counter()
        self._gate = asyncio.Semaphore(PACKS_AT_ONCE)

    async def chunk(self, ident: ChunkId) -> bytes:
        """One chunk."""
        return (await self._chunks([ident]))[ident]

    async def soon(self, ids: Iterable[ChunkId]) -> None:
        """These are wanted one after the other: fetch them together."""
        await self._chunks(ids)

    async def contents(self, contents: Sequence[Content]) -> list[bytes]:
        """All bytes of each, asked for together."""
        ids = [split_ids(content.ids) for content in contents]
        for level in range(max((content.level for content in contents), default=0)):
            deeper = [n for n, content in enumerate(contents) if content.level > level]
            lists = await self._chunks(ident for n in deeper for ident in ids[n])
            for n in deeper:
                ids[n] = [below for ident in ids[n] for below in _unpacked(lists[ident])]
        chunks = await self._chunks(ident for part in ids for ident in part)
        return [b"".join([chunks[ident] for ident in part]) for part in ids]

    async def _chunks(self, wanted: Iterable[ChunkId]) -> dict[ChunkId, bytes]:
        ids = list(dict.fromkeys(wanted))
        found = await self._m.run_blocking(self._m.catalog.find_chunks, ids)
        if len(found) < len(ids):
            raise Problem("A part of that snapshot is in no pack that is known here.")
        by_pack: dict[int, list[ChunkRow]] = defaultdict(list)
        for row in found.values():
            by_pack[row.pack].append(row)
        sealed: dict[ChunkId, bytes] = {}
        for part in await _all(self._sealed(*group) for group in by_pack.items()):
            sealed |= part
        try:
            return await self._m.run_blocking(_open, self._m.keys, sealed)
        except FormatError as error:
            raise Problem(f"A part of that snapshot is damaged: {error}.") from error

    async def _sealed(self, pack: int, chunks: Sequence[ChunkRow]) -> dict[ChunkId, bytes]:
        """Chunks of one pack as they are stored, from what is here or from friends."""
        async with self._gate:
            row = await self._m.run_blocking(self._m.catalog.pack, pack)
            found = self._here(row, chunks)
            missing = [chunk for chunk in chunks if chunk.id not in found]
            if missing:
                try:
                    await self._fetch(row, missing)
                except PackUnavailable as error:
                    raise Problem(
                        f"The list of files cannot be read now: {error}.",
                        "Try again when more are there.",
                    ) from error
                except FormatError as error:
                    raise Problem(f"A part of that snapshot is damaged: {error}.") from error
                found |= self._here(row, missing)
            return found

    def _here(self, row: PackRow, chunks: Sequence[ChunkRow]) -> dict[ChunkId, bytes]:
        read = {c.id: self._pieces.read(row.id, c.offset, c.length) for c in chunks}
        return {ident: data for ident, data in read.items() if data is not None}

    async def _fetch(self, row: PackRow, chunks: Sequence[ChunkRow]) -> None:
        shape = Shape(row.needed, row.length)
        ranges = ranges_of(shape, [(chunk.offset, chunk.length) for chunk in chunks])
        self._drawn[row.pack] += sum(length for _, length in ranges)
        if not worth_ranges(shape, self._drawn[row.pack]):
            numbers = await self._fetcher.fetch(row, row.pack)
            data = await self._m.run_blocking(_join, row, self._scratch, numbers)
            self._pieces.add(row.id, 0, data)
            return
        # Kept all at once: what others keep meanwhile must not push some of it out.
        pieces = await _all(self._range(row, *span) for span in ranges)
        for (offset, _), data in zip(ranges, pieces, strict=True):
            self._pieces.add(row.id, offset, data)

    async def _range(self, row: PackRow, offset: int, length: int) -> bytes:
        await self._fetcher.fetch_range(row, row.pack, offset, length)
        path = self._scratch / range_file(row.pack, offset, length)
        return await self._m.run_blocking(_take, path)


async def _all(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all, done at the same time; when one fails, the others end too."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        return [await task for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _unpacked(data: bytes) -> list[ChunkId]:
    try:
        return list(unpack_ids(data))
    except FormatError as error:
        raise Problem(f"A part of that snapshot is damaged: {error}.") from error


def _open(keys: MemberKeys, sealed: dict[ChunkId, bytes]) -> dict[ChunkId, bytes]:
    sealer = Sealer(keys)  # one for each call: it is not for two threads
    return {ident: sealer.open(ident, data) for ident, data in sealed.items()}


def _take(path: Path) -> bytes:
    data = path.read_bytes()
    path.unlink()
    return data


def _join(row: PackRow, scratch: Path, numbers: list[int]) -> bytes:
    parts = {number: _take(scratch / share_file(row.pack, number)) for number in numbers}
    data = join(parts, row.needed, row.length)
    check_pack_id(data, row.id)
    return data
