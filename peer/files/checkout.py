"""Write a snapshot's entries below a target folder, and never outside of it.

Whatever a tree says - names like `..`, a link followed by a folder of the same name - and whatever
lies in the target already, nothing outside of it is created, changed or followed: every name is
checked, and every step goes through the descriptor of a folder that was opened without following
links. A file appears under its name only when it is complete.

Folders get their mode and times at the end (`finish`), since filling them changes both.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections import OrderedDict

from chunking.formats import KIND_DIR, Entry

OPEN_FOLDERS_MAX = 64
FOLDER_MODE = 0o755
SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID
OVERWRITE = ("never", "older", "always")

Parts = tuple[bytes, ...]

_O_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_O_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class UnsafeName(ValueError):
    """A name that no folder may contain."""


class CheckoutError(Exception):
    """Something could not be written; the text says what and why, for a person."""

    def __init__(self, path: bytes, reason: str) -> None:
        where = f"{os.fsdecode(path)}: " if path else ""
        super().__init__(f"{where}{reason}")
        self.path, self.reason = path, reason


def check_name(name: bytes) -> None:
    """Raise UnsafeName unless it can be the name of one thing in a folder."""
    if name in (b"", b".", b"..") or b"/" in name or b"\x00" in name:
        raise UnsafeName(f"{name!r} is no name")


class Checkout:
    """One restore's writer. Call the methods for parents before children, `finish` last."""

    def __init__(
        self, target: bytes, *, overwrite: str = "always", chown: bool | None = None
    ) -> None:
        assert overwrite in OVERWRITE
        self._target, self._overwrite = target, overwrite
        self._chown = os.geteuid() == 0 if chown is None else chown
        try:
            os.makedirs(target, FOLDER_MODE, exist_ok=True)
            self._root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise CheckoutError(target, _reason(error)) from error
        self._folders: OrderedDict[Parts, int] = OrderedDict()
        self._made: list[tuple[Parts, Entry]] = []
        self._temporary = 0
        self.notes: list[tuple[bytes, str]] = []

    # --- entries ----------------------------------------------------------------------------

    def make_directory(self, parts: Parts, entry: Entry) -> None:
        """A folder, there already or not. Raises CheckoutError, UnsafeName."""
        _check_parts(parts)
        try:
            self._folder(parts)
        except OSError as error:
            raise self._problem(parts, error) from error
        self._made.append((parts, entry))

    def open_file(self, parts: Parts, entry: Entry) -> FileWriter | None:
        """A writer for a file's content, or None where what is there is to be kept."""
        _check_parts(parts)
        try:
            folder = self._folder(parts[:-1])
            if not self._may_replace(folder, parts, entry):
                return None
            temporary = self._temporary_name()
            fd = os.open(temporary, _O_NEW, 0o600, dir_fd=folder)
            # A descriptor of its own: the folder's may be closed while others are opened.
            return FileWriter(self, parts, entry, fd, os.dup(folder), temporary)
        except OSError as error:
            raise self._problem(parts, error) from error

    def make_symlink(self, parts: Parts, entry: Entry) -> None:
        """A symbolic link, whatever it points to: it is never followed here."""
        _check_parts(parts)
        try:
            folder = self._folder(parts[:-1])
            if not self._may_replace(folder, parts, entry):
                self.notes.append((self._path(parts), "kept as it was"))
                return
            temporary = self._temporary_name()
            os.symlink(entry.target, temporary, dir_fd=folder)
            self._dress_symlink(folder, temporary, parts, entry)
            self._rename(folder, temporary, parts[-1])
        except OSError as error:
            raise self._problem(parts, error) from error

    def make_hardlink(self, parts: Parts, first: Parts, entry: Entry) -> None:
        """Another name for a file that was written before."""
        _check_parts(parts)
        _check_parts(first)
        try:
            source = os.dup(self._folder(first[:-1]))
            try:
                folder = self._folder(parts[:-1])
                if not self._may_replace(folder, parts, entry):
                    self.notes.append((self._path(parts), "kept as it was"))
                    return
                temporary = self._temporary_name()
                os.link(
                    first[-1],
                    temporary,
                    src_dir_fd=source,
                    dst_dir_fd=folder,
                    follow_symlinks=False,
                )
                self._rename(folder, temporary, parts[-1])
                with contextlib.suppress(FileNotFoundError):
                    # Renaming one name of a file to another of its names leaves both.
                    os.unlink(temporary, dir_fd=folder)
            finally:
                os.close(source)
        except OSError as error:
            raise self._problem(parts, error) from error

    def finish(self) -> None:
        """Give folders their modes and times, deepest first, and close everything."""
        for parts, entry in sorted(self._made, key=lambda item: -len(item[0])):
            try:
                self._dress(self._folder(parts), parts, entry)
            except OSError as error:
                self.notes.append((self._path(parts), f"its mode or time: {_reason(error)}"))
        self._made.clear()
        while self._folders:
            os.close(self._folders.popitem()[1])
        os.close(self._root)

    # --- folders ----------------------------------------------------------------------------

    def _folder(self, parts: Parts) -> int:
        """A descriptor of a folder below the target, made if need be; stays ours."""
        depth = len(parts)
        while depth and parts[:depth] not in self._folders:
            depth -= 1
        if not depth:
            fd = self._root
        else:
            fd = self._folders[parts[:depth]]
            self._folders.move_to_end(parts[:depth])
        while depth < len(parts):
            fd = self._open_folder(fd, parts[depth])
            depth += 1
            self._folders[parts[:depth]] = fd
            if len(self._folders) > OPEN_FOLDERS_MAX:
                os.close(self._folders.popitem(last=False)[1])
        return fd

    def _open_folder(self, parent: int, name: bytes) -> int:
        try:
            return os.open(name, _O_FOLDER, dir_fd=parent)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR) or self._overwrite != "always":
                raise
            os.unlink(name, dir_fd=parent)  # a file or link stands where the folder was
        os.mkdir(name, 0o700, dir_fd=parent)
        return os.open(name, _O_FOLDER, dir_fd=parent)

    # --- replacing --------------------------------------------------------------------------

    def _may_replace(self, folder: int, parts: Parts, entry: Entry) -> bool:
        """Whether to write here; whatever may not stay is taken out of the way."""
        try:
            there = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return True
        if self._overwrite == "never":
            return False
        if self._overwrite == "older" and there.st_mtime_ns >= entry.mtime_ns:
            return False
        if stat.S_ISDIR(there.st_mode):
            self._close_below(parts)
            os.rmdir(parts[-1], dir_fd=folder)  # only an empty one goes
        return True

    def _close_below(self, parts: Parts) -> None:
        for known in [p for p in self._folders if p[: len(parts)] == parts]:
            os.close(self._folders.pop(known))
        self._made = [item for item in self._made if item[0][: len(parts)] != parts]

    def _temporary_name(self) -> bytes:
        self._temporary += 1
        return b".covey-%d-%d.part" % (os.getpid(), self._temporary)

    def _rename(self, folder: int, temporary: bytes, name: bytes) -> None:
        try:
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError:
            os.unlink(temporary, dir_fd=folder)
            raise

    # --- metadata ---------------------------------------------------------------------------

    def _dress(self, fd: int, parts: Parts, entry: Entry) -> None:
        """Attributes, owner, mode, times, in this order: each would undo the ones after it."""
        for name, value in entry.xattrs:
            try:
                os.setxattr(fd, name, value)
            except OSError as error:
                text = f"its attribute {os.fsdecode(name)} was not set: {_reason(error)}"
                self.notes.append((self._path(parts), text))
        mode = entry.mode
        if self._chown:
            try:
                os.fchown(fd, entry.uid, entry.gid)
            except OSError as error:
                mode &= ~SPECIAL_BITS
                self.notes.append((self._path(parts), f"its owner was not set: {_reason(error)}"))
        elif entry.kind != KIND_DIR:
            mode &= ~SPECIAL_BITS  # they would now mean another owner
        os.fchmod(fd, mode)
        os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))

    def _dress_symlink(self, folder: int, name: bytes, parts: Parts, entry: Entry) -> None:
        if self._chown:
            try:
                os.chown(name, entry.uid, entry.gid, dir_fd=folder, follow_symlinks=False)
            except OSError as error:
                self.notes.append((self._path(parts), f"its owner was not set: {_reason(error)}"))
        times = (entry.mtime_ns, entry.mtime_ns)
        os.utime(name, ns=times, dir_fd=folder, follow_symlinks=False)

    # --- telling ----------------------------------------------------------------------------

    def _path(self, parts: Parts) -> bytes:
        return os.path.join(self._target, *parts)

    def _problem(self, parts: Parts, error: OSError) -> CheckoutError:
        return CheckoutError(self._path(parts), _reason(error))


