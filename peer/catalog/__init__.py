"""The catalog: what this member has backed up and where its shares are. One SQLite file.

It is a cache: everything in it can be rebuilt from friends (`peer.restore.rebuild`) or from the
local files, so it never needs to be backed up itself. Two processes write to it during a night,
in short transactions: the engine (packs, chunks, trees) and the agent (placements, snapshots). WAL
lets them and any readers work at the same time.

In reading order: `rows` (what goes in and out), `schema` (the tables), `database` (turns at the
connection), `packs` (packs, chunks, placements), `listed` (index packs, and what a root record
makes true), `trees` (directories, nodes, snapshots).

Order that keeps it true after a crash at any point:

- A pack is recorded after all bytes of its shares lie in the spool, together with its chunks.
- Directories of a night (which allow a file to be skipped the next night) are adopted only after
  every pack of that night is recorded; a crash drops what was kept aside.
- What an index pack changes counts only once a root record names that index pack.
- A share's holder is recorded after that holder acknowledged it; the spool's copy goes after.
"""

from __future__ import annotations

from peer.catalog.listed import IndexUse
from peer.catalog.rows import (
    CatalogError,
    ChunkRow,
    DirectoryRow,
    IndexContent,
    NewPack,
    Node,
    PackRow,
    PackUse,
    SeenDirectory,
    SnapshotRow,
    Totals,
    share_names,
)
from peer.catalog.trees import TreeTables, UnknownChunk

__all__ = [
    "Catalog",
    "CatalogError",
    "ChunkRow",
    "DirectoryRow",
    "IndexContent",
    "IndexUse",
    "NewPack",
    "Node",
    "PackRow",
    "PackUse",
    "SeenDirectory",
    "SnapshotRow",
    "Totals",
    "UnknownChunk",
    "share_names",
]


class Catalog(TreeTables):
    """One connection to the catalog. Threads may share it: they take turns at writing."""
