"""Look into snapshots: list a directory, find names, without writing anything.

Only metadata is fetched (`metadata.py`). Finding goes through directories in batches, so that many
of them are asked for together and none costs a round trip of its own.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from chunking.formats import KIND_DIR, KIND_FILE, KIND_SYMLINK, Entry, FormatError, Snapshot
from chunking.tree import decode_directory, decode_snapshot, split_ids
from peer.catalog import SnapshotRow
from peer.member import Member
from peer.restore.fetch import Fetcher
from peer.restore.metadata import MetadataReader, SealedPieces
from peer.restore.paths import Parts, join_path, split_path
from peer.service import Answer, Problem

BATCH_CHUNKS = 128
"""Directories read together, by the chunks of their listings: nearly always one each."""
KIND_NAMES = {KIND_FILE: "file", KIND_DIR: "folder", KIND_SYMLINK: "link"}

Place = tuple[Parts, Entry]


class Browser:
    """Reads snapshots' metadata. One job at a time; `pieces` may be shared by many."""

    def __init__(
        self,
        member: Member,
        fetcher: Fetcher,
        scratch: Path,
        pieces: SealedPieces | None = None,
    ) -> None:
        self._reader = MetadataReader(member, fetcher, scratch, pieces or SealedPieces())

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

    async def find(self, rows: Sequence[SnapshotRow], pattern: str) -> AsyncGenerator[Answer, None]:
        """Every path whose name matches a shell pattern (case does not matter), newest first.

        Each version of a file is told once, with the newest snapshot that has it, and a folder
        once. A directory that did not change between snapshots is read once.
        """
        wanted = (pattern if any(c in pattern for c in "*?[") else f"*{pattern}*").lower()
        read: set[tuple[Parts, bytes]] = set()
        told: set[tuple[Parts, bytes]] = set()
        await self._reader.soon(row.id for row in rows)
        for row in reversed(rows):
            snapshot = await self._snapshot(row)
            waiting: list[Place] = []
            entries = [(split_path(root.path), root.entry) for root in snapshot.roots]
            while True:
                for parts, entry in entries:
                    version = b"" if entry.kind == KIND_DIR else entry.content.ids + entry.target
                    if _is_called(parts, wanted) and (parts, version) not in told:
                        told.add((parts, version))
                        yield describe(parts, entry) | {"snapshot": row.id.hex()}
                    if entry.kind == KIND_DIR and (parts, entry.content.ids) not in read:
                        read.add((parts, entry.content.ids))
                        waiting.append((parts, entry))
                if not waiting:
                    break
                entries = await self._below(_take_batch(waiting))

    async def _snapshot(self, row: SnapshotRow) -> Snapshot:
        try:
            return decode_snapshot(await self._reader.chunk(row.id))
        except FormatError as error:
            raise Problem(f"That snapshot is damaged: {error}.") from error

    async def _list(self, entry: Entry) -> tuple[Entry, ...]:
        return tuple(below for _, below in await self._below([((), entry)]))

    async def _below(self, folders: Sequence[Place]) -> list[Place]:
        """What is in these folders."""
        listings = await self._reader.contents([entry.content for _, entry in folders])
        try:
            return [
                ((*parts, below.name), below)
                for (parts, _), listing in zip(folders, listings, strict=True)
                for below in decode_directory(listing)
            ]
        except FormatError as error:
            raise Problem(f"A folder of that snapshot is damaged: {error}.") from error


def _take_batch(waiting: list[Place]) -> list[Place]:
    """The last folders that were found: deep before wide, so that few wait at a time."""
    batch: list[Place] = []
    chunks = 0
    while waiting and (not batch or chunks < BATCH_CHUNKS):
        batch.append(waiting.pop())
        chunks += len(split_ids(batch[-1][1].content.ids))
    return batch


def _is_called(parts: Parts, wanted: str) -> bool:
    name = os.fsdecode(parts[-1]) if parts else "/"
    return fnmatch.fnmatchcase(name.lower(), wanted)


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
