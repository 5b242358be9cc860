"""Walk the marked roots, and put a snapshot's tree together from the leaves up.

The walk is depth first. A directory is open from the moment it is listed until all its files have
been read and all its directories are complete; then its listing is encoded, stored as content like
a file's, and handed to its parent. So memory is bounded by the depth, the widest directory and the
files under way, not by the number of files.

What is unchanged since the last complete scan is not read: its entry is taken from the catalog.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from chunking.formats import (
    KIND_DIR,
    KIND_FILE,
    KIND_SYMLINK,
    NO_CONTENT,
    Content,
    Entry,
)
from peer.backup.listing import decode_listing, is_unchanged, stamp_of
from peer.backup.messages import FileJob, FileResult
from peer.catalog import Catalog
from peer.files import reader
from peer.files.reader import Found

Stamp = tuple[int, int, int]


@dataclass(slots=True, eq=False)
class OpenDirectory:
    """A directory whose entries are not all known yet. `found` is None for a mark's parent."""

    path: bytes
    found: Found
    parent: OpenDirectory | None
    entries: dict[bytes, Entry] = field(default_factory=dict)
    stamps: dict[bytes, Stamp] = field(default_factory=dict)
    pending: int = 1
    """Files and directories still to come, and 1 for the walk itself."""


class Scan:
    """One walk over all marks. `next_jobs` drives it; results come in by `file_done`.

    `close_directory(directory)` stores a complete directory's listing; `fold(content)` shortens a
    long list of ids; `note(path, text)` tells of what was left out. Complete roots end up in
    `roots`.
    """

    def __init__(
        self,
        marks: list[bytes],
        exclude: list[bytes],
        catalog: Catalog,
        night_ns: int,
        close_directory: Callable[[OpenDirectory], Content],
        fold: Callable[[Content], Content],
        note: Callable[[bytes, str], None],
    ) -> None:
        self._exclude = set(exclude)
        self._catalog, self._night_ns = catalog, night_ns
        self._close_directory, self._fold, self._note = close_directory, fold, note
        self._jobs: dict[int, tuple[OpenDirectory | None, bytes]] = {}
        self._job_number = 0
        self._stack: list[OpenDirectory] = []
        self._marks = iter(sorted(set(marks)))
        self.roots: dict[bytes, Entry] = {}
        self.missing: list[bytes] = []
        self.files = 0
        self.bytes = 0

    def next_jobs(self) -> Iterator[FileJob]:
        """Walk on; yields every file that must be read, as it is met."""
        for mark in self._marks:
            yield from self._begin_mark(mark)
            while self._stack:
                yield from self._walk_directory(self._stack.pop())

    def file_done(self, result: FileResult) -> None:
        """A file of `next_jobs` has been read."""
        directory, path = self._jobs.pop(result.index)
        name = _root_name(path)
        if result.found is None:
            self._note(path, f"left out: {result.problem}")
        else:
            entry = _file_entry(name, result, self._fold(result.content))
            if result.remark:
                self._note(path, result.remark)
            self._count(entry)
            if directory is None:
                self.roots[path] = entry
            else:
                directory.entries[name] = entry
                if result.settled:
                    directory.stamps[name] = stamp_of(result.found, self._night_ns)
        if directory is not None:
            self._one_less(directory)

    def open_jobs(self) -> int:
        """Files handed out whose results are still to come."""
        return len(self._jobs)

    def _begin_mark(self, mark: bytes) -> Iterator[FileJob]:
        try:
            found = reader.stat_root(mark)
        except OSError:
            self.missing.append(mark)
            self._note(mark, "not there tonight; what was backed up before is kept")
            return
        if found.kind == KIND_DIR:
            self._stack.append(OpenDirectory(mark, found, None))
        elif found.kind == KIND_FILE:
            yield self._job(None, mark, found)
        elif found.kind == KIND_SYMLINK:
            self.roots[mark] = self._plain_entry(_root_name(mark), mark, found)
        else:
            self._note(mark, "left out: not a file, a folder or a link")

    def _walk_directory(self, directory: OpenDirectory) -> Iterator[FileJob]:
        try:
            listing = reader.list_directory(directory.path)
        except OSError as error:
            self._note(directory.path, f"left out: {(error.strerror or 'unreadable').lower()}")
            listing = []
        cached = decode_listing(self._catalog.listing(directory.path))
        below: list[OpenDirectory] = []
        for found in listing:
            path = os.path.join(directory.path, found.name)
            if found.kind == KIND_FILE:
                old = cached.get(found.name)
                if old is not None and is_unchanged(*old, found):
                    directory.entries[found.name], directory.stamps[found.name] = old
                    self._count(old[0])
                else:
                    directory.pending += 1
                    yield self._job(directory, path, found)
            elif found.kind == KIND_DIR:
                if path not in self._exclude:
                    directory.pending += 1
                    below.append(OpenDirectory(path, found, directory))
            elif found.kind == KIND_SYMLINK:
                self._add_symlink(directory, path, found)
            else:
                self._note(path, "left out: not a file, a folder or a link")
        self._stack.extend(reversed(below))
        self._one_less(directory)

    def _add_symlink(self, directory: OpenDirectory, path: bytes, found: Found) -> None:
        try:
            directory.entries[found.name] = self._plain_entry(found.name, path, found)
        except OSError as error:
            self._note(path, f"left out: {(error.strerror or 'unreadable').lower()}")

    def _plain_entry(
        self, name: bytes, path: bytes, found: Found, content: Content = NO_CONTENT
    ) -> Entry:
        details = reader.details(path, found)
        for text in details.notes:
            self._note(path, text)
        return Entry(
            name=name,
            kind=found.kind,
            mode=found.mode,
            uid=found.uid,
            gid=found.gid,
            mtime_ns=found.mtime_ns,
            size=0,
            content=content,
            xattrs=details.xattrs,
            target=details.target,
        )

    def _job(self, directory: OpenDirectory | None, path: bytes, found: Found) -> FileJob:
        self._job_number += 1
        self._jobs[self._job_number] = (directory, path)
        return FileJob(self._job_number, path, found)

    def _one_less(self, directory: OpenDirectory) -> None:
        """One thing that `directory` waited for is there; complete it and its parents if it can."""
        current: OpenDirectory | None = directory
        while current is not None:
            current.pending -= 1
            if current.pending:
                return
            self._complete(current)
            current = current.parent

    def _complete(self, directory: OpenDirectory) -> None:
        content = self._close_directory(directory)
        parent = directory.parent
        name = _root_name(directory.path) if parent is None else directory.found.name
        try:
            entry = self._plain_entry(name, directory.path, directory.found, content)
        except OSError as error:
            self._note(directory.path, f"left out: {(error.strerror or 'unreadable').lower()}")
            return
        if parent is None:
            self.roots[directory.path] = entry
        else:
            parent.entries[name] = entry

    def _count(self, entry: Entry) -> None:
        self.files += 1
        self.bytes += entry.size


