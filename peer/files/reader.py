"""Read directories, metadata and content as they are, and notice when they change meanwhile.

Nothing here follows a symbolic link, opens a FIFO or device, or leaves an access time behind where
that can be helped. Holes of sparse files are found, not read.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from types import TracebackType

import msgspec

from chunking.formats import (
    EXTENTS_MAX,
    KIND_DIR,
    KIND_FILE,
    KIND_OTHER,
    KIND_SYMLINK,
    XATTR_NAME_BYTES_MAX,
    XATTR_VALUE_BYTES_MAX,
    XATTRS_BYTES_MAX,
)

READ_BYTES = 1 << 20
HOLE_BYTES_MIN = 64 * 1024
"""Shorter holes are read as zeros: compression makes nothing of them."""
PATH_BYTES_DIRECT_MAX = 3500
"""Longer paths than the system takes at once (4096) are opened step by step."""
STEP_BYTES = 2000

_O_COMMON = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_O_NOATIME = getattr(os, "O_NOATIME", 0)
_HAS_XATTRS = hasattr(os, "listxattr")


class ChangedWhileReading(Exception):
    """The file is not what it was when it was looked at."""


class Found(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one look at a name told. `mode` is the permission bits; times are nanoseconds."""

    name: bytes
    kind: int
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int
    nlink: int
    blocks: int = 0
    """512-byte blocks on disk; fewer than the size needs means holes."""


class Details(msgspec.Struct, frozen=True, gc=False):
    """What takes more than a look: attributes by name, a link's target, what was left out."""

    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    target: bytes = b""
    notes: tuple[str, ...] = ()


_NO_DETAILS = Details()


def _found(name: bytes, result: os.stat_result) -> Found:
    mode = result.st_mode
    if stat.S_ISREG(mode):
        kind = KIND_FILE
    elif stat.S_ISDIR(mode):
        kind = KIND_DIR
    elif stat.S_ISLNK(mode):
        kind = KIND_SYMLINK
    else:
        kind = KIND_OTHER
    return Found(
        name,
        kind,
        mode & 0o7777,
        result.st_uid,
        result.st_gid,
        result.st_size,
        result.st_mtime_ns,
        result.st_ctime_ns,
        result.st_ino,
        result.st_dev,
        result.st_nlink,
        getattr(result, "st_blocks", (result.st_size + 511) // 512),
    )


class _Reach:
    """A way to a path of any length: (path, dir_fd) for calls that take one."""

    def __init__(self, path: bytes) -> None:
        self._fd: int | None = None
        self.path = path
        if len(path) > PATH_BYTES_DIRECT_MAX:
            self._walk(path)

    def _walk(self, path: bytes) -> None:
        """Open ancestors until what is left is short enough."""
        fd = os.open(b"/", os.O_RDONLY | os.O_DIRECTORY)
        try:
            rest = path.lstrip(b"/")
            while len(rest) > STEP_BYTES:
                cut = rest.rindex(b"/", 0, STEP_BYTES)
                step = os.open(rest[:cut], os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
                os.close(fd)
                fd, rest = step, rest[cut + 1 :]
        except BaseException:
            os.close(fd)
            raise
        self._fd, self.path = fd, rest

    def __enter__(self) -> tuple[bytes, int | None]:
        return self.path, self._fd

    def __exit__(self, *_: object) -> None:
        if self._fd is not None:
            os.close(self._fd)


def list_directory(path: bytes) -> list[Found]:
    """What is in a directory, sorted by name. Raises OSError for the directory itself.

    What vanishes between being listed and being looked at is left out.
    """
    found: list[Found] = []
    with _Reach(path) as (short, dir_fd):
        if dir_fd is None:
            with os.scandir(short) as entries:
                for entry in entries:
                    try:
                        found.append(_found(entry.name, entry.stat(follow_symlinks=False)))
                    except FileNotFoundError:
                        continue
        else:
            found = _list_by_fd(short, dir_fd)
    found.sort(key=lambda item: item.name)
    return found


def _list_by_fd(path: bytes, dir_fd: int) -> list[Found]:
    found: list[Found] = []
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY, dir_fd=dir_fd)
    try:
        for text in os.listdir(fd):
            name = os.fsencode(text)
            try:
                found.append(_found(name, os.stat(name, dir_fd=fd, follow_symlinks=False)))
            except FileNotFoundError:
                continue
    finally:
        os.close(fd)
    return found


def stat_root(path: bytes) -> Found:
    """A look at one path. Raises OSError."""
    with _Reach(path) as (short, dir_fd):
        return _found(os.path.basename(path), os.stat(short, dir_fd=dir_fd, follow_symlinks=False))


stat_again = stat_root


def details(path: bytes, found: Found) -> Details:
    """Extended attributes, and the target of a symbolic link. Raises OSError for the latter."""
    if found.kind == KIND_SYMLINK:
        with _Reach(path) as (short, dir_fd):
            target = os.readlink(short, dir_fd=dir_fd)
        xattrs, notes = _xattrs(path) if len(path) <= PATH_BYTES_DIRECT_MAX else ((), ())
        return Details(xattrs, target, notes)
    if not _HAS_XATTRS or len(path) > PATH_BYTES_DIRECT_MAX:
        return _NO_DETAILS
    xattrs, notes = _xattrs(path)
    return Details(xattrs, b"", notes) if xattrs or notes else _NO_DETAILS


def _xattrs(path: bytes | int) -> tuple[tuple[tuple[bytes, bytes], ...], tuple[str, ...]]:
    if not _HAS_XATTRS:
        return (), ()
    kept: list[tuple[bytes, bytes]] = []
    notes: list[str] = []
    room = XATTRS_BYTES_MAX
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return (), ()  # this file system has none
    for text in sorted(names):
        name = os.fsencode(text)
        try:
            value = os.getxattr(path, text, follow_symlinks=False)
        except OSError:
            continue  # gone, or not ours to read
        room -= len(name) + len(value)
        if len(name) > XATTR_NAME_BYTES_MAX or len(value) > XATTR_VALUE_BYTES_MAX or room < 0:
            notes.append(f"the attribute {text} is too large and was left out")
            room += len(name) + len(value)
            continue
        kept.append((name, value))
    return tuple(sorted(kept)), tuple(notes)


def open_content(path: bytes, found: Found) -> ContentReader:
    """Open a file that was found. Raises ChangedWhileReading if it is another one now, OSError."""
    with _Reach(path) as (short, dir_fd):
        try:
            fd = os.open(short, _O_COMMON | _O_NOATIME, dir_fd=dir_fd)
        except PermissionError:
            fd = os.open(short, _O_COMMON, dir_fd=dir_fd)  # O_NOATIME is for owners only
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):
                raise ChangedWhileReading from error
            raise
    return ContentReader(fd, found)


