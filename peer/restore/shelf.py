"""Folders of snapshots as somebody looks at them: read once, sorted, kept for the next look.

What the last scan saw is here already (the catalog has each folder's listing), so that the newest
snapshot, and whatever did not change since an older one, opens without any friend. All else is
fetched. Memory is bounded by the number of entries that are kept; the folder that is looked at is
always kept, however large.
"""

from __future__ import annotations

import bisect
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from chunking.formats import KIND_DIR, Content, Entry, FormatError, Snapshot
from chunking.tree import decode_directory, decode_snapshot
from peer.backup.listing import listed_entries
from peer.catalog import SnapshotRow
from peer.member import Member
from peer.restore.paths import Parts, join_path, split_path
from peer.service import Problem

ENTRIES_KEPT_MAX = 120_000
"""Of all folders together; some 50 MB."""

Fetch = Callable[[Content], Awaitable[bytes]]
"""All bytes of a content, from friends."""


class Folder:
    """One folder, folders first, then by name whatever the case."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        """`entries` are in the order of a directory: by name, so that equal keys stay in it."""
        keys = [(entry.kind != KIND_DIR, _folded(entry.name)) for entry in entries]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        self.entries = [entries[at] for at in order]
        self._begins = [keys[at] for at in order]
        self.folders = bisect.bisect_left(self._begins, (True, ""))

    def named(self, name: bytes) -> Entry | None:
        """The entry of that name."""
        for kind in (False, True):
            at = bisect.bisect_left(self._begins, (kind, _folded(name)))
            while at < len(self.entries) and self._begins[at] == (kind, _folded(name)):
                if self.entries[at].name == name:
                    return self.entries[at]
                at += 1
        return None

    def beginning_with(self, text: str, after: int) -> int | None:
        """The next entry after `after`, round and round, whose name begins with `text`."""
        wanted = text.lower()
        found = [
            at
            for kind in (False, True)
            for at in range(*self._span(kind, wanted))
            if self._begins[at][1].startswith(wanted)
        ]
        return next((at for at in found if at > after), found[0] if found else None)

    def _span(self, kind: bool, wanted: str) -> tuple[int, int]:
        begin = bisect.bisect_left(self._begins, (kind, wanted))
        return begin, bisect.bisect_right(self._begins, (kind, wanted + "\U0010ffff"))


def _folded(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape").lower()


class Shelf:
    """Snapshots and folders that were read; `fetch` brings what is not here."""

    def __init__(self, member: Member, entries_max: int = ENTRIES_KEPT_MAX) -> None:
        self._m, self._max = member, entries_max
        self._folders: OrderedDict[tuple[int, bytes], Folder] = OrderedDict()
        self._roots: dict[bytes, dict[Parts, Entry]] = {}

    async def roots(self, row: SnapshotRow, fetch: Fetch) -> dict[Parts, Entry]:
        """What is marked in a snapshot, by path."""
        if row.id not in self._roots:
            data = await self._m.run_blocking(self._scanned_snapshot, row)
            data = data or await fetch(Content(0, row.id))
            snapshot = _decoded(data)
            known = {row.id for row in await self._m.run_blocking(self._m.catalog.snapshots)}
            self._roots = {ident: one for ident, one in self._roots.items() if ident in known}
            self._roots[row.id] = {split_path(one.path): one.entry for one in snapshot.roots}
        return self._roots[row.id]

    async def folder(self, parts: Parts, content: Content, fetch: Fetch) -> Folder:
        """One folder of a snapshot. Raises Problem."""
        key = (content.level, content.ids)
        found = self._folders.get(key)
        if found is None:
            found = await self._m.run_blocking(self._scanned_folder, parts, content)
            if found is None:
                found = await self._m.run_blocking(_read, await fetch(content))
            self._keep(key, found)
        self._folders.move_to_end(key)
        return found

    async def entry(self, row: SnapshotRow, wanted: Parts, fetch: Fetch) -> Entry | None:
        """What a snapshot has at a path; None for nothing, and for what is above the marks."""
        roots = await self.roots(row, fetch)
        parts = next((parts for parts in roots if parts == wanted[: len(parts)]), None)
        if parts is None:
            return None
        at: Entry | None = roots[parts]
        while at is not None and len(parts) < len(wanted):
            if at.kind != KIND_DIR:
                return None
            name = wanted[len(parts)]
            at = (await self.folder(parts, at.content, fetch)).named(name)
            parts = (*parts, name)
        return at

    def _keep(self, key: tuple[int, bytes], folder: Folder) -> None:
        self._folders[key] = folder
        kept = sum(len(one.entries) for one in self._folders.values())
        while kept > self._max and len(self._folders) > 1:
            _, dropped = self._folders.popitem(last=False)
            kept -= len(dropped.entries)

    def _scanned_snapshot(self, row: SnapshotRow) -> bytes | None:
        last = self._m.catalog.last_tree()
        return last[1] if last is not None and last[0] == row.id else None

    def _scanned_folder(self, parts: Parts, content: Content) -> Folder | None:
        path = join_path(parts)
        row = self._m.catalog.directory(path)
        if row is None or (row.level, row.ids) != (content.level, content.ids):
            return None
        listing = self._m.catalog.listing(path)
        entries = listed_entries(listing)
        return Folder(entries) if entries else None


def _read(data: bytes) -> Folder:
    try:
        return Folder(decode_directory(data))
    except FormatError as error:
        raise Problem(f"A folder of that snapshot is damaged: {error}.") from error


def _decoded(data: bytes) -> Snapshot:
    try:
        return decode_snapshot(data)
    except FormatError as error:
        raise Problem(f"That snapshot is damaged: {error}.") from error
