"""Write files into folders of a target that are there, and never anywhere else.

A file appears under its name only when it is complete: it is written under the name of an
unfinished one beside it, dressed, and moved. What stands in its way is replaced, but a folder only
when it is empty. Several processes may write into one target, each with its own `FileCheckout`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Callable
from typing import TypeVar

from chunking.formats import Entry
from peer.files.dressing import Dresser, is_root, reason
from peer.files.opened import OpenFolders, Parts
from peer.files.places import BY_DESCRIPTOR, Folder, UnsafeName, check_name, open_target
from peer.files.standing import Standing, judge

NOTES_MAX = 1000
"""Notes kept; a stick that takes no owners would otherwise have one for each of a million files."""
OVERWRITE = ("never", "older", "always")
TEMPORARY_TRIES = 1000

Identity = tuple[int, int, int, int]
"""What tells a file from another one, that may have got the same inode after it."""
T = TypeVar("T")


HOPELESS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""A disk that is full or cannot be written: the next file will fare no better."""


class CheckoutError(Exception):
    """Something could not be written; the text says what and why, for a person.

    When it is `hopeless`, nothing else can be written either.
    """

    def __init__(self, path: bytes, reason: str, *, hopeless: bool = False) -> None:
        where = f"{path.decode('utf-8', 'backslashreplace')}: " if path else ""
        super().__init__(f"{where}{reason}")
        self.path, self.reason, self.hopeless = path, reason, hopeless


class FileCheckout:
    """Writes files into folders that are there already. `close` it in the end."""

    def __init__(
        self,
        target: bytes,
        *,
        overwrite: str = "always",
        chown: bool | None = None,
        by_descriptor: bool = BY_DESCRIPTOR,
        followed: frozenset[Parts] = frozenset(),
    ) -> None:
        assert overwrite in OVERWRITE
        self._target, self._overwrite = target, overwrite
        self._dresser = Dresser(chown=is_root() if chown is None else chown)
        try:
            root = open_target(target, by_descriptor=by_descriptor)
        except OSError as error:
            raise CheckoutError(target, reason(error)) from error
        self._folders = OpenFolders(
            root, replace=overwrite == "always", open_up=not is_root(), followed=followed
        )
        self._temporary = 0
        self._notes_left_out = 0
        self.notes: list[tuple[bytes, str]] = []

    def open_file(self, parts: Parts, entry: Entry) -> FileWriter | None:
        """A writer for a file's content, or None where what is there is to be kept."""
        name = last_name(parts)
        try:
            folder = self._folder(parts[:-1])
            if not self._may_replace(folder, name, entry):
                return None
            mode = self._dresser.first_mode(entry)
            temporary, fd = self._unfinished(lambda new: folder.create(new, mode))
            return FileWriter(self, parts, entry, fd, folder.hold(), temporary)
        except OSError as error:
            raise self.problem(parts, error) from error

    def standing(self, parts: Parts, entry: Entry) -> Standing:
        """What stands where a file is to come. Raises CheckoutError, UnsafeName."""
        name = last_name(parts)
        if parts[:-1] in self._folders.made:
            return Standing.NOTHING
        try:
            there = self._folder(parts[:-1]).stat(name)
        except FileNotFoundError:
            return Standing.NOTHING
        except OSError as error:
            if isinstance(error, NotADirectoryError) and self._overwrite == "always":
                return Standing.NOTHING  # what stands in the way is replaced
            raise self.problem(parts, error) from error
        return judge(there, entry, self._overwrite)

    def find_same(
        self, parts: Parts, entry: Entry, is_same: Callable[[int], bool], *, dress: bool
    ) -> Identity | None:
        """The identity of the file that is there, if `is_same` says so of its descriptor.

        With `dress` it gets the entry's metadata; a file that has other names outside does not,
        and does not count as the same. Raises CheckoutError.
        """
        name = last_name(parts)
        try:
            folder = self._folders.get(parts[:-1], make=False)
            fd = folder.open_file(name)
            try:
                there = os.fstat(fd)
                if not stat.S_ISREG(there.st_mode) or there.st_size != entry.size:
                    return None
                if not is_same(fd):
                    return None
                if dress and not self._dresser.is_dressed(fd, there, entry):
                    if there.st_nlink > 1:
                        return None
                    handle = folder.handle_of(name, fd)
                    if isinstance(handle, bytes):
                        fd = -1
                    self._dresser.dress(handle, entry, lambda text: self.note(parts, text))
                    there = os.stat(handle)
                return identity(there)
            finally:
                if fd >= 0:
                    os.close(fd)
        except OSError as error:
            raise self.problem(parts, error) from error

    def take_notes(self) -> list[tuple[bytes, str]]:
        """What was not done since the last call, in words."""
        notes, self.notes = self.notes, []
        if self._notes_left_out:
            more = f"and {self._notes_left_out:,} more remarks on other files"
            notes.append((self._target, more))
            self._notes_left_out = 0
        return notes

    def close(self) -> None:
        """Close everything, finished or not. May be called again."""
        self._folders.close()

    def _folder(self, parts: Parts) -> Folder:
        return self._folders.get(parts, make=False)

    # --- replacing --------------------------------------------------------------------------

    def _may_change(self, there: os.stat_result, entry: Entry) -> bool:
        if self._overwrite == "older":
            return there.st_mtime_ns < entry.mtime_ns
        return self._overwrite == "always"

    def _may_replace(self, folder: Folder, name: bytes, entry: Entry) -> bool:
        if self._overwrite == "always":
            return True
        try:
            return self._may_change(folder.stat(name), entry)
        except FileNotFoundError:
            return True

    def _unfinished(self, make: Callable[[bytes], T]) -> tuple[bytes, T]:
        """Make something under a name that nothing has yet."""
        for _ in range(TEMPORARY_TRIES):
            self._temporary += 1
            temporary = b".covey-%d-%d.part" % (os.getpid(), self._temporary)
            with contextlib.suppress(FileExistsError):
                return temporary, make(temporary)
        raise FileExistsError(0, "no name is free for what is unfinished")

    def move_into_place(self, folder: Folder, temporary: bytes, parts: Parts) -> None:
        """Give something complete its name; nothing is left of it when that fails."""
        name = parts[-1]
        try:
            try:
                folder.rename(temporary, name)
            except IsADirectoryError:
                folder.rmdir(name)  # only an empty one goes
                self._forget(parts)
                folder.rename(temporary, name)
        except OSError:
            with contextlib.suppress(OSError):
                folder.unlink(temporary)
            raise

    def _forget(self, parts: Parts) -> None:
        """The folder of this name is gone."""
        self._folders.forget_below(parts)

    # --- for the writers --------------------------------------------------------------------

    def complete(self, writer: FileWriter) -> Identity | None:
        """A writer has all of its content; the identity of a file with other names."""
        parts, entry = writer.parts, writer.entry
        handle = writer.folder.handle_of(writer.temporary, writer.fd)
        if isinstance(handle, bytes):
            writer.fd = -1
        self._dresser.dress(handle, entry, lambda text: self.note(parts, text))
        there = identity(os.stat(handle)) if entry.link_group else None
        self.move_into_place(writer.folder, writer.temporary, parts)
        return there

    def note(self, parts: Parts, text: str) -> None:
        """Remember that something was not done."""
        if len(self.notes) < NOTES_MAX:
            self.notes.append((self.path(parts), text))
        else:
            self._notes_left_out += 1

    def path(self, parts: Parts) -> bytes:
        """Where these parts are, for a person."""
        return os.path.join(self._target, *parts)

    def problem(self, parts: Parts, error: OSError) -> CheckoutError:
        """An error as a person reads it."""
        return CheckoutError(self.path(parts), reason(error), hopeless=error.errno in HOPELESS)