class ContentReader:
    """An open file. `extents` is empty unless the file is sparse; then it is where data lies."""

    __slots__ = ("_all_hole", "_fd", "_found", "extents")

    def __init__(self, fd: int, found: Found) -> None:
        self._fd, self._found = fd, found
        self.extents: tuple[tuple[int, int], ...] = ()
        self._all_hole = False
        try:
            self._check()
            if found.blocks * 512 < found.size:
                extents = _extents(fd, found.size)
                self._all_hole = extents == ()
                self.extents = extents or ()
        except BaseException:
            os.close(fd)
            raise

    def blocks(self) -> Iterator[bytes]:
        """The content, or that of the extents in order. Raises ChangedWhileReading at the end
        when the file changed since it was found, OSError."""
        if self.extents:
            for offset, length in self.extents:
                yield from self._range(offset, length)
        elif not self._all_hole:
            yield from self._all()
        self._check()

    def _all(self) -> Iterator[bytes]:
        left = self._found.size
        while left:
            data = os.read(self._fd, min(READ_BYTES, left))
            if not data:
                raise ChangedWhileReading
            left -= len(data)
            yield data

    def _range(self, offset: int, length: int) -> Iterator[bytes]:
        while length:
            data = os.pread(self._fd, min(READ_BYTES, length), offset)
            if not data:
                raise ChangedWhileReading
            offset += len(data)
            length -= len(data)
            yield data

    def _check(self) -> None:
        now, then = os.fstat(self._fd), self._found
        if (
            now.st_size != then.size
            or now.st_mtime_ns != then.mtime_ns
            or now.st_ino != then.inode
            or now.st_dev != then.device
            or now.st_ctime_ns != then.ctime_ns
        ):
            raise ChangedWhileReading

    def __enter__(self) -> ContentReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._fd)


def _extents(fd: int, size: int) -> tuple[tuple[int, int], ...] | None:
    """Where data lies, as (offset, length); short holes are closed, then the shortest others.

    Empty when there is no data at all; None when there is no hole worth it, or no way to tell.
    """
    found: list[list[int]] = []
    offset = 0
    while offset < size:
        try:
            start = os.lseek(fd, offset, os.SEEK_DATA)
            end = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no data behind this point
                break
            return None  # a file system that cannot tell: read it all
        if found and start - found[-1][1] < HOLE_BYTES_MIN:
            found[-1][1] = end
        else:
            found.append([start, end])
        offset = end
    while len(found) > EXTENTS_MAX:
        gaps = [(found[i + 1][0] - found[i][1], i) for i in range(len(found) - 1)]
        for _, i in sorted(gaps)[: len(found) - EXTENTS_MAX]:
            found[i + 1][0] = -1
        found = _merged(found)
    extents = tuple((start, end - start) for start, end in found)
    return None if extents == ((0, size),) else extents


def _merged(found: list[list[int]]) -> list[list[int]]:
    """Join each range that was marked with the one before it."""
    merged: list[list[int]] = []
    for start, end in found:
        if start < 0:
            merged[-1][1] = end
        else:
            merged.append([start, end])
    return merged
