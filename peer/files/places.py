"""Folders to write in: from one opened folder to the next, and never through a link.

Where the system lets a call begin at an open folder (`dir_fd`), a folder is a descriptor: what the
path to it becomes meanwhile makes no difference. Elsewhere (Windows) it is a path whose parts were
looked at; that keeps a hostile tree out, but not a second program that changes the target at the
same moment.

Names are single names that `check_name` has seen. Everything raises OSError.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Protocol

BY_DESCRIPTOR = {os.open, os.stat, os.mkdir, os.unlink, os.rename, os.link, os.symlink} <= (
    os.supports_dir_fd
) and hasattr(os, "O_NOFOLLOW")
PRIVATE_MODE = 0o700

_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_O_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _CLOEXEC
_O_BELOW = _O_FOLDER | getattr(os, "O_NOFOLLOW", 0)
_O_NEW = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_BINARY", 0)
    | _CLOEXEC
)
_O_READ = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
    | _CLOEXEC
)
_RESERVED = {"con", "prn", "aux", "nul"} | {f"{n}{i}" for n in ("com", "lpt") for i in range(10)}
_WINDOWS_FORBIDS = frozenset('<>:"\\|?*') | frozenset(map(chr, range(32)))

Handle = int | bytes
"""What `os.chmod` and its like take: a descriptor, or a path where there is no way by one."""


class UnsafeName(ValueError):
    """A name that no folder may contain."""


def check_name(name: bytes, *, windows: bool = os.name == "nt") -> None:
    """Raise UnsafeName unless it can be the name of one thing in a folder, and means just that."""
    bad = name in (b"", b".", b"..") or b"/" in name or b"\x00" in name
    if windows and not bad:
        text = name.decode("utf-8", "surrogateescape")
        stem = text.partition(".")[0].strip().lower()
        bad = stem in _RESERVED or text[-1] in ". " or not _WINDOWS_FORBIDS.isdisjoint(text)
    if bad:
        raise UnsafeName(f"{name!r} is no name")


class Folder(Protocol):
    """An open folder. `hold` it to use it for longer than the next call; `close` it as often."""

    def hold(self) -> Folder: ...
    def close(self) -> None: ...
    @property
    def handle(self) -> Handle: ...
    def open_below(self, name: bytes, *, follow: bool = False) -> Folder:
        """A folder in it. NotADirectoryError for anything else, links to folders included.

        With `follow` a link is gone through: only for a way that the person has chosen.
        """
        ...

    def make_below(self, name: bytes) -> None: ...
    def stat(self, name: bytes) -> os.stat_result: ...
    def create(self, name: bytes, mode: int) -> int:
        """A descriptor of a new, empty file; FileExistsError when the name is taken."""
        ...

    def open_file(self, name: bytes) -> int:
        """A descriptor to read a file; a link is an error, and a FIFO never waits."""
        ...

    def names(self) -> list[bytes]:
        """What is in it, in no order."""
        ...

    def handle_of(self, name: bytes, fd: int) -> Handle:
        """The handle of a file that `create` made; `fd` may be closed by this."""
        ...

    def symlink(self, target: bytes, name: bytes) -> None: ...
    def link(self, first: Folder, first_name: bytes, name: bytes) -> None:
        """Another name for a file in the folder `first`, which is of the same class."""
        ...

    def rename(self, old: bytes, new: bytes) -> None:
        """Replace `new`. IsADirectoryError when a folder stands there."""
        ...

    def unlink(self, name: bytes) -> None: ...
    def rmdir(self, name: bytes) -> None: ...


def open_target(path: bytes, *, by_descriptor: bool = BY_DESCRIPTOR) -> Folder:
    """The folder at a path that a person chose; links on the way to it are followed."""
    if by_descriptor:
        return DescriptorFolder(os.open(path, _O_FOLDER))
    if not os.path.isdir(path):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    return PathFolder(os.path.abspath(path))


class DescriptorFolder:
    """A folder by its descriptor."""

    __slots__ = ("_users", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._users = 1

    @property
    def handle(self) -> Handle:
        return self.fd

    def hold(self) -> DescriptorFolder:
        self._users += 1
        return self

    def close(self) -> None:
        self._users -= 1
        if not self._users:
            os.close(self.fd)

    def open_below(self, name: bytes, *, follow: bool = False) -> DescriptorFolder:
        try:
            flags = _O_FOLDER if follow else _O_BELOW
            return DescriptorFolder(os.open(name, flags, dir_fd=self.fd))
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from error
            raise

    def make_below(self, name: bytes) -> None:
        os.mkdir(name, PRIVATE_MODE, dir_fd=self.fd)

    def stat(self, name: bytes) -> os.stat_result:
        return os.stat(name, dir_fd=self.fd, follow_symlinks=False)

    def create(self, name: bytes, mode: int) -> int:
        return os.open(name, _O_NEW, mode, dir_fd=self.fd)

    def open_file(self, name: bytes) -> int:
        return os.open(name, _O_READ, dir_fd=self.fd)

    def names(self) -> list[bytes]:
        return [os.fsencode(name) for name in os.listdir(self.fd)]

    def handle_of(self, name: bytes, fd: int) -> Handle:
        return fd

    def symlink(self, target: bytes, name: bytes) -> None:
        os.symlink(target, name, dir_fd=self.fd)

    def link(self, first: Folder, first_name: bytes, name: bytes) -> None:
        assert isinstance(first, DescriptorFolder)
        os.link(first_name, name, src_dir_fd=first.fd, dst_dir_fd=self.fd, follow_symlinks=False)

    def rename(self, old: bytes, new: bytes) -> None:
        os.rename(old, new, src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def unlink(self, name: bytes) -> None:
        os.unlink(name, dir_fd=self.fd)

    def rmdir(self, name: bytes) -> None:
        os.rmdir(name, dir_fd=self.fd)


class PathFolder:
    """A folder by its path, for systems without descriptors of folders."""

    __slots__ = ("path",)

    def __init__(self, path: bytes) -> None:
        self.path = path

    @property
    def handle(self) -> Handle:
        return self.path

    def hold(self) -> PathFolder:
        return self

    def close(self) -> None:
        """Nothing is open."""

    def open_below(self, name: bytes, *, follow: bool = False) -> PathFolder:
        if follow and os.path.isdir(self._at(name)):
            return PathFolder(self._at(name))
        there = self.stat(name)
        if not stat.S_ISDIR(there.st_mode) or getattr(there, "st_reparse_tag", 0) != 0:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return PathFolder(self._at(name))

    def make_below(self, name: bytes) -> None:
        os.mkdir(self._at(name), PRIVATE_MODE)

    def stat(self, name: bytes) -> os.stat_result:
        return os.lstat(self._at(name))

    def create(self, name: bytes, mode: int) -> int:
        return os.open(self._at(name), _O_NEW, mode)

    def open_file(self, name: bytes) -> int:
        fd = os.open(self._at(name), _O_READ)
        if not os.path.samestat(os.fstat(fd), self.stat(name)):
            os.close(fd)
            raise FileNotFoundError(errno.ENOENT, "something else has taken its place")
        return fd

    def names(self) -> list[bytes]:
        return os.listdir(self.path)

    def handle_of(self, name: bytes, fd: int) -> Handle:
        if not os.path.samestat(os.fstat(fd), self.stat(name)):
            raise FileNotFoundError(errno.ENOENT, "something else has taken its place")
        # A file that is open for writing can neither be renamed nor keep its time there.
        os.close(fd)
        return self._at(name)

    def symlink(self, target: bytes, name: bytes) -> None:
        os.symlink(target, self._at(name))

    def link(self, first: Folder, first_name: bytes, name: bytes) -> None:
        assert isinstance(first, PathFolder)
        os.link(first._at(first_name), self._at(name), follow_symlinks=False)

    def rename(self, old: bytes, new: bytes) -> None:
        try:
            os.replace(self._at(old), self._at(new))
        except PermissionError as error:
            if stat.S_ISDIR(self.stat(new).st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)) from error
            raise

    def unlink(self, name: bytes) -> None:
        os.unlink(self._at(name))

    def rmdir(self, name: bytes) -> None:
        os.rmdir(self._at(name))

    def _at(self, name: bytes) -> bytes:
        return os.path.join(self.path, name)
