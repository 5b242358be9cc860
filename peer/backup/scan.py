"""Walk the marked roots, and put a snapshot's tree together from the leaves up.

The walk is depth first. A directory is open from the moment it is listed until all its files have
been read and all its directories are complete; then its listing is encoded, stored as content like
a file's, and handed to its parent. So memory is bounded by the depth, the widest directory and the
files under way, not by the number of files.

What is unchanged since the last complete scan is not read: a file's entry, and a whole directory's
content, are taken from the catalog. What cannot be looked at tonight stays as it was: a marked root
that is missing or whose disk is not mounted, and a directory that cannot be listed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from chunking.formats import (
    KIND_DIR,
    KIND_FILE,
    KIND_OTHER,
    KIND_SYMLINK,
    NO_CONTENT,
    Content,
    Entry,
)
from chunking.tree import decode_snapshot, encode_directory
from peer.backup.ignore import Ignored
from peer.backup.listing import (
    LOOK_AGAIN,
    NO_STAMP,
    Stamp,
    decode_listing,
    encode_listing,
    files_print,
    folders_print,
    is_unchanged,
    stamp_of,
)
from peer.backup.marks import Look, outermost
from peer.backup.messages import FileJob, FileResult
from peer.backup.open_directory import OpenDirectory, root_of
from peer.catalog import Catalog, DirectoryRow, SeenDirectory
from peer.files import reader
from peer.files.reader import Found

NO_ROOM = "no room for it tonight; what was backed up before is kept"
NO_LONGER_WANTED = "no longer backed up, as you wished; earlier nights still have it"


@dataclass(frozen=True, slots=True)
class LastNight:
    """What the last tree had at the marked roots, and how those were met."""

    roots: Mapping[bytes, Entry] = field(default_factory=dict)
    looks: Mapping[bytes, Look] = field(default_factory=dict)

    @classmethod
    def of(cls, snapshot: bytes, looks: Mapping[bytes, Look]) -> LastNight:
        """From an encoded snapshot. Raises FormatError."""
        return cls({root.path: root.entry for root in decode_snapshot(snapshot).roots}, looks)


class Scan:
    """One walk over all marks. `next_jobs` drives it; results come in by `file_done`.

    `store(entries, encoded)` stores a directory; `fold(content)` shortens a long list of ids;
    `keep(seen, gone)` keeps aside what changed for the catalog; `note(path, text)` tells of what
    was left out; `waiting` are folders and files for which there is no room. Complete roots end up
    in `roots`, and how they were met in `looks`.
    """

    def __init__(
        self,
        marks: list[bytes],
        exclude: list[bytes],
        catalog: Catalog,
        night_ns: int,
        last: LastNight,
        store: Callable[[list[Entry], bytes], Content],
        fold: Callable[[Content], Content],
        keep: Callable[[SeenDirectory, list[bytes]], None],
        note: Callable[[bytes, str], None],
        ignored: Ignored,
        waiting: Collection[bytes] = (),
    ) -> None:
        self._ignored, self._waiting = ignored, frozenset(waiting)
        self._exclude = set(exclude)
        self._catalog, self._night_ns, self._last = catalog, night_ns, last
        self._store, self._fold, self._keep, self._note = store, fold, keep, note
        self._jobs: dict[int, tuple[OpenDirectory | None, bytes]] = {}
        self._job_number = 0
        self._stack: list[OpenDirectory] = []
        self._marks = sorted(set(marks))
        self.roots: dict[bytes, Entry] = {}
        self.looks: dict[bytes, Look] = {}
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
            self._count(entry, directory)
            if directory is None:
                self.roots[path] = entry
                self.looks[path] = self._look_after(result)
            else:
                directory.entries[name] = entry
                if result.settled:
                    directory.stamps[name] = stamp_of(result.found, self._night_ns)
        if directory is not None:
            if result.found is None or result.remark or not result.settled:
                directory.files_print = LOOK_AGAIN
            self._one_less(directory)

    def _look_after(self, result: FileResult) -> Look:
        """How a marked file was met, now that it was read."""
        assert result.found is not None
        stamp = stamp_of(result.found, self._night_ns) if result.settled else NO_STAMP
        return Look(result.found.device, stamp)

    def open_jobs(self) -> int:
        """Files handed out whose results are still to come."""
        return len(self._jobs)

    # --- roots ------------------------------------------------------------------------------

    def _begin_mark(self, mark: bytes) -> Iterator[FileJob]:
        if mark in self._waiting:
            self._stay(mark, NO_ROOM)
            return
        try:
            found = reader.stat_root(mark)
        except OSError:
            self._miss(mark)
            return
        stamp = stamp_of(found, self._night_ns)
        self.looks[mark] = Look(found.device, stamp)
        if found.kind == KIND_DIR:
            self._stack.append(OpenDirectory(mark, found, None))
        elif found.kind == KIND_FILE:
            old, look = self._last.roots.get(mark), self._last.looks.get(mark)
            if old is not None and look is not None and is_unchanged(old, look.stamp, found):
                self.roots[mark] = old
                self._count(old, None)
            else:
                yield self._job(None, mark, found)
        elif found.kind == KIND_SYMLINK:
            self.roots[mark] = self._plain_entry(_root_name(mark), mark, found)
        else:
            self._note(mark, "left out: not a file, a folder or a link")

    def _miss(self, mark: bytes) -> None:
        """A marked root is not there tonight."""
        self.missing.append(mark)
        self._stay(mark, "not there tonight; what was backed up before is kept")

    def _stay(self, mark: bytes, why: str) -> None:
        """A marked root goes on in the new snapshot as it was."""
        self._note(mark, why)
        self.looks.pop(mark, None)
        if mark in self._last.looks:
            self.looks[mark] = self._last.looks[mark]
        old = self._last.roots.get(mark)
        if old is None:
            return
        self.roots[mark] = old
        if old.kind == KIND_DIR:
            files, size = self._catalog.totals_below(mark)
            self.files += files
            self.bytes += size
        else:
            self._count(old, None)

    def unmarked(self) -> list[bytes]:
        """Roots of the last tree that lie below no mark any more."""
        return [path for path in self._last.roots if outermost([*self._marks, path]) != self._marks]

    def _is_unmounted(self, directory: OpenDirectory, listing: list[Found]) -> bool:
        """An empty root on another device than last night: the place where a disk belongs."""
        path = directory.path
        look = self._last.looks.get(path)
        return (
            directory.parent is None
            and not listing
            and path in self._last.roots
            and look is not None
            and look.device != directory.found.device
        )

    # --- directories ------------------------------------------------------------------------

    def _walk_directory(self, directory: OpenDirectory) -> Iterator[FileJob]:
        directory.before = self._catalog.directory(directory.path)
        if directory.path in self._waiting:
            self._keep_as_it_was(directory, "no room for it tonight")
            return
        try:
            listing = reader.list_directory(directory.path)
        except OSError as error:
            self._keep_as_it_was(directory, (error.strerror or "unreadable").lower())
            return
        if self._is_unmounted(directory, listing):
            self._miss(directory.path)
            return
        listing = self._without_ignored(directory, listing)
        files = [found for found in listing if found.kind != KIND_DIR]
        directory.files_print = files_print(files, self._night_ns)
        before = directory.before
        known = before is not None and directory.files_print != LOOK_AGAIN
        if before is not None and known and before.files_print == directory.files_print:
            directory.same_files = True
            directory.files, directory.bytes = before.files, before.bytes
            self.files += before.files
            self.bytes += before.bytes
        else:
            yield from self._look_at_files(directory, files)
        below: list[OpenDirectory] = []
        for found in listing:
            if found.kind == KIND_DIR:
                path = os.path.join(directory.path, found.name)
                if path not in self._exclude:
                    directory.pending += 1
                    below.append(OpenDirectory(path, found, directory))
        self._stack.extend(reversed(below))
        self._one_less(directory)

    def _without_ignored(self, directory: OpenDirectory, listing: list[Found]) -> list[Found]:
        """The listing without what the person wants left out.

        What the last night still had is told once more by name: nothing goes in silence.
        """
        mark = root_of(directory)
        prefix = os.path.join(directory.path, b"")
        kept: list[Found] = []
        left: list[Found] = []
        for found in listing:
            ignored = self._ignored(mark, prefix + found.name, found.name, found.kind == KIND_DIR)
            (left if ignored else kept).append(found)
        if left and directory.before is not None:
            had = decode_listing(self._catalog.listing(directory.path))
            for found in left:
                if found.name in had:
                    self._note(prefix + found.name, NO_LONGER_WANTED)
        return kept

    def _look_at_files(self, directory: OpenDirectory, files: list[Found]) -> Iterator[FileJob]:
        """Take unchanged files from the catalog; yield the others."""
        cached = self._cached(directory)
        prefix = os.path.join(directory.path, b"")
        for found in files:
            path = prefix + found.name
            if found.kind == KIND_FILE:
                old = cached.get(found.name)
                if path in self._waiting:
                    self._leave_waiting(directory, path, old)
                elif old is not None and is_unchanged(*old, found):
                    directory.entries[found.name], directory.stamps[found.name] = old
                    self._count(old[0], directory)
                else:
                    directory.pending += 1
                    yield self._job(directory, path, found)
            elif found.kind == KIND_SYMLINK:
                self._add_symlink(directory, path, found)
            else:
                assert found.kind == KIND_OTHER
                directory.files_print = LOOK_AGAIN  # so that it is told every night
                self._note(path, "left out: not a file, a folder or a link")

    def _leave_waiting(
        self, directory: OpenDirectory, path: bytes, old: tuple[Entry, Stamp] | None
    ) -> None:
        """There is no room for a file tonight: it stays as it was."""
        directory.files_print = LOOK_AGAIN
        self._note(path, NO_ROOM)
        if old is not None:
            name = old[0].name
            directory.entries[name], directory.stamps[name] = old
            self._count(old[0], directory)

    def _cached(self, directory: OpenDirectory) -> dict[bytes, tuple[Entry, Stamp]]:
        """The files of the last listing; notes which folders it had."""
        if directory.before is None:
            return {}
        cached = decode_listing(self._catalog.listing(directory.path))
        directory.old_folders = {n for n, (entry, _) in cached.items() if entry.kind == KIND_DIR}
        return {n: old for n, old in cached.items() if old[0].kind != KIND_DIR}

    def _keep_as_it_was(self, directory: OpenDirectory, reason: str) -> None:
        if directory.before is None:
            self._note(directory.path, f"left out: {reason}")
        elif directory.parent is None:
            self._miss(directory.path)
            return
        else:
            self._note(directory.path, f"{reason}; what was backed up before is kept")
            directory.kept = True
            files, size = self._catalog.totals_below(directory.path)
            self.files += files
            self.bytes += size
        self._one_less(directory)

    def _add_symlink(self, directory: OpenDirectory, path: bytes, found: Found) -> None:
        try:
            directory.entries[found.name] = self._plain_entry(found.name, path, found)
        except OSError as error:
            directory.files_print = LOOK_AGAIN
            self._note(path, f"left out: {(error.strerror or 'unreadable').lower()}")

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
        content = self._content(directory)
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
            parent.folders[name] = entry

    def _content(self, directory: OpenDirectory) -> Content:
        """The directory's listing as content: the same as before when nothing below changed."""
        before = directory.before
        if directory.kept:
            assert before is not None
            return Content(before.level, before.ids)
        folders = [directory.folders[name] for name in sorted(directory.folders)]
        print_now = folders_print(folders)
        if directory.same_files:
            assert before is not None
            if before.folders_print == print_now:
                return Content(before.level, before.ids)
            for name, (entry, stamp) in self._cached(directory).items():
                directory.entries[name], directory.stamps[name] = entry, stamp
        entries = sorted([*directory.entries.values(), *folders], key=lambda entry: entry.name)
        encoded = encode_directory(entries)
        content = self._store(entries, encoded)
        row = DirectoryRow(
            directory.files_print,
            print_now,
            content.level,
            content.ids,
            directory.files,
            directory.bytes,
        )
        gone = [
            os.path.join(directory.path, name)
            for name in sorted(directory.old_folders - directory.folders.keys())
        ]
        listing = encode_listing(encoded, entries, directory.stamps)
        self._keep(SeenDirectory(directory.path, row, listing), gone)
        return content

    # --- entries ----------------------------------------------------------------------------

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

    def _count(self, entry: Entry, directory: OpenDirectory | None) -> None:
        self.files += 1
        self.bytes += entry.size
        if directory is not None:
            directory.files += 1
            directory.bytes += entry.size


def _root_name(path: bytes) -> bytes:
    """The last part of a path; the file system's own root has none and is called so."""
    return path[path.rfind(b"/") + 1 :] or b"root"


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
