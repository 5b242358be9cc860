"""Look into snapshots: list a directory, find names, without writing anything.

Only metadata packs are fetched, and kept in memory up to a bound, since a person who looks at one
directory soon looks at the next.
"""

from __future__ import annotations

import fnmatch
import os
from collections import OrderedDict
from collections.abc import AsyncIterator
from pathlib import Path

from chunking.erasure import join
from chunking.formats import (
    KIND_DIR,
    KIND_FILE,
    KIND_SYMLINK,
    ChunkId,
    Content,
    Entry,
    FormatError,
    Snapshot,
)
from chunking.pack import check_pack_id
from chunking.seal import Sealer
from chunking.tree import decode_directory, decode_snapshot, split_ids, unpack_ids
from peer.catalog import ChunkRow, PackRow, SnapshotRow
from peer.member import Member
from peer.restore.fetch import Fetcher, PackUnavailable
from peer.restore.messages import share_file
from peer.restore.paths import Parts, join_path, split_path
from peer.service import Answer, Problem

CACHE_BYTES_MAX = 128 << 20
KIND_NAMES = {KIND_FILE: "file", KIND_DIR: "folder", KIND_SYMLINK: "link"}


class Browser:
    """Reads snapshots' metadata. One job at a time."""

    def __init__(self, member: Member, fetcher: Fetcher, scratch: Path) -> None:
        self._m, self._fetcher, self._scratch = member, fetcher, scratch
        self._sealer = Sealer(member.keys)
        self._packs: OrderedDict[int, bytes] = OrderedDict()

    async def ls(self, row: SnapshotRow, path: str) -> list[Answer]:
        """The entries of one directory, or the one entry of a file. Raises Problem."""
        snapshot = await self._snapshot(row)
        wanted = split_path(os.fsencode(path))
        for root in snapshot.roots:
            parts = split_path(root.path)
            if parts == wanted[: len(parts)]:
                return await self._ls_below(parts, root.entry, wanted)
        above = sorted(
            {
                parts[len(wanted)]
                for parts in (split_path(root.path) for root in snapshot.roots)
                if parts[: len(wanted)] == wanted
            }
        )
        if not above:
            raise Problem(
                f"«{path}» is not in that snapshot.", "`covey ls SNAPSHOT` shows what is."
            )
        roots = {split_path(root.path): root.entry for root in snapshot.roots}
        return [
            describe((*wanted, name), roots[(*wanted, name)])
            if (*wanted, name) in roots
            else {
                "name": os.fsdecode(name),
                "path": os.fsdecode(join_path((*wanted, name))),
                "kind": "folder",
                "size": 0,
                "mode": 0,
                "mtime_ns": 0,
            }
            for name in above
        ]

    async def _ls_below(self, parts: Parts, entry: Entry, wanted: Parts) -> list[Answer]:
        while len(parts) < len(wanted):
            name = wanted[len(parts)]
            below = {} if entry.kind != KIND_DIR else {e.name: e for e in await self._list(entry)}
            if name not in below:
                text = os.fsdecode(join_path(wanted))
                raise Problem(
                    f"«{text}» is not in that snapshot.", "`covey ls SNAPSHOT` shows what is."
                )
            parts, entry = (*parts, name), below[name]
        if entry.kind != KIND_DIR:
            return [describe(parts, entry)]
        return [describe((*parts, item.name), item) for item in await self._list(entry)]

    async def find(self, rows: list[SnapshotRow], pattern: str) -> AsyncIterator[Answer]:
        """Every path whose name matches a shell pattern (case does not matter), newest first.

        A directory that did not change between snapshots is read once, and its hits are told for
        the newest snapshot that has it.
        """
        wanted = pattern if any(c in pattern for c in "*?[") else f"*{pattern}*"
        seen: set[tuple[Parts, bytes]] = set()
        for row in reversed(rows):
            snapshot = await self._snapshot(row)
            stack = [(split_path(root.path), root.entry) for root in snapshot.roots]
            while stack:
                parts, entry = stack.pop()
                if entry.kind == KIND_DIR:
                    key = (parts, entry.content.ids)
                    if key in seen:
                        continue
                    seen.add(key)
                    stack += [((*parts, e.name), e) for e in await self._list(entry)]
                elif (parts, entry.content.ids) in seen:
                    continue
                name = os.fsdecode(parts[-1]) if parts else "/"
                if fnmatch.fnmatchcase(name.lower(), wanted.lower()):
                    seen.add((parts, entry.content.ids))
                    yield describe(parts, entry) | {"snapshot": row.id.hex()}

    async def _snapshot(self, row: SnapshotRow) -> Snapshot:
        try:
            return decode_snapshot(await self._chunk(row.id))
        except FormatError as error:
            raise Problem(f"That snapshot is damaged: {error}.") from error

    async def _list(self, entry: Entry) -> tuple[Entry, ...]:
        try:
            return decode_directory(await self._content(entry.content))
        except FormatError as error:
            raise Problem(f"A folder of that snapshot is damaged: {error}.") from error

    async def _content(self, content: Content) -> bytes:
        ids = split_ids(content.ids)
        for _ in range(content.level):
            ids = [ident for part in ids for ident in unpack_ids(await self._chunk(part))]
        return b"".join([await self._chunk(ident) for ident in ids])

    async def _chunk(self, ident: ChunkId) -> bytes:
        found = await self._m.run_blocking(self._m.catalog.find_chunks, [ident])
        where = found.get(ident)
        if where is None:
            raise Problem("A part of that snapshot is in no pack that is known here.")
        data = self._packs.get(where.pack)
        if data is None:
            data = await self._fetch(where)
        self._packs.move_to_end(where.pack)
        return self._sealer.open(ident, data[where.offset : where.offset + where.length])

    async def _fetch(self, where: ChunkRow) -> bytes:
        row = await self._m.run_blocking(self._m.catalog.pack, where.pack)
        try:
            numbers = await self._fetcher.fetch(row, row.pack)
        except PackUnavailable as error:
            raise Problem(
                f"The list of files cannot be read now: {error}.", "Try again when more are there."
            ) from error
        data = await self._m.run_blocking(_join, row, self._scratch, numbers)
        self._packs[row.pack] = data
        while sum(map(len, self._packs.values())) > CACHE_BYTES_MAX and len(self._packs) > 1:
            self._packs.popitem(last=False)
        return data


def _join(row: PackRow, scratch: Path, numbers: list[int]) -> bytes:
    files = {number: scratch / share_file(row.pack, number) for number in numbers}
    data = join({n: path.read_bytes() for n, path in files.items()}, row.needed, row.length)
    check_pack_id(data, row.id)
    for path in files.values():
        path.unlink()
    return data


def describe(parts: Parts, entry: Entry) -> Answer:
    """An entry as the command line and the window show it."""
    answer: Answer = {
        "name": os.fsdecode(parts[-1]) if parts else "/",
        "path": os.fsdecode(join_path(parts)),
        "kind": KIND_NAMES[entry.kind],
        "size": entry.size,
        "mode": entry.mode,
        "mtime_ns": entry.mtime_ns,
    }
    if entry.kind == KIND_SYMLINK:
        answer["target"] = os.fsdecode(entry.target)
    return answer