class FileWriter:
    """Takes a file's content from beginning to end; `done` or `abort` ends it."""

    def __init__(
        self, checkout: Checkout, parts: Parts, entry: Entry, fd: int, folder: int, temporary: bytes
    ) -> None:
        self._checkout, self._parts, self._entry = checkout, parts, entry
        self._fd, self._folder, self._temporary = fd, folder, temporary
        self._open = True
        self._extents = iter(entry.extents)
        self._left = 0 if entry.extents else None
        self._written = 0

    def write(self, data: bytes) -> None:
        """The next bytes of the content. Raises CheckoutError."""
        view = memoryview(data)
        try:
            while view:
                size = len(view) if self._left is None else min(len(view), self._next_extent())
                size = os.write(self._fd, view[:size])
                self._written += size
                view = view[size:]
                if self._left is not None:
                    self._left -= size
        except OSError as error:
            raise self._problem(error) from error

    def done(self) -> None:
        """The content is complete: give it its size, metadata and name. Raises CheckoutError."""
        expected = sum(length for _, length in self._entry.extents)
        if self._entry.content.ids and not self._entry.extents:
            expected = self._entry.size
        if self._written != expected:
            raise CheckoutError(
                self._checkout._path(self._parts),
                f"it has {self._written} bytes of content instead of {expected}",
            )
        try:
            if self._written != self._entry.size:
                os.ftruncate(self._fd, self._entry.size)
            self._checkout._dress(self._fd, self._parts, self._entry)
            self._checkout._rename(self._folder, self._temporary, self._parts[-1])
        except OSError as error:
            raise self._problem(error) from error
        self._close()

    def abort(self) -> None:
        """Leave nothing of it; harmless after `done`."""
        if self._open:
            try:
                os.unlink(self._temporary, dir_fd=self._folder)
            except FileNotFoundError:
                pass
            finally:
                self._close()

    def _next_extent(self) -> int:
        assert self._left is not None
        while not self._left:
            offset, self._left = next(self._extents, (0, -1))
            if self._left < 0:
                self._left = 0
                raise CheckoutError(
                    self._checkout._path(self._parts), "it has more content than its extents"
                )
            os.lseek(self._fd, offset, os.SEEK_SET)
        return self._left

    def _close(self) -> None:
        self._open = False
        os.close(self._fd)
        os.close(self._folder)

    def _problem(self, error: OSError) -> CheckoutError:
        return self._checkout._problem(self._parts, error)


def _check_parts(parts: Parts) -> None:
    if not parts:
        raise UnsafeName("the target itself is no entry")
    for name in parts:
        check_name(name)


def _reason(error: OSError) -> str:
    return (error.strerror or "it cannot be written").lower()
