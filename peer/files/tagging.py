"""Reads and writes the tag of a file or folder, finds what is tagged, and shows the emblem.

The tag is for show and for other programs; what is backed up is decided by the marks. So nothing
here raises: a disk without attributes, a symbolic link or somebody else's file has no tag.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from peer.files.tags import ATTRIBUTE, EMBLEM, has_tag, with_tag, without_tag

DEPTH_MAX = 8
"""Folders below the home folder: deeper ones are tagged by hardly anybody."""
ENTRIES_MAX = 200_000
"""Files and folders looked at; some two seconds when they are all known to the system."""
SEARCH_S = 20.0
TOOL_S = 5.0
"""How long `gio` may take; it waits for a session bus that may be stuck."""
EMBLEMS_AT_ONCE = 50
"""`gio` takes one path at a time, and the person waits for it: more than these get none."""

_SLOW_KINDS = ("nfs", "cifs", "smb", "9p", "fuse", "autofs", "ceph", "afs")
_HAS_ATTRIBUTES = hasattr(os, "getxattr")
_MOUNTS = Path("/proc/self/mountinfo")

Change = Callable[[bytes], bytes]


def is_tagged(path: bytes) -> bool | None:
    """Whether it has our tag; None when that cannot be told, or nothing is there."""
    if not _HAS_ATTRIBUTES:
        return None
    try:
        return has_tag(os.getxattr(path, ATTRIBUTE, follow_symlinks=False))
    except OSError as error:
        return False if error.errno == errno.ENODATA else None


def put_tag(path: bytes) -> None:
    """Add our tag to those that are there."""
    _change(path, with_tag)


def drop_tag(path: bytes) -> None:
    """Take our tag away and leave the others."""
    _change(path, without_tag)


def _change(path: bytes, change: Change) -> None:
    if not _HAS_ATTRIBUTES:
        return
    with contextlib.suppress(OSError):
        old = _value(path)
        new = change(old)
        if new and new != old:
            os.setxattr(path, ATTRIBUTE, new, follow_symlinks=False)
        elif old and not new:
            os.removexattr(path, ATTRIBUTE, follow_symlinks=False)


def _value(path: bytes) -> bytes:
    try:
        return os.getxattr(path, ATTRIBUTE, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.ENODATA:
            return b""
        raise


def show_emblems(paths: Iterable[bytes], *, marked: bool) -> None:
    """Set or take the emblem in GNOME's, Cinnamon's and Xfce's file managers, where `gio` can."""
    gio = shutil.which("gio")
    if gio is None or not os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        return
    for path in islice(paths, EMBLEMS_AT_ONCE):
        _show_emblem(gio, path, marked=marked)


def _show_emblem(gio: str, path: bytes, *, marked: bool) -> None:
    kind = ["stringv"] if marked else ["unset"]
    value = [EMBLEM] if marked else []
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            [gio, "set", "-t", *kind, path, "metadata::emblems", *value],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TOOL_S,
            check=False,
        )
        seen = os.lstat(path)
        times = (seen.st_atime_ns, seen.st_mtime_ns)
        os.utime(path, ns=times, follow_symlinks=False)  # the same: an open window looks again


def find_tagged(
    top: bytes, skip: frozenset[bytes], monotonic_s: Callable[[], float]
) -> Iterator[bytes]:
    """What is tagged below `top`, the shallow first; within the limits above.

    Hidden folders, those in `skip`, network mounts and what lies below something tagged are not
    looked into. Symbolic links are not followed.
    """
    if not _HAS_ATTRIBUTES:
        return
    skip |= slow_mounts()
    deadline, looked = monotonic_s() + SEARCH_S, 0
    waiting = deque([(top, 0)])
    while waiting:
        folder, depth = waiting.popleft()
        for entry in _entries(folder):
            looked += 1
            if looked > ENTRIES_MAX or monotonic_s() > deadline:
                return
            if entry.name.startswith(b".") or entry.path in skip:
                continue
            if is_tagged(entry.path):
                yield entry.path
            elif depth < DEPTH_MAX and _is_folder(entry):
                waiting.append((entry.path, depth + 1))


def _entries(folder: bytes) -> Iterator[os.DirEntry[bytes]]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        yield from entries


def _is_folder(entry: os.DirEntry[bytes]) -> bool:
    with contextlib.suppress(OSError):
        return entry.is_dir(follow_symlinks=False)
    return False


def slow_mounts() -> frozenset[bytes]:
    """Where other computers' files are mounted: merely looking there can take for ever."""
    try:
        lines = _MOUNTS.read_bytes().splitlines()
    except OSError:
        return frozenset()
    return frozenset(path for path, kind in map(_mount, lines) if kind.startswith(_SLOW_KINDS))


def _mount(line: bytes) -> tuple[bytes, str]:
    """Mount point and kind: fields 5 and, behind the dash, 1; blanks are written as \\040."""
    before, _, behind = line.partition(b" - ")
    fields = before.split(b" ")
    path = fields[4] if len(fields) > 4 else b""
    for letter in (b" ", b"\t", b"\n", b"\\"):
        path = path.replace(b"\\%03o" % letter[0], letter)
    return path, behind.split(b" ")[0].decode("ascii", "replace")
