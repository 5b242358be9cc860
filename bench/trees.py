"""Compare two folders the way a person who lost one of them would want: everything."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was compared and every difference found, in words."""

    files: int
    bytes: int
    differences: tuple[str, ...]


def compare_trees(left: Path, right: Path) -> Comparison:
    """Content, kinds, modes, times to the nanosecond, xattrs, link targets, hard links, holes."""
    differences: list[str] = []
    groups: dict[tuple[int, int], tuple[int, int]] = {}
    files = size = 0
    stack = [b""]
    while stack:
        below = stack.pop()
        a = os.path.join(os.fsencode(left), below) if below else os.fsencode(left)
        b = os.path.join(os.fsencode(right), below) if below else os.fsencode(right)
        shown = os.fsdecode(below) or "."
        if not os.path.lexists(b):
            differences.append(f"{shown}: missing")
            continue
        one, two = os.lstat(a), os.lstat(b)
        differences += [f"{shown}: {text}" for text in _metadata(a, b, one, two)]
        if stat.S_IFMT(one.st_mode) != stat.S_IFMT(two.st_mode):
            continue
        if stat.S_ISDIR(one.st_mode):
            mine, theirs = _names(a), set(os.listdir(b))
            differences += [
                f"{os.path.join(shown, os.fsdecode(name))}: not in the original"
                for name in sorted(theirs - set(os.listdir(a)))
            ]
            stack += [os.path.join(below, name) for name in mine]
        elif stat.S_ISLNK(one.st_mode):
            if os.readlink(a) != os.readlink(b):
                differences.append(f"{shown}: points elsewhere")
        else:
            files += 1
            size += one.st_size
            if not same_bytes(a, b):
                differences.append(f"{shown}: other content")
            if one.st_nlink > 1:
                key, other = (one.st_dev, one.st_ino), (two.st_dev, two.st_ino)
                if groups.setdefault(key, other) != other:
                    differences.append(f"{shown}: no longer linked to its other names")
            if _holes(one) and not _holes(two):
                differences.append(f"{shown}: its holes are filled")
    return Comparison(files, size, tuple(differences))


def _names(folder: bytes) -> list[bytes]:
    """Names of what a backup keeps: no sockets, devices and FIFOs."""
    kept = []
    with os.scandir(folder) as entries:
        for entry in entries:
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode):
                kept.append(entry.name)
    return sorted(kept)


def _metadata(a: bytes, b: bytes, one: os.stat_result, two: os.stat_result) -> list[str]:
    found = []
    if stat.S_IFMT(one.st_mode) != stat.S_IFMT(two.st_mode):
        return ["another kind of thing"]
    if one.st_mode != two.st_mode:
        found.append(f"mode {two.st_mode:o} instead of {one.st_mode:o}")
    if one.st_mtime_ns != two.st_mtime_ns:
        found.append(f"time {two.st_mtime_ns} instead of {one.st_mtime_ns}")
    if stat.S_ISREG(one.st_mode) and one.st_size != two.st_size:
        found.append(f"size {two.st_size} instead of {one.st_size}")
    if os.geteuid() == 0 and (one.st_uid, one.st_gid) != (two.st_uid, two.st_gid):
        found.append("another owner")
    if _xattrs(a) != _xattrs(b):
        found.append("other extended attributes")
    return found


def _xattrs(path: bytes) -> dict[str, bytes]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
    except OSError:
        return {}


def _holes(found: os.stat_result) -> bool:
    return found.st_size - found.st_blocks * 512 > 1 << 20


def same_bytes(a: bytes, b: bytes) -> bool:
    """Whether two files have the same content."""
    with open(a, "rb") as one, open(b, "rb") as two:
        while True:
            left, right = one.read(READ_BYTES), two.read(READ_BYTES)
            if left != right:
                return False
            if not left:
                return True
