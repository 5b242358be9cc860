"""Look at this computer's own catalog: is it a sound file, and does it lead to every snapshot?

No friend is asked and no pack is read. The root record on this computer is the measure: what it
names must be in the catalog, with the same names of shares.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass, field
from urllib.parse import quote

from chunking.erasure import payload_length_of
from chunking.formats import PACK_INDEX, FormatError
from chunking.root import RootRecord
from peer.catalog import Catalog, PackRow
from peer.member import Member
from peer.upkeep.sweep import UnknownNode, mark

_PROBLEMS_ASKED = 10
"""SQLite stops after so many; one is enough to know."""


@dataclass(slots=True)
class SelfCheck:
    """`problems` are about the whole catalog; `unreadable` are snapshots by their time (ns)."""

    record: RootRecord | None = None
    problems: list[str] = field(default_factory=list)
    unreadable: list[int] = field(default_factory=list)
    missing_new: int = 0
    """Chunks that the newest snapshot needs and that lie in no pack, as far as is known."""
    missing_old: int = 0
    """Those that only older snapshots need."""


def check_catalog(member: Member) -> SelfCheck:
    """All of it. Blocks; for run_blocking."""
    try:
        record = member.read_root()
    except (FormatError, OSError) as error:
        return SelfCheck(problems=[f"the root record here cannot be read ({error})"])
    result = SelfCheck(record)
    try:
        result.problems = _unsound(member) or [
            *_impossible(member.catalog),
            *(() if record is None else _missing(member.catalog, record)),
        ]
        if record is not None and not result.problems:
            found = member.catalog.find_chunks([snapshot.id for snapshot in record.snapshots])
            result.unreadable = [s.time_ns for s in record.snapshots if s.id not in found]
            result.missing_new, result.missing_old = _missing_chunks(member.catalog, record)
    except sqlite3.DatabaseError as error:
        result.problems = [str(error)]
    return result


def _unsound(member: Member) -> list[str]:
    """What SQLite itself finds, on a connection of its own that cannot write."""
    where = f"file:{quote(str(member.catalog_path))}?mode=ro"
    with_file = sqlite3.connect(where, uri=True)
    try:
        rows = with_file.execute(f"PRAGMA quick_check({_PROBLEMS_ASKED})").fetchall()
    finally:
        with_file.close()
    return [str(text) for (text,) in rows if text != "ok"]


def _impossible(catalog: Catalog) -> list[str]:
    bad = sum(not _can_be(catalog, row) for row in catalog.packs())
    return [f"{bad:,} packs in it cannot be as it says"] if bad else []


def _can_be(catalog: Catalog, row: PackRow) -> bool:
    try:
        payload_length_of(row.length, row.needed)
    except FormatError:
        return False
    end = 0
    for _, offset, length in catalog.chunks_of(row.pack):
        if offset < end or length <= 0:
            return False
        end = offset + length
    return end <= row.length and row.needed <= row.total


def _missing(catalog: Catalog, record: RootRecord) -> list[str]:
    """What the root record names and the catalog does not have in the same way."""
    known = {
        row.id: (row.needed, row.length, b"".join(row.shares))
        for row in catalog.packs(kind=PACK_INDEX)
    }
    lists = sum(
        known.get(ref.pack) != (ref.needed, ref.length, ref.shares) for ref in record.index_packs
    )
    problems: list[str] = []
    if lists:
        problems.append(f"{lists:,} of {len(record.index_packs):,} index packs are not in it")
    listed = {row.id for row in catalog.snapshots()}
    snapshots = sum(snapshot.id not in listed for snapshot in record.snapshots)
    if snapshots:
        problems.append(f"{snapshots:,} of {len(record.snapshots):,} snapshots are not in it")
    return problems


def _missing_chunks(catalog: Catalog, record: RootRecord) -> tuple[int, int]:
    """How many chunks lie in no pack: of the newest snapshot, and of older ones only.

    What a snapshot refers to is known without reading only as far as its directories are: those
    of a snapshot that came with a new catalog are learned by the next night.
    """
    there = bytearray(catalog.last_number() + 1)
    for use in catalog.uses():
        for number in use.numbers:
            there[number] = 1
    lacking = ~int.from_bytes(there, "little")
    wanted = bytearray(len(there))
    counts: list[int] = []
    newest_first = sorted(record.snapshots, key=lambda snapshot: -snapshot.time_ns)
    for group in (newest_first[:1], newest_first[1:]):
        for snapshot in group:
            with contextlib.suppress(UnknownNode):
                mark(wanted, catalog.numbers_of([snapshot.id]).values(), catalog.node)
        counts.append((int.from_bytes(wanted, "little") & lacking).bit_count())
    return counts[0], counts[1] - counts[0]
