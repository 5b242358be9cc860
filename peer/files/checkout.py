"""Write a snapshot's entries below a target folder, and never outside of it.

Whatever a tree says - names like `..`, a link followed by a folder of the same name - and whatever
lies in the target already, nothing outside of it is created, changed or followed: every name is
checked, and every step goes from one opened folder to the next without following links
(`places.py`). A file appears under its name only when it is complete. What stands in the way of an
entry is replaced, but a folder only when it is empty.

Folders get their mode and times at the end (`finish`), since filling them changes both; until then
those that are made here are for this user alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

from chunking.formats import Entry
from peer.files.dressing import Dresser, is_root, reason
from peer.files.opened import WAY_MODE, OpenFolders, Parts
from peer.files.places import BY_DESCRIPTOR, Folder, UnsafeName, check_name, open_target

__all__ = ["Checkout", "CheckoutError", "FileWriter", "FirstNameMissing", "Parts", "UnsafeName"]

NOTES_MAX = 1000
"""Notes kept; a stick that takes no owners would otherwise have one for each of a million files."""
OVERWRITE = ("never", "older", "always")
TEMPORARY_TRIES = 1000

Identity = tuple[int, int, int, int]
T = TypeVar("T")


class CheckoutError(Exception):
    """Something could not be written; the text says what and why, for a person."""

    def __init__(self, path: bytes, reason: str) -> None:
        where = f"{path.decode('utf-8', 'backslashreplace')}: " if path else ""
        super().__init__(f"{where}{reason}")
        self.path, self.reason = path, reason


class FirstNameMissing(CheckoutError):
    """The file that this is another name of was not written by this checkout; write it anew."""


class Checkout:
    """One restore's writer. Call the methods for parents before children, `finish` last."""

    def __init__(
        self,
        target: bytes,
        *,
        overwrite: str = "always",
        chown: bool | None = None,
        by_descriptor: bool = BY_DESCRIPTOR,
    ) -> None:
        assert overwrite in OVERWRITE
        self._target, self._overwrite = target, overwrite
        self._dresser = Dresser(chown=is_root() if chown is None else chown)
        try:
            os.makedirs(target, WAY_MODE, exist_ok=True)
            root = open_target(target, by_descriptor=by_descriptor)
        except OSError as error:
            raise CheckoutError(target, reason(error)) from error
        self._folders = OpenFolders(root, replace=overwrite == "always", open_up=not is_root())
        self._made: dict[Parts, Entry] = {}
        self._written: dict[Parts, Identity] = {}
        self._temporary = 0
        self._notes_left_out = 0
        self.notes: list[tuple[bytes, str]] = []

    # --- entries ----------------------------------------------------------------------------

    def make_directory(self, parts: Parts, entry: Entry) -> None:
        """A folder, there already or not. Raises CheckoutError, UnsafeName.

        For () nothing is done: the target itself belongs to whoever chose it.
        """
        if not parts:
            return
        try:
            folder = self._folders.get(parts)
            if parts in self._folders.made or self._may_change(os.stat(folder.handle), entry):
                self._made[parts] = entry
        except OSError as error:
            raise self.problem(parts, error) from error

    def open_file(self, parts: Parts, entry: Entry) -> FileWriter | None:
        """A writer for a file's content, or None where what is there is to be kept."""
        name = _last(parts)
        try:
            folder = self._folders.get(parts[:-1])
            if not self._may_replace(folder, name, entry):
                return None
            temporary, fd = self._unfinished(folder.create)
            return FileWriter(self, parts, entry, fd, folder.hold(), temporary)
        except OSError as error:
            raise self.problem(parts, error) from error

    def make_symlink(self, parts: Parts, entry: Entry) -> None:
        """A symbolic link, whatever it points to: it is never followed here."""
        name = _last(parts)
        if not entry.target or b"\x00" in entry.target:
            raise CheckoutError(self.path(parts), "it points to nothing that can be named")
        try:
            folder = self._folders.get(parts[:-1])
            if not self._may_replace(folder, name, entry):
                self.note(parts, "kept as it was")
                return
            temporary, _ = self._unfinished(lambda new: folder.symlink(entry.target, new))
            self._dresser.dress_symlink(
                folder, temporary, entry, lambda text: self.note(parts, text)
            )
            self.move_into_place(folder, temporary, parts)
        except OSError as error:
            raise self.problem(parts, error) from error

    def make_hardlink(self, parts: Parts, first: Parts, entry: Entry) -> None:
        """Another name for a file that was written before.

        Raises FirstNameMissing when this checkout has not written it, or it is not there any more:
        a file that merely has that name is none of ours to link to.
        """
        name, first_name = _last(parts), _last(first)
        try:
            if not self._may_replace(self._folders.get(parts[:-1]), name, entry):
                self.note(parts, "kept as it was")
                return
            if first not in self._written:
                raise FirstNameMissing(self.path(parts), "its first name was not restored")
            with contextlib.closing(self._folders.get(first[:-1], make=False).hold()) as source:
                self._link(parts, source, first_name, self._written[first])
        except OSError as error:
            raise self.problem(parts, error) from error

    def finish(self) -> None:
        """Give folders their modes and times, those in them before them, and close everything."""
        try:
            for parts in sorted(self._folders.modes.keys() | self._made.keys(), reverse=True):
                self._dress_folder(parts)
        finally:
            self.close()
        if self._notes_left_out:
            more = f"and {self._notes_left_out:,} more remarks on other files"
            self.notes.append((self._target, more))
            self._notes_left_out = 0

    def close(self) -> None:
        """Close everything, finished or not. May be called again."""
        self._folders.close()

    def __enter__(self) -> Checkout:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _dress_folder(self, parts: Parts) -> None:
        try:
            folder = self._folders.get(parts, make=False)
            entry = self._made.get(parts)
            if entry is None:
                os.chmod(folder.handle, self._folders.modes[parts])
            else:
                self._dresser.dress(folder.handle, entry, lambda text: self.note(parts, text))
        except OSError as error:
            self.note(parts, f"its mode and time were not set: {reason(error)}")

    def _forget(self, parts: Parts) -> None:
        self._folders.forget_below(parts)
        depth = len(parts)
        for known in [p for p in self._made if p[:depth] == parts]:
            del self._made[known]
        for known in [p for p in self._written if p[:depth] == parts]:
            del self._written[known]

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

    def _link(self, parts: Parts, source: Folder, first: bytes, expected: Identity) -> None:
        folder = self._folders.get(parts[:-1])
        try:
            temporary, _ = self._unfinished(lambda new: folder.link(source, first, new))
            there = folder.stat(temporary)
        except FileNotFoundError as error:
            raise FirstNameMissing(self.path(parts), "its first name is gone again") from error
        if _identity(there) != expected:
            folder.unlink(temporary)
            raise FirstNameMissing(self.path(parts), "its first name was replaced")
        self.move_into_place(folder, temporary, parts)
        with contextlib.suppress(FileNotFoundError):
            # Renaming one name of a file to another of its names leaves both.
            folder.unlink(temporary)

    # --- for the writers --------------------------------------------------------------------

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
        self._written.pop(parts, None)

    def complete(self, writer: FileWriter) -> None:
        """A writer has all of its content."""
        parts, entry = writer.parts, writer.entry
        handle = writer.folder.handle_of(writer.temporary, writer.fd)
        if isinstance(handle, bytes):
            writer.fd = -1
        self._dresser.dress(handle, entry, lambda text: self.note(parts, text))
        there = os.stat(handle) if entry.link_group else None
        self.move_into_place(writer.folder, writer.temporary, parts)
        if there is not None:
            self._written[parts] = _identity(there)

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
        return CheckoutError(self.path(parts), reason(error))


class FileWriter:
    """Takes a file's content from beginning to end; `done` or `abort` ends it."""

    __slots__ = (
        "_checkout", "_extents", "_left", "_written", "entry", "fd", "folder", "parts", "temporary",
    )  # fmt: skip

    def __init__(
        self,
        checkout: Checkout,
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

    def done(self) -> None:
        """The content is complete: give it its size, metadata and name. Raises CheckoutError."""
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
            self._checkout.complete(self)
        except OSError as error:
            raise self._checkout.problem(self.parts, error) from error
        self._close()

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


def _identity(there: os.stat_result) -> Identity:
    """What tells a file from another one, that may have got the same inode after it."""
    return there.st_dev, there.st_ino, there.st_size, there.st_mtime_ns


def _last(parts: Parts) -> bytes:
    """The name of an entry, checked; those of its parents are, when they are opened."""
    if not parts:
        raise UnsafeName("the target itself is no entry")
    check_name(parts[-1])
    return parts[-1]
