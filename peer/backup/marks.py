"""The marked roots: what is backed up. Kept in the catalog, and in every root record."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from chunking.formats import SNAPSHOT_ROOTS_MAX
from peer.catalog import Catalog
from peer.service import Problem

_KEY = "marks"
_LOOKS = "looks"
_decoder = msgspec.msgpack.Decoder(list[bytes])


class Look(msgspec.Struct, frozen=True, array_like=True):
    """How a marked path was met last night: its device's number, and a file's stamp."""

    device: int
    stamp: tuple[int, int]


_looks_decoder = msgspec.msgpack.Decoder(dict[bytes, Look])


def read_looks(catalog: Catalog) -> dict[bytes, Look]:
    """How the marked paths were met when the last tree was made."""
    data = catalog.get_meta(_LOOKS)
    return {} if data is None else _looks_decoder.decode(data)


def write_looks(catalog: Catalog, looks: Mapping[bytes, Look]) -> None:
    """Keep how the marked paths were met."""
    catalog.set_meta(_LOOKS, msgspec.msgpack.encode(dict(looks)))


def read_marks(catalog: Catalog) -> list[bytes]:
    """The marked roots, absolute, sorted."""
    data = catalog.get_meta(_KEY)
    return [] if data is None else _decoder.decode(data)


def write_marks(catalog: Catalog, marks: Iterable[bytes]) -> None:
    """Replace the marked roots."""
    catalog.set_meta(_KEY, msgspec.msgpack.encode(sorted(set(marks))))


def add_marks(catalog: Catalog, paths: Sequence[str]) -> list[bytes]:
    """Mark these as well. Raises Problem for a path that is not there or not absolute."""
    marks = set(read_marks(catalog))
    for text in paths:
        path = os.path.normpath(os.fsencode(text))
        if not os.path.isabs(path):
            raise Problem(f"«{text}» is not an absolute path.")
        if not os.path.lexists(path):
            raise Problem(f"«{text}» is not there.", "Check the spelling.")
        marks.add(path)
    if len(marks) > SNAPSHOT_ROOTS_MAX:
        raise Problem(
            f"More than {SNAPSHOT_ROOTS_MAX} folders cannot be marked.",
            "Mark the folder that contains them instead.",
        )
    write_marks(catalog, marks)
    return sorted(marks)


def remove_marks(catalog: Catalog, paths: Sequence[str]) -> list[bytes]:
    """Stop backing these up. Raises Problem for a path that is not marked."""
    marks = set(read_marks(catalog))
    for text in paths:
        path = os.path.normpath(os.fsencode(text))
        if path not in marks:
            raise Problem(f"«{text}» is not marked.", "`covey marks` lists what is.")
        marks.remove(path)
    write_marks(catalog, marks)
    return sorted(marks)


def outermost(marks: Iterable[bytes]) -> list[bytes]:
    """The marks without those that lie inside another one: no file is walked twice."""
    kept: list[bytes] = []
    for mark in sorted(set(marks), key=lambda path: path.rstrip(b"/") + b"/"):
        inside = kept and (mark.rstrip(b"/") + b"/").startswith(kept[-1].rstrip(b"/") + b"/")
        if not inside:
            kept.append(mark)
    return kept
