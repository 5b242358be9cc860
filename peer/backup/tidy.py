"""After the new tree is recorded: what of the old ones goes, and what is worth copying.

Nothing is deleted here. The result says which snapshots the next root record names and which packs
are needed by none of them; they go when that root record is at enough friends (`Catalog.settle`).
While the last snapshot cannot be read, so that nobody knows how drastic tonight was, every snapshot
stays; while one of those that stay cannot be read, every pack does.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from chunking.formats import PACK_DATA, ChunkId
from peer.backup.fill import fill_nodes
from peer.backup.ranges import NotToBeHad, RangeReader
from peer.catalog import Catalog, SnapshotRow
from peer.upkeep.retention import Keep, kept
from peer.upkeep.sweep import Change, Use, compare, mark, measure

log = logging.getLogger("covey.night")


@dataclass(frozen=True, slots=True)
class Tidied:
    """What a night found: `gone` packs hold nothing that is needed, `uses` tells of the others.

    `live` marks the chunks that are needed, by number; it is empty when that is not known.
    """

    kept: list[ChunkId]
    gone: list[int]
    uses: list[Use]
    live: bytearray
    change: Change
    hold: bytes


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the person wants: the retention, the last snapshot of a hold, and snapshots to drop."""

    keep: Keep
    hold: bytes = b""
    forget: frozenset[bytes] = frozenset()


def tidy(
    catalog: Catalog, reader: RangeReader, snapshot: ChunkId, time_ns: int, wishes: Wishes
) -> Tidied:
    """Apply retention and sweep. `snapshot` is tonight's."""
    catalog.adopt_copies()
    before = [row for row in catalog.snapshots() if row.id != snapshot]
    hold, change = wishes.hold, Change()
    staying = [row.id for row in before]
    try:
        if before:
            fill_nodes(catalog, reader, before[-1].id)
            change = _change(catalog, before[-1].id, snapshot)
        if change.is_drastic and not _holds(before, hold):
            hold = before[-1].id
        staying = _staying(before, time_ns, wishes, hold)
        for ident in staying:
            fill_nodes(catalog, reader, ident)
    except NotToBeHad as error:
        log.warning("nothing is swept tonight: an old snapshot cannot be read: %s", error)
        return Tidied(staying, [], [], bytearray(), change, hold)
    live = _marked(catalog, [*staying, snapshot])
    uses = [
        measure(use.pack, use.kind, use.length, use.numbers, use.lengths, live)
        for use in catalog.uses()
    ]
    return Tidied(
        kept=staying,
        gone=[use.pack for use in uses if not use.live_chunks],
        uses=[use for use in uses if use.live_chunks],
        live=live,
        change=change,
        hold=hold if _holds(before, hold) else b"",
    )


def _holds(snapshots: Sequence[SnapshotRow], hold: bytes) -> bool:
    return any(row.id == hold for row in snapshots)


def _staying(
    before: Sequence[SnapshotRow], time_ns: int, wishes: Wishes, hold: bytes
) -> list[ChunkId]:
    """The older snapshots that stay beside tonight's."""
    pinned = 1 + max((place for place, row in enumerate(before) if row.id == hold), default=-1)
    stays = kept([*(row.time_ns for row in before), time_ns], wishes.keep, pinned=pinned)
    return [
        row.id
        for row, stay in zip(before, stays, strict=False)
        if stay and row.id not in wishes.forget
    ]


def _marked(catalog: Catalog, snapshots: Sequence[ChunkId]) -> bytearray:
    live = bytearray(catalog.last_number() + 1)
    roots = catalog.numbers_of(snapshots)
    mark(live, [roots[ident] for ident in snapshots], catalog.node)
    return live


def _change(catalog: Catalog, before: ChunkId, now: ChunkId) -> Change:
    """How much of the data of one snapshot another one has no more."""
    old, new = _marked(catalog, [before]), _marked(catalog, [now])
    change = Change()
    for use in catalog.uses():
        if use.kind == PACK_DATA:
            change += compare(use.numbers, use.lengths, old, new)
    return change
