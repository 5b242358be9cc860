"""The part of a member's `Service` that only looks: into snapshots, and at what is marked.

What is here already answers at once; friends are waited for only where something has to be fetched.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

from chunking.formats import KIND_DIR, Content, Entry
from peer.backup.ignore import change_ignored, ignored_of
from peer.backup.left_out import read_left_out
from peer.backup.marks import outermost, read_marks
from peer.backup.scan import LastNight
from peer.backup.suggest import suggestions
from peer.backup.tagged import read_by_tag
from peer.catalog import SnapshotRow
from peer.member import Member
from peer.restore.browse import Browser, describe
from peer.restore.job import new_fetcher, remembered, scratch_folder
from peer.restore.metadata import MetadataReader, SealedPieces
from peer.restore.paths import Parts, join_path, split_path
from peer.restore.preview import beginning, describe_preview
from peer.restore.shelf import Shelf
from peer.service import Answer, Event, Problem, done
from peer.upkeep.history import settings_of

PAGE_ENTRIES_MAX = 1_000
PREVIEW_CACHE_BYTES = 16 << 20
"""Of pieces of files that were looked at, so that the next version of one costs little."""


class Looking:
    """Mixed into `peer.node.Node`; `ready` waits for the group and raises Problem without it."""

    def __init__(self, member: Member, ready: Callable[[], Awaitable[None]]) -> None:
        self._m, self._ready = member, ready
        self._pieces = SealedPieces()
        self._looked_at = SealedPieces(PREVIEW_CACHE_BYTES)
        self._shelf = Shelf(member)

    async def find_snapshot(self, text: str) -> SnapshotRow:
        """By id, a beginning of one, or `latest`. Raises Problem."""
        rows = await self._m.run_blocking(self._m.catalog.snapshots)
        if not rows:
            raise Problem("There is no snapshot yet.", "Make one: covey backup")
        if text == "latest":
            return rows[-1]
        fitting = [row for row in rows if len(text) >= 4 and row.id.hex().startswith(text)]
        if len(fitting) == 1:
            return fitting[0]
        why = "means more than one snapshot" if fitting else "is no snapshot"
        raise Problem(f"«{text}» {why}.", "`covey snapshots` lists them; `latest` is the newest.")

    async def ls(self, snapshot: str, path: str = "") -> list[Answer]:
        """See Service."""
        row = await self.find_snapshot(snapshot)
        await self._ready()
        async with scratch_folder(self._m) as scratch:
            return await self._browser(scratch).ls(row, path)

    async def find(self, pattern: str) -> AsyncIterator[Event]:
        """See Service."""
        rows = await self._m.run_blocking(self._m.catalog.snapshots)
        await self._ready()
        count = 0
        async with scratch_folder(self._m) as scratch:
            found = self._browser(scratch).find(rows, pattern)
            async with contextlib.aclosing(found):
                async for answer in found:
                    count += 1
                    yield {"event": "found", **answer}
        yield done(ok=True, message=f"{count:,} were found.", summary={"found": count})

    async def tree(
        self, snapshot: str, path: str = "", offset: int = 0, count: int = 200, begins: str = ""
    ) -> Answer:
        """See Service."""
        if not offset >= 0 or not 0 < count <= PAGE_ENTRIES_MAX:
            raise Problem(f"A page has 1 to {PAGE_ENTRIES_MAX} entries.")
        row, parts = await self.find_snapshot(snapshot), split_path(os.fsencode(path))
        answer: Answer = {"snapshot": row.id.hex(), "path": os.fsdecode(join_path(parts))}
        entry = await self._shelf.entry(row, parts, self._fetched)
        if entry is None:
            names = await self._above(row, parts)
            return answer | {"total": len(names), "folders": len(names), "offset": 0, "at": None,
                             "entries": names}  # fmt: skip
        if entry.kind != KIND_DIR:
            raise Problem(f"«{path}» is not a folder.")
        folder = await self._shelf.folder(parts, entry.content, self._fetched)
        page = folder.entries[offset : offset + count]
        return answer | {
            "total": len(folder.entries),
            "folders": folder.folders,
            "offset": offset,
            "at": folder.beginning_with(begins, offset - 1) if begins else None,
            "entries": [describe((*parts, item.name), item) for item in page],
        }

    async def versions(self, path: str) -> list[Answer]:
        """See Service."""
        rows = await self._m.run_blocking(self._m.catalog.snapshots)
        parts = split_path(os.fsencode(path))
        found: list[Answer] = []
        before: Entry | None = None
        for row in reversed(rows):
            entry = await self._shelf.entry(row, parts, self._fetched)
            if entry is None or entry.kind == KIND_DIR:
                continue
            if before is not None and _same(entry, before):
                found[-1]["since_ns"] = row.time_ns
                continue
            before = entry
            found.append(
                {
                    "snapshot": row.id.hex(),
                    "time_ns": row.time_ns,
                    "since_ns": row.time_ns,
                    "size": entry.size,
                    "mtime_ns": entry.mtime_ns,
                }
            )
        return found

    async def preview(self, snapshot: str, path: str, size_max: int) -> Answer:
        """See Service."""
        row, parts = await self.find_snapshot(snapshot), split_path(os.fsencode(path))
        entry = await self._shelf.entry(row, parts, self._fetched)
        if entry is None:
            raise Problem(f"«{path}» is not in that snapshot.")
        if entry.size:
            await self._ready()
        async with scratch_folder(self._m) as scratch:
            data = await beginning(self._reader(scratch, self._looked_at), entry, size_max)
        return describe_preview(data, entry.size)

    async def left_out(self) -> list[Answer]:
        """See Service."""
        return await self._m.run_blocking(read_left_out, self._m.catalog)

    async def marks_detail(self) -> list[Answer]:
        """See Service."""
        return await self._m.run_blocking(_marks_detail, self._m)

    async def ignore(self) -> Answer:
        """See Service."""
        return {"patterns": await self._m.run_blocking(_patterns, self._m)}

    async def set_ignore(self, patterns: Sequence[str]) -> Answer:
        """See Service."""
        await self._m.run_blocking(change_ignored, self._m.catalog, list(patterns))
        return await self.ignore()

    async def suggest_ignore(self) -> Answer:
        """See Service."""
        return await self._m.run_blocking(_suggested, self._m)

    # --- helping ----------------------------------------------------------------------------

    async def _above(self, row: SnapshotRow, parts: Parts) -> list[Answer]:
        """What leads from a path above the marks to them, and marks right there."""
        roots = await self._shelf.roots(row, self._fetched)
        below = sorted({root[: len(parts) + 1] for root in roots if root[: len(parts)] == parts})
        below = [one for one in below if len(one) > len(parts)]
        if not below and parts:
            raise Problem(f"«{os.fsdecode(join_path(parts))}» is not in that snapshot.")
        return [
            describe(one, roots[one]) if one in roots else describe(one, _LEADING) for one in below
        ]

    async def _fetched(self, content: Content) -> bytes:
        await self._ready()
        async with scratch_folder(self._m) as scratch:
            (data,) = await self._reader(scratch, self._pieces).contents([content])
        return data

    def _reader(self, scratch: Path, pieces: SealedPieces) -> MetadataReader:
        fetcher = new_fetcher(self._m, scratch, remembered(self._m))
        return MetadataReader(self._m, fetcher, scratch, pieces)

    def _browser(self, scratch: Path) -> Browser:
        fetcher = new_fetcher(self._m, scratch, remembered(self._m))
        return Browser(self._m, fetcher, scratch, self._pieces)


_LEADING = Entry(name=b"", kind=KIND_DIR, mode=0, uid=0, gid=0, mtime_ns=0, size=0)
"""A folder that is itself not in the snapshot, only marks below it."""


def _same(one: Entry, other: Entry) -> bool:
    return (one.content, one.size, one.target) == (other.content, other.size, other.target)


def _patterns(member: Member) -> list[str]:
    settings, _ = settings_of(member)
    return ignored_of(member.catalog, settings)


def _suggested(member: Member) -> Answer:
    return suggestions(outermost(read_marks(member.catalog)), _patterns(member))


def _marks_detail(member: Member) -> list[Answer]:
    last = member.catalog.last_tree()
    roots = {} if last is None else LastNight.of(last[1], {}).roots
    answers = []
    by_tag = read_by_tag(member.catalog)
    for mark in read_marks(member.catalog):
        files: int | None = None
        size: int | None = None
        root = roots.get(mark)
        if root is not None and root.kind != KIND_DIR:
            files, size = 1, root.size
        elif member.catalog.directory(mark) is not None:
            files, size = member.catalog.totals_below(mark)
        answers.append(
            {
                "path": os.fsdecode(mark),
                "kind": "folder" if os.path.isdir(mark) else "file",
                "files": files,
                "bytes": size,
                "there": os.path.lexists(mark),
                "tagged": mark in by_tag,
            }
        )
    return answers