class FileWriter:
    """Takes a file's content from beginning to end; `done` or `abort` ends it."""

    __slots__ = (
        "_checkout", "_extents", "_left", "_written", "entry", "fd", "folder", "parts", "temporary",
    )  # fmt: skip

    def __init__(
        self,
        checkout: FileCheckout,
        parts: Parts,
        entry: Entry,
        fd: int,
        folder: Folder,
        temporary: bytes,
    ) -> None:
        self._checkout = checkout
        self.parts, self.entry = parts, entry
        self.fd, self.folder, self.temporary = fd, folder, temporary
        self._extents = iter(entry.extents)
        self._left = 0 if entry.extents else None
        self._written = 0

    def write(self, data: bytes) -> None:
        """The next bytes of the content. Raises CheckoutError."""
        view = memoryview(data)
        try:
            while view:
                size = len(view) if self._left is None else min(len(view), self._next_extent())
                size = os.write(self.fd, view[:size])
                self._written += size
                view = view[size:]
                if self._left is not None:
                    self._left -= size
        except OSError as error:
            raise self._checkout.problem(self.parts, error) from error

    def done(self) -> Identity | None:
        """The content is complete: give it its size, metadata and name. Raises CheckoutError.

        Returns the identity of a file that is to have other names.
        """
        expected = sum(length for _, length in self.entry.extents)
        if self.entry.content.ids and not self.entry.extents:
            expected = self.entry.size
        if self._written != expected:
            raise CheckoutError(
                self._checkout.path(self.parts),
                f"it has {self._written} bytes of content instead of {expected}",
            )
        try:
            if self._written != self.entry.size:
                os.ftruncate(self.fd, self.entry.size)
            there = self._checkout.complete(self)
        except OSError as error:
            raise self._checkout.problem(self.parts, error) from error
        self._close()
        return there

    def abort(self) -> None:
        """Leave nothing of it; harmless after `done`."""
        if self.temporary:
            with contextlib.suppress(OSError):
                self.folder.unlink(self.temporary)
            self._close()

    def _next_extent(self) -> int:
        assert self._left is not None
        while not self._left:
            offset, self._left = next(self._extents, (0, -1))
            if self._left < 0:
                self._left = 0
                raise CheckoutError(
                    self._checkout.path(self.parts), "it has more content than its extents"
                )
            os.lseek(self.fd, offset, os.SEEK_SET)
        return self._left

    def _close(self) -> None:
        self.temporary = b""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        self.folder.close()


_UNFINISHED = re.compile(rb"\.covey-([1-9][0-9]{0,18})-[0-9]+\.part")


def unfinished_by(name: bytes) -> int | None:
    """The process whose unfinished file has this name, or None for any other name."""
    found = _UNFINISHED.fullmatch(name)
    return int(found[1]) if found else None


def identity(there: os.stat_result) -> Identity:
    """The identity of what has this stat."""
    return there.st_dev, there.st_ino, there.st_size, there.st_mtime_ns


def last_name(parts: Parts) -> bytes:
    """The name of an entry, checked; those of its parents are, when they are opened."""
    if not parts:
        raise UnsafeName("the target itself is no entry")
    check_name(parts[-1])
    return parts[-1]