def _root_name(path: bytes) -> bytes:
    """The last part of a path; the file system's own root has none and is called so."""
    return os.path.basename(path) or b"root"


def _file_entry(name: bytes, result: FileResult, content: Content) -> Entry:
    found = result.found
    assert found is not None
    return Entry(
        name=name,
        kind=KIND_FILE,
        mode=found.mode,
        uid=found.uid,
        gid=found.gid,
        mtime_ns=found.mtime_ns,
        size=found.size,
        content=content,
        xattrs=result.xattrs,
        link_group=link_group(found),
        extents=result.extents,
    )


def link_group(found: Found) -> int:
    """One number for all names of a file that has several; 0 for a file with one name."""
    if found.nlink < 2:
        return 0
    return (found.device << 64 | found.inode) % LINK_GROUP_MODULUS or 1


LINK_GROUP_MODULUS = (1 << 61) - 1
"""A prime, so that inodes of two devices fall together only by a chance of 2^-61."""


def count_files(marks: list[bytes], exclude: list[bytes]) -> tuple[int, int]:
    """A quick look ahead for the progress bar: (files, bytes) below the marks."""
    files = size = 0
    excluded = set(exclude)
    left: list[bytes] = []

    def count(path: bytes, found: Found) -> None:
        nonlocal files, size
        if found.kind == KIND_DIR and path not in excluded:
            left.append(path)
        elif found.kind == KIND_FILE:
            files += 1
            size += found.size

    for mark in marks:
        with contextlib.suppress(OSError):
            count(mark, reader.stat_root(mark))
    while left:
        folder = left.pop()
        with contextlib.suppress(OSError):
            for found in reader.list_directory(folder):
                count(os.path.join(folder, found.name), found)
    return files, size
