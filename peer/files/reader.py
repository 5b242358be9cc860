"""Read directories, metadata and content as they are, and notice when they change meanwhile.

The last part of a path is never followed when it is a symbolic link, FIFOs and devices are not
opened, and reading leaves no access time behind where that can be helped. Holes of sparse files
are found, not read. Paths may be longer than the system takes at once.

One thing that cannot be looked at - a dead network mount, say - does not hide its neighbours: it
is found with the kind KIND_OTHER.
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

_NS_MAX = 2**63 - 1
"""No format holds a time beyond this one, of the year 2262; some file systems do."""

_O_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_O_COMMON = (
    os.O_RDONLY
    | _O_NOFOLLOW
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
)
_O_STEP = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_O_NOATIME = getattr(os, "O_NOATIME", 0)
_HAS_BLOCKS = hasattr(os.stat_result, "st_blocks")
_HAS_XATTRS = hasattr(os, "listxattr")
_LISTS_BY_FD = os.scandir in os.supports_fd
_NO_XATTRS_HERE = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOENT})


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


_KIND_OF = {stat.S_IFREG: KIND_FILE, stat.S_IFDIR: KIND_DIR, stat.S_IFLNK: KIND_SYMLINK}


def _found(name: bytes, result: os.stat_result) -> Found:
    mode, mtime_ns, ctime_ns = result.st_mode, result.st_mtime_ns, result.st_ctime_ns
    if not (-_NS_MAX <= mtime_ns <= _NS_MAX and -_NS_MAX <= ctime_ns <= _NS_MAX):
        mtime_ns, ctime_ns = _in_range(mtime_ns), _in_range(ctime_ns)
    return Found(
        name,
        _KIND_OF.get(stat.S_IFMT(mode), KIND_OTHER),
        mode & 0o7777,
        result.st_uid,
        result.st_gid,
        result.st_size,
        mtime_ns,
        ctime_ns,
        result.st_ino,
        result.st_dev,
        result.st_nlink,
        result.st_blocks if _HAS_BLOCKS else (result.st_size + 511) // 512,
    )


def _in_range(time_ns: int) -> int:
    return max(-_NS_MAX, min(time_ns, _NS_MAX))


class _Reach:
    """A way to a path of any length: (path, dir_fd) for calls that take one."""

    def __init__(self, path: bytes) -> None:
        self._fd: int | None = None
        self.path = path
        if len(path) > PATH_BYTES_DIRECT_MAX:
            self._walk(path)

    def _walk(self, path: bytes) -> None:
        """Open ancestors until what is left is short enough."""
        fd = os.open(b"/", _O_STEP)
        try:
            rest = path.lstrip(b"/")
            while len(rest) > STEP_BYTES:
                cut = rest.rfind(b"/", 0, STEP_BYTES)
                if cut < 0:
                    raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
                step = os.open(rest[:cut], _O_STEP, dir_fd=fd)
                os.close(fd)
                fd, rest = step, rest[cut + 1 :].lstrip(b"/")
        except BaseException:
            os.close(fd)
            raise
        self._fd, self.path = fd, rest

    @property
    def alone(self) -> bytes:
        """A path for calls that take no dir_fd."""
        return self.path if self._fd is None else b"/proc/self/fd/%d/%s" % (self._fd, self.path)

    def __enter__(self) -> tuple[bytes, int | None]:
        return self.path, self._fd

    def __exit__(self, *_: object) -> None:
        if self._fd is not None:
            os.close(self._fd)


def list_directory(path: bytes) -> list[Found]:
    """What is in a directory, sorted by name. Raises OSError for the directory itself.

    What vanishes between being listed and being looked at is left out. What cannot be looked at
    is KIND_OTHER, unless nothing at all can be: then it is the directory that is not readable.
    """
    found: list[Found] = []
    refused: list[tuple[bytes, OSError]] = []
    with _Reach(path) as (short, dir_fd):
        fd = os.open(short, _O_STEP | _O_NOFOLLOW, dir_fd=dir_fd) if _LISTS_BY_FD else -1
    try:
        with os.scandir(fd if _LISTS_BY_FD else os.fsdecode(path)) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                try:
                    found.append(_found(name, entry.stat(follow_symlinks=False)))
                except FileNotFoundError:
                    continue
                except OSError as error:
                    refused.append((name, error))
    finally:
        if fd >= 0:
            os.close(fd)
    if refused and not found:
        raise refused[0][1]
    found += [Found(name, KIND_OTHER, 0, 0, 0, 0, 0, 0, 0, 0, 1) for name, _ in refused]
    found.sort(key=lambda item: item.name)
    return found


def stat_root(path: bytes) -> Found:
    """A look at one path. Raises OSError."""
    with _Reach(path) as (short, dir_fd):
        return _found(os.path.basename(path), os.stat(short, dir_fd=dir_fd, follow_symlinks=False))


stat_again = stat_root


def details(path: bytes, found: Found) -> Details:
    """Extended attributes, and the target of a symbolic link. Raises OSError for the latter."""
    target = b""
    if found.kind == KIND_SYMLINK:
        with _Reach(path) as (short, dir_fd):
            target = os.readlink(short, dir_fd=dir_fd)
    xattrs, notes = _xattrs(path)
    return Details(xattrs, target, notes) if target or xattrs or notes else _NO_DETAILS


def _xattrs(path: bytes) -> tuple[tuple[tuple[bytes, bytes], ...], tuple[str, ...]]:
    if not _HAS_XATTRS:
        return (), ()
    try:
        reach = _Reach(path)
    except OSError:
        return (), ()  # whoever reads the content will tell
    with reach:
        return _xattrs_of(reach.alone)


def _xattrs_of(
    place: bytes | int,
) -> tuple[tuple[tuple[bytes, bytes], ...], tuple[str, ...]]:
    """`place` is a path, whose last part is not followed, or an open file."""
    follow = isinstance(place, int)  # what the system wants to be told of an open file
    try:
        names = os.listxattr(place, follow_symlinks=follow)
    except OSError as error:
        if error.errno in _NO_XATTRS_HERE:
            return (), ()
        return (), (f"its attributes could not be read: {_reason(error)}",)
    return _values(place, names, follow=follow) if names else ((), ())


def _values(
    place: bytes | int, names: list[str], *, follow: bool
) -> tuple[tuple[tuple[bytes, bytes], ...], tuple[str, ...]]:
    kept: list[tuple[bytes, bytes]] = []
    notes: list[str] = []
    room = XATTRS_BYTES_MAX
    for text in sorted(names):
        name = os.fsencode(text)
        shown = name.decode("utf-8", "backslashreplace")
        try:
            value = os.getxattr(place, text, follow_symlinks=follow)
        except PermissionError:
            notes.append(f"the attribute {shown} may not be read and was left out")
            continue
        except OSError:
            continue  # it is gone
        size = len(name) + len(value)
        if len(name) > XATTR_NAME_BYTES_MAX or len(value) > XATTR_VALUE_BYTES_MAX or size > room:
            notes.append(f"the attribute {shown} is too large and was left out")
            continue
        room -= size
        kept.append((name, value))
    return tuple(sorted(kept)), tuple(notes)


def open_content(path: bytes, found: Found) -> ContentReader:
    """Open a file that was found. Raises ChangedWhileReading if it is another one now, OSError."""
    if len(path) <= PATH_BYTES_DIRECT_MAX:
        return ContentReader(_opened(path, None), found)
    with _Reach(path) as (short, dir_fd):
        return ContentReader(_opened(short, dir_fd), found)


def _opened(path: bytes, dir_fd: int | None) -> int:
    try:
        return os.open(path, _O_COMMON | _O_NOATIME, dir_fd=dir_fd)
    except PermissionError:
        return os.open(path, _O_COMMON, dir_fd=dir_fd)  # O_NOATIME is for owners only
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENOTDIR):
            raise ChangedWhileReading from error
        raise


def _reason(error: OSError) -> str:
    return (error.strerror or "unknown reason").lower()


class ContentReader:
    """An open file. `extents` is empty unless the file is sparse; then it is where data lies."""

    __slots__ = ("_all_hole", "_fd", "_found", "extents")

    def __init__(self, fd: int, found: Found) -> None:
        self._fd, self._found = fd, found
        self.extents: tuple[tuple[int, int], ...] = ()
        self._all_hole = False
        try:
            self._check()
            if found.blocks * 512 < found.size and found.size >= HOLE_BYTES_MIN:
                extents = _extents(fd, found.size)
                self._all_hole = extents == ()
                self.extents = extents or ()
        except BaseException:
            os.close(fd)
            raise

    def xattrs(self) -> tuple[tuple[bytes, bytes], ...]:
        """The extended attributes."""
        return _xattrs_of(self._fd)[0] if _HAS_XATTRS else ()

    def whole(self) -> bytes:
        """All that `blocks` gives, for small files. Raises as it does."""
        if self.extents or self._all_hole:
            return b"".join(self.blocks())
        data = os.read(self._fd, self._found.size)
        if len(data) != self._found.size:
            raise ChangedWhileReading
        self._check()
        return data

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
            or (now.st_mtime_ns != then.mtime_ns and _in_range(now.st_mtime_ns) != then.mtime_ns)
            or now.st_ino != then.inode
            or now.st_dev != then.device
            or (now.st_ctime_ns != then.ctime_ns and _in_range(now.st_ctime_ns) != then.ctime_ns)
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
