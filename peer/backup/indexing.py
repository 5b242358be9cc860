"""The night's index packs: what is new, what is gone, and older index packs merged.

They are recorded like other packs and shipped like them; what they say becomes true with the root
record that names them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chunking.formats import IndexEntry, PackEntry, PackRef
from chunking.index import encode_index_parts
from peer.backup.packer import Packer
from peer.catalog import Catalog, PackRow
from peer.upkeep.compaction import choose_merges

PACK_WEIGHT = 8
"""A pack's row in an index takes about as many bytes as so many of its chunks' rows."""


def make_index(
    catalog: Catalog,
    packer: Packer,
    gone: Sequence[int],
    newest: list[int],
    anew: Sequence[int] = (),
) -> None:
    """List every pack that is not listed yet, and those of merged index packs, `anew` among them.

    `packer` calls back for each index pack; the caller keeps their numbers in `newest`.
    """
    sizes = [(use.pack, use.chunks + PACK_WEIGHT * use.packs) for use in catalog.index_uses()]
    fresh = catalog.packs_to_list([], gone)
    tonight = sum(len(catalog.chunks_of(row.pack)) + PACK_WEIGHT for row in fresh)
    merged = sorted({*choose_merges(sizes, tonight), *anew})
    rows = catalog.packs_to_list(merged, gone)
    removed = catalog.packs_to_remove(merged, gone)
    listed = [row.pack for row in rows]
    for data in encode_index_parts(_entries(catalog, rows), removed):
        packer.add(packer.chunk_id(data), data)
    packer.flush()
    if not newest:  # two nights at the very same instant make the same snapshot, and nothing new
        return
    catalog.record_listed(listed=listed, removed=removed, gone=[*gone, *merged], said_by=newest[-1])


def _entries(catalog: Catalog, rows: Sequence[PackRow]) -> Iterator[IndexEntry]:
    for row in rows:
        chunks = tuple(PackEntry(*chunk) for chunk in catalog.chunks_of(row.pack))
        if chunks:
            yield IndexEntry(pack_ref(row), row.kind, chunks)


def pack_ref(row: PackRow) -> PackRef:
    """How signed formats name a pack."""
    return PackRef(row.id, row.needed, row.length, b"".join(row.shares))
