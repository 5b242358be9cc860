"""Marks that came by the tag «For backup», put on in a file manager or any other program.

Before a night, what is tagged in the person's home folder becomes a mark, and a mark that came so
ends when its tag is taken away. A mark that the person made with Covey never ends by a tag. A tag
is easily lost by accident: most programs save by putting a new file in the old one's place, and
the tag goes with the old one. So a new file gets its tag back, and a file that is still the same
one, or is gone, stays marked for some nights, and the person is told.

Kept in the catalog beside the marks: which of them came by tag, and what was seen of them last; and
what the person unmarked although its tag could not be taken away. After a recovery all marks count
as made by the person.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from chunking.formats import SNAPSHOT_ROOTS_MAX
from peer.backup.marks import add_marks, read_marks, remove_marks, write_marks
from peer.catalog import Catalog
from peer.files.tagging import drop_tag, find_tagged, is_tagged, put_tag, show_emblems
from peer.files.tags import TAG
from peer.ports import RunBlocking

NIGHTS_WITHOUT = 7
"""So many nights a file stays marked after its tag was lost."""

LOOK_EVERY_S = 3600.0
"""So often tags are looked for while nothing is marked."""
TOO_MANY = "is tagged, but too much is marked already; mark a folder that contains it instead"

_BY_TAG, _REFUSED = "marks by tag", "tags refused"


class TagMark(msgspec.Struct, frozen=True, array_like=True):
    """A mark that came by tag: the nights since its tag was seen, and its inode then."""

    nights: int
    inode: int


Notes = list[tuple[bytes, str]]
"""What to tell the person: (path, clause)."""


class Watched(Protocol):
    """A member whose tags are followed (`peer.member.Member`)."""

    @property
    def catalog(self) -> Catalog: ...
    @property
    def tags(self) -> Callable[[Catalog], Notes]: ...


_by_tag_decoder = msgspec.msgpack.Decoder(dict[bytes, TagMark])
_refused_decoder = msgspec.msgpack.Decoder(list[bytes])


def read_by_tag(catalog: Catalog) -> dict[bytes, TagMark]:
    """The marks that came by tag."""
    data = catalog.get_meta(_BY_TAG)
    return {} if data is None else _by_tag_decoder.decode(data)


def _write_by_tag(catalog: Catalog, marks: dict[bytes, TagMark]) -> None:
    catalog.set_meta(_BY_TAG, msgspec.msgpack.encode(marks))


def _read_refused(catalog: Catalog) -> set[bytes]:
    data = catalog.get_meta(_REFUSED)
    return set() if data is None else set(_refused_decoder.decode(data))


def _write_refused(catalog: Catalog, paths: set[bytes]) -> None:
    catalog.set_meta(_REFUSED, msgspec.msgpack.encode(sorted(paths)))


def mark_and_tag(catalog: Catalog, paths: Sequence[str]) -> list[bytes]:
    """Mark as the person's own, and show it by tag and emblem. Raises as add_marks does."""
    marks = add_marks(catalog, paths)
    wanted = {_normal(path) for path in paths}
    by_tag = read_by_tag(catalog)
    _write_by_tag(catalog, {path: one for path, one in by_tag.items() if path not in wanted})
    _write_refused(catalog, _read_refused(catalog) - wanted)
    for path in wanted:
        put_tag(path)
    show_emblems(wanted, marked=True)
    return marks


def unmark_and_untag(catalog: Catalog, paths: Sequence[str]) -> list[bytes]:
    """Stop backing up, and take tag and emblem away. Raises as remove_marks does."""
    marks = remove_marks(catalog, paths)
    unwanted = {_normal(path) for path in paths}
    by_tag = read_by_tag(catalog)
    _write_by_tag(catalog, {path: one for path, one in by_tag.items() if path not in unwanted})
    for path in unwanted:
        drop_tag(path)
    show_emblems(unwanted, marked=False)
    still = {path for path in unwanted if is_tagged(path)}
    _write_refused(catalog, _read_refused(catalog) | still)
    return marks


def follow_tags(
    catalog: Catalog, top: Path, exclude: Path, monotonic_s: Callable[[], float]
) -> Notes:
    """Make marks of what is tagged below `top`, and end those whose tag is gone. Once a night."""
    refused = {path for path in _read_refused(catalog) if is_tagged(path)}
    skip = frozenset(refused | {*read_marks(catalog), os.fsencode(exclude)})
    found = list(find_tagged(os.fsencode(top), skip, monotonic_s))
    # Now without delay: what the person marks in the meantime must not be overwritten.
    marks, by_tag = set(read_marks(catalog)), read_by_tag(catalog)
    seen = {path: look_again(path, one) for path, one in by_tag.items() if path in marks}
    room = SNAPSHOT_ROOTS_MAX - len(marks)
    new = [path for path in found if path not in marks][:room]
    kept = {path: one for path, one in seen.items() if one is not None}
    ended = seen.keys() - kept.keys()
    notes = [(path, lost_tag(one.nights)) for path, one in kept.items() if one.nights]
    notes += [(path, TOO_MANY) for path in found[room:]]
    # In this order a crash leaves marks that count as the person's, and never loses one.
    _write_by_tag(catalog, kept | {path: TagMark(0, _inode(path)) for path in new})
    write_marks(catalog, (marks - ended) | set(new))
    _write_refused(catalog, refused)
    show_emblems(new, marked=True)
    show_emblems(sorted(ended), marked=False)
    return notes


async def watch_tags(run_blocking: RunBlocking, member: Watched) -> None:
    """Take up tags while nothing is marked: no night comes then that would."""
    while True:
        if not await run_blocking(read_marks, member.catalog):
            await run_blocking(member.tags, member.catalog)
        await asyncio.sleep(LOOK_EVERY_S)


def look_again(path: bytes, before: TagMark) -> TagMark | None:
    """What the mark is tonight; None when it ends."""
    tagged = is_tagged(path)
    inode = _inode(path)
    if tagged:
        return TagMark(0, inode)
    if tagged is False:
        if os.path.isdir(path):
            return None
        if inode != before.inode:  # a program saved it anew; that was no wish to stop
            put_tag(path)
            return TagMark(0 if is_tagged(path) else before.nights, inode)
    elif inode or not os.path.isdir(os.path.dirname(path)):
        return before  # it cannot be told, or its disk is away
    nights = before.nights + 1
    return None if nights > NIGHTS_WITHOUT else TagMark(nights, before.inode)


def lost_tag(nights: int) -> str:
    """What the person reads about a mark whose tag is not seen."""
    left = NIGHTS_WITHOUT - nights
    until = "for the last time" if not left else f"for {left} more night{'s' * (left > 1)}"
    return f"has lost its tag «{TAG}» and is backed up {until}; mark it if you want to keep it safe"


def _inode(path: bytes) -> int:
    with contextlib.suppress(OSError):
        return os.lstat(path).st_ino
    return 0


def _normal(path: str) -> bytes:
    return os.path.normpath(os.fsencode(path))
