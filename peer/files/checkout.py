"""Write a snapshot's entries below a target folder, and never outside of it.

Whatever a tree says - names like `..`, a link followed by a folder of the same name - and whatever
lies in the target already, nothing outside of it is created, changed or followed: every name is
checked, and every step goes from one opened folder to the next without following links
(`places.py`). Files are written as `writing.py` tells.

Folders get their mode and times at the end (`finish`), since filling them changes both; until then
those that are made here are for this user alone.
"""

from __future__ import annotations

import contextlib
import os
from types import TracebackType

import psutil

from chunking.formats import Entry
from peer.files.dressing import reason
from peer.files.opened import WAY_MODE, Parts
from peer.files.places import BY_DESCRIPTOR, Folder, UnsafeName
from peer.files.writing import (
    CheckoutError,
    FileCheckout,
    FileWriter,
    Identity,
    identity,
    last_name,
    unfinished_by,
)

__all__ = ["Checkout", "CheckoutError", "FileWriter", "FirstNameMissing", "Parts", "UnsafeName"]


class FirstNameMissing(CheckoutError):
    """The file that this is another name of was not written by this checkout; write it anew."""


class Checkout(FileCheckout):
    """One restore's writer. Call the methods for parents before children, `finish` last."""

    def __init__(
        self,
        target: bytes,
        *,
        overwrite: str = "always",
        chown: bool | None = None,
        by_descriptor: bool = BY_DESCRIPTOR,
        followed: frozenset[Parts] = frozenset(),
    ) -> None:
        try:
            os.makedirs(target, WAY_MODE, exist_ok=True)
        except OSError as error:
            raise CheckoutError(target, reason(error)) from error
        super().__init__(
            target,
            overwrite=overwrite,
            chown=chown,
            by_descriptor=by_descriptor,
            followed=followed,
        )
        self._made: dict[Parts, Entry] = {}
        self._written: dict[Parts, Identity] = {}

    # --- entries ----------------------------------------------------------------------------

    def make_directory(self, parts: Parts, entry: Entry) -> None:
        """A folder, there already or not. Raises CheckoutError, UnsafeName.

        For () nothing is done: the target itself belongs to whoever chose it.
        """
        if not parts:
            return
        try:
            folder = self._folders.get(parts)
            if parts in self._folders.made:
                self._made[parts] = entry
                return
            if self._may_change(os.stat(folder.handle), entry):
                self._made[parts] = entry
            _sweep(folder)
        except OSError as error:
            raise self.problem(parts, error) from error

    def make_way(self, parts: Parts) -> None:
        """A folder that no entry describes, so that something can be written in it."""
        try:
            self._folders.get(parts)
        except OSError as error:
            raise self.problem(parts, error) from error

    def make_symlink(self, parts: Parts, entry: Entry) -> None:
        """A symbolic link, whatever it points to: it is never followed here."""
        name = last_name(parts)
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
        name, first_name = last_name(parts), last_name(first)
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

    def adopt(self, parts: Parts, there: Identity) -> None:
        """Another process has written this file, or found it right; it may get other names."""
        self._written[parts] = there

    def finish(self) -> None:
        """Give folders their modes and times, those in them before them, and close everything."""
        try:
            for parts in sorted(self._folders.modes.keys() | self._made.keys(), reverse=True):
                self._dress_folder(parts)
        finally:
            self.close()
        self.notes = self.take_notes()

    def __enter__(self) -> Checkout:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _folder(self, parts: Parts) -> Folder:
        return self._folders.get(parts)

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
        super()._forget(parts)
        depth = len(parts)
        for known in [p for p in self._made if p[:depth] == parts]:
            del self._made[known]
        for known in [p for p in self._written if p[:depth] == parts]:
            del self._written[known]

    # --- files with several names -----------------------------------------------------------

    def _link(self, parts: Parts, source: Folder, first: bytes, expected: Identity) -> None:
        folder = self._folders.get(parts[:-1])
        try:
            temporary, _ = self._unfinished(lambda new: folder.link(source, first, new))
            there = folder.stat(temporary)
        except FileNotFoundError as error:
            raise FirstNameMissing(self.path(parts), "its first name is gone again") from error
        if identity(there) != expected:
            folder.unlink(temporary)
            raise FirstNameMissing(self.path(parts), "its first name was replaced")
        self.move_into_place(folder, temporary, parts)
        with contextlib.suppress(FileNotFoundError):
            # Renaming one name of a file to another of its names leaves both.
            folder.unlink(temporary)

    def move_into_place(self, folder: Folder, temporary: bytes, parts: Parts) -> None:
        """As FileCheckout does; what had that name before is no file of ours any more."""
        super().move_into_place(folder, temporary, parts)
        self._written.pop(parts, None)

    def complete(self, writer: FileWriter) -> Identity | None:
        """As FileCheckout does."""
        there = super().complete(writer)
        if there is not None:
            self._written[writer.parts] = there
        return there


def _sweep(folder: Folder) -> None:
    """Remove what a restore that was killed has left unfinished in a folder."""
    with contextlib.suppress(OSError):  # it may be another's: writing in it will tell
        for name in folder.names():
            process = unfinished_by(name)
            if process is None:
                continue
            with contextlib.suppress(OSError):
                if not _was_running(process, folder.stat(name).st_ctime):
                    folder.unlink(name)


def _was_running(process: int, when_s: float) -> bool:
    """Whether the process of this number was there then; numbers are given anew after a restart."""
    try:
        return bool(psutil.Process(process).create_time() <= when_s)
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
