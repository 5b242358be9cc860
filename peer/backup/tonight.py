"""Before the files are read: how much of them is new tonight, folder by folder, and what waits.

New is what has grown: a folder's size now less its size in the last tree. A file that changed in
its middle is mostly known, and one that was renamed is known altogether, so that counting their
whole sizes would keep out what fits. Where this guesses too low, friends say so while it is
shipped, and nothing is lost.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial

from chunking.formats import KIND_FILE, Entry
from peer.backup.ignore import Ignored
from peer.backup.listing import decode_listing
from peer.catalog import Catalog
from peer.space.fitting import Part, choose_waiting

DEPTH_MAX = 4
"""Folders so far below a mark are told apart; what is deeper counts with the one above it."""
PARTS_MAX = 20_000
"""With more folders than this, no more are told apart: it bounds the memory."""
LARGE_FILE_BYTES = 64 << 20
"""Such files wait one by one, and do not keep out what lies beside them. Smaller ones are told
apart in the one folder that has to be divided."""
SURELY_FITS = 2
"""Files may be this much larger than what they take on the disk, by compression and holes."""


def what_waits(
    marks: Sequence[bytes],
    exclude: Collection[bytes],
    ignored: Ignored,
    catalog: Catalog,
    before: Mapping[bytes, Entry],
    room_bytes: int,
) -> list[Part]:
    """Folders and files for which there is no room tonight; nothing is read for it but names.

    `before` are the roots of the last tree.
    """
    if SURELY_FITS * _used_bytes(marks) <= room_bytes:
        return []
    measure = _Measure(set(exclude), ignored, catalog, before)
    return choose_waiting([measure.root(mark) for mark in marks], room_bytes, LARGE_FILE_BYTES)


def new_tonight(
    marks: Sequence[bytes],
    exclude: Collection[bytes],
    ignored: Ignored,
    catalog: Catalog,
    before: Mapping[bytes, Entry],
) -> int:
    """How many bytes of all marks are new."""
    measure = _Measure(set(exclude), ignored, catalog, before)
    return sum(measure.root(mark).whole_bytes() for mark in marks)


def _used_bytes(marks: Iterable[bytes]) -> int:
    """What the marks' disks have on them: there cannot be more in the marks."""
    used: dict[int, int] = {}
    for mark in marks:
        with contextlib.suppress(OSError):
            used[os.lstat(mark).st_dev] = shutil.disk_usage(os.fsdecode(mark)).used
    return sum(used.values())


class _Measure:
    """Walks the marks, one after the other."""

    def __init__(
        self,
        exclude: set[bytes],
        ignored: Ignored,
        catalog: Catalog,
        before: Mapping[bytes, Entry],
    ) -> None:
        self._exclude, self._ignored, self._catalog = exclude, ignored, catalog
        self._before = before
        self._parts = 0
        self._mark = b""

    def root(self, mark: bytes) -> Part:
        """A marked folder or file; empty when it cannot be looked at."""
        self._mark = mark
        part = Part(mark)
        try:
            found = os.lstat(mark)
        except OSError:
            return part
        if stat.S_ISDIR(found.st_mode):
            self._folder(part, 0)
        elif stat.S_ISREG(found.st_mode):
            old = self._before.get(mark)
            part.new_bytes = max(0, found.st_size - (old.size if old is not None else 0))
            part.changed_ns = found.st_mtime_ns
        return part

    def _folder(self, part: Part, depth: int) -> None:
        size = 0
        large: dict[bytes, Part] = {}
        for entry in self._entries(part.path):
            with contextlib.suppress(OSError):
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode):
                    part.parts.append(self._folder_below(entry.path, depth + 1))
                elif stat.S_ISREG(found.st_mode):
                    part.changed_ns = max(part.changed_ns, found.st_mtime_ns)
                    if found.st_size < LARGE_FILE_BYTES:
                        size += found.st_size
                    else:
                        large[entry.name] = Part(entry.path, found.st_size, found.st_mtime_ns)
        part.new_bytes = max(0, size - self._known(part.path, large))
        part.files = partial(self._files, self._mark, part.path)
        part.parts += large.values()
        part.changed_ns = max([part.changed_ns, *(below.changed_ns for below in part.parts)])

    def _files(self, mark: bytes, folder: bytes) -> list[Part]:
        """A folder's small files one by one, with what each has grown by."""
        self._mark = mark
        old = decode_listing(self._catalog.listing(folder))
        files: list[Part] = []
        for entry in self._entries(folder):
            with contextlib.suppress(OSError):
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(found.st_mode) and found.st_size < LARGE_FILE_BYTES:
                    before = old[entry.name][0].size if entry.name in old else 0
                    new = max(0, found.st_size - before)
                    files.append(Part(entry.path, new, found.st_mtime_ns))
        return files

    def _folder_below(self, path: bytes, depth: int) -> Part:
        part = Part(path)
        if depth <= DEPTH_MAX and self._parts < PARTS_MAX:
            self._parts += 1
            self._folder(part, depth)
        else:
            part.changed_ns, now = self._below(path)
            part.new_bytes = max(0, now - self._catalog.totals_below(path)[1])
        return part

    def _known(self, folder: bytes, large: Mapping[bytes, Part]) -> int:
        """What the last tree had of a folder's own files, without those that are large now; of
        these, only what they have grown by counts as new from here on."""
        before = self._catalog.directory(folder)
        if before is None:
            return 0
        known = before.bytes
        listing = decode_listing(self._catalog.listing(folder)) if large else {}
        for name, part in large.items():
            old = listing.get(name)
            if old is not None and old[0].kind == KIND_FILE:
                part.new_bytes = max(0, part.new_bytes - old[0].size)
                known -= old[0].size
        return known

    def _below(self, folder: bytes) -> tuple[int, int]:
        """(when anything below last changed, bytes of all files below)."""
        changed = size = 0
        left = [folder]
        while left:
            for entry in self._entries(left.pop()):
                with contextlib.suppress(OSError):
                    found = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(found.st_mode):
                        left.append(entry.path)
                    elif stat.S_ISREG(found.st_mode):
                        size += found.st_size
                        changed = max(changed, found.st_mtime_ns)
        return changed, size

    def _entries(self, folder: bytes) -> list[os.DirEntry[bytes]]:
        """What lies in a folder and is wanted; nothing when it cannot be listed."""
        try:
            with os.scandir(folder) as entries:
                return [entry for entry in entries if self._is_wanted(entry)]
        except OSError:
            return []

    def _is_wanted(self, entry: os.DirEntry[bytes]) -> bool:
        is_folder = entry.is_dir(follow_symlinks=False)
        if is_folder and entry.path in self._exclude:
            return False
        return not self._ignored(self._mark, entry.path, entry.name, is_folder)
