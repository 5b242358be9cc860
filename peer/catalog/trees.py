"""What the last scan saw, and which chunk refers to which.

*Directories* let the next night skip what did not change. Tonight's are kept aside in a temporary
table, which a crash takes along, and adopted together with the tree's nodes when every pack of
tonight is recorded: a listing that is believed must never rest on a chunk that is not there.

*Nodes* say what each metadata chunk refers to, so that the sweep can follow snapshots without
reading them. When a node is recorded, so are all below it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

from chunking.formats import ID_BYTES, ChunkId
from peer.catalog.listed import IndexTables
from peer.catalog.rows import DirectoryRow, Node, SeenDirectory, SnapshotRow

_TREE = "tree"
_NODES_TOGETHER = 512
_BELOW = "path=? OR (path>=? AND path<?)"


def _below(path: bytes) -> tuple[bytes, bytes, bytes]:
    """Values for `_BELOW`: a path and all that lie under it."""
    folder = path.rstrip(b"/")
    return path, folder + b"/", folder + b"0"  # the byte after the slash


class UnknownChunk(Exception):
    """A node refers to a chunk that is in no pack; nothing was recorded."""


class TreeTables(IndexTables):
    """Directories, nodes and snapshots."""

    # --- directories of the last scan -------------------------------------------------------

    def directory(self, path: bytes) -> DirectoryRow | None:
        """How the last complete scan saw this directory, without its listing."""
        row = self._row(
            "SELECT files_print, folders_print, level, ids, files, bytes FROM directories"
            " WHERE path=?",
            (path,),
        )
        return None if row is None else DirectoryRow(*row)

    def listing(self, path: bytes) -> bytes | None:
        """What the last complete scan saw in this directory, as `peer.backup.listing` wrote it."""
        row = self._row("SELECT listing FROM directories WHERE path=?", (path,))
        return None if row is None else bytes(row[0])

    def listings_after(self, path: bytes, count: int) -> list[tuple[bytes, bytes]]:
        """The next directories by path, and their listings."""
        return [
            (bytes(found), bytes(listing))
            for found, listing in self._rows(
                "SELECT path, listing FROM directories WHERE path>? ORDER BY path LIMIT ?",
                (path, count),
            )
        ]

    # --- tonight's, kept aside --------------------------------------------------------------

    def begin_tree(self) -> None:
        """Forget what was kept aside; must come before the calls below."""
        with self._transaction():
            for table, columns in (
                (
                    "seen",
                    "path BLOB, files_print, folders_print, level, ids, files, bytes, listing",
                ),
                ("gone", "path BLOB"),
                ("seen_nodes", "id BLOB, nodes BLOB, leaves BLOB"),
            ):
                self._db.execute(f"DROP TABLE IF EXISTS temp.{table}")
                self._db.execute(f"CREATE TEMP TABLE {table}({columns})")

    def keep_aside(
        self, seen: Iterable[SeenDirectory], gone: Iterable[bytes], nodes: Iterable[Node]
    ) -> None:
        """Directories that changed, paths below which nothing is left, and new nodes."""
        with self._transaction():
            self._db.executemany(
                "INSERT INTO seen VALUES(?,?,?,?,?,?,?,?)",
                [
                    (
                        one.path,
                        one.row.files_print,
                        one.row.folders_print,
                        one.row.level,
                        one.row.ids,
                        one.row.files,
                        one.row.bytes,
                        one.listing,
                    )
                    for one in seen
                ],
            )
            self._db.executemany("INSERT INTO gone VALUES(?)", [(path,) for path in gone])
            self._db.executemany(
                "INSERT INTO seen_nodes VALUES(?,?,?)",
                [(node.id, node.nodes, node.leaves) for node in nodes],
            )

    def adopt_tree(self, snapshot: ChunkId, encoded: bytes) -> None:
        """What was kept aside replaces what was known; every pack of tonight is recorded.

        `encoded` is the snapshot itself. Raises UnknownChunk, and changes nothing then.
        """
        with self._transaction():
            for (path,) in self._rows("SELECT path FROM gone"):
                self._db.execute(f"DELETE FROM directories WHERE {_BELOW}", _below(path))
            self._db.execute(
                "INSERT OR REPLACE INTO directories"
                "(path, files_print, folders_print, level, ids, files, bytes, listing)"
                " SELECT * FROM seen"
            )
            rows = self._pages(
                "SELECT rowid, id, nodes, leaves FROM seen_nodes WHERE rowid>?"
                " ORDER BY rowid LIMIT ?",
                0,
                _NODES_TOGETHER,
            )
            group: list[Node] = []
            for _, ident, nodes, leaves in rows:
                group.append(Node(ChunkId(ident), nodes, leaves))
                if len(group) == _NODES_TOGETHER:
                    self._insert_nodes(group)
                    group = []
            self._insert_nodes(group)
            self.set_meta(_TREE, snapshot + encoded)
            for table in ("seen", "gone", "seen_nodes"):
                self._db.execute(f"DELETE FROM temp.{table}")

    def last_tree(self) -> tuple[ChunkId, bytes] | None:
        """The snapshot that was adopted last, complete or not: its id, and encoded."""
        data = self.get_meta(_TREE)
        return None if data is None else (ChunkId(data[:ID_BYTES]), data[ID_BYTES:])

    # --- nodes ------------------------------------------------------------------------------

    def add_nodes(self, nodes: Sequence[Node]) -> None:
        """Record nodes, those below first. Raises UnknownChunk, and records nothing then."""
        with self._transaction():
            self._insert_nodes(nodes)

    def _insert_nodes(self, nodes: Sequence[Node]) -> None:
        """A chunk that begins two nodes (of two very long listings) refers to what both do."""
        wanted = {
            ChunkId(ids[at : at + ID_BYTES])
            for node in nodes
            for ids in (node.id, node.nodes, node.leaves)
            for at in range(0, len(ids), ID_BYTES)
        }
        numbers = self.numbers_of(sorted(wanted))

        def as_numbers(ids: bytes) -> set[int]:
            try:
                return {
                    numbers[ChunkId(ids[at : at + ID_BYTES])] for at in range(0, len(ids), ID_BYTES)
                }
            except KeyError:
                raise UnknownChunk from None

        merged: dict[int, tuple[set[int], set[int]]] = {}
        for node in nodes:
            (number,) = as_numbers(node.id)
            below, leaves = merged.setdefault(number, (set(), set()))
            below |= as_numbers(node.nodes)
            leaves |= as_numbers(node.leaves)
        for number, before_below, before_leaves in self._rows_in(
            "SELECT number, nodes, leaves FROM nodes WHERE number IN (?)", sorted(merged)
        ):
            below, leaves = merged[number]
            below.update(memoryview(before_below).cast("I"))
            leaves.update(memoryview(before_leaves).cast("I"))
        self._db.executemany(
            "INSERT OR REPLACE INTO nodes(number, nodes, leaves) VALUES(?,?,?)",
            (
                (number, array("I", sorted(below)).tobytes(), array("I", sorted(leaves)).tobytes())
                for number, (below, leaves) in sorted(merged.items())
            ),
        )

    def totals_below(self, path: bytes) -> tuple[int, int]:
        """(files, bytes) of a directory and all below it, as the last complete scan saw them."""
        row = self._row(
            "SELECT coalesce(sum(files), 0), coalesce(sum(bytes), 0) FROM directories"
            f" WHERE {_BELOW}",
            _below(path),
        )
        return row[0], row[1]

    def node(self, number: int) -> tuple[memoryview, memoryview] | None:
        """What a metadata chunk refers to, as (nodes, leaves), or None when that is not known."""
        row = self._row("SELECT nodes, leaves FROM nodes WHERE number=?", (number,))
        if row is None:
            return None
        return memoryview(row[0]).cast("I"), memoryview(row[1]).cast("I")

    # --- snapshots --------------------------------------------------------------------------

    def snapshots(self) -> list[SnapshotRow]:
        """Complete snapshots in the order in which they were made, whatever the clock said."""
        rows = self._rows("SELECT id, time_ns, files, bytes FROM snapshots ORDER BY place")
        return [SnapshotRow(ChunkId(row[0]), row[1], row[2], row[3]) for row in rows]

    def set_snapshots(self, rows: Sequence[SnapshotRow]) -> None:
        """Replace the list of complete snapshots by what a root record says."""
        with self._transaction():
            self._db.execute("DELETE FROM snapshots")
            self._db.executemany(
                "INSERT INTO snapshots(id, time_ns, files, bytes) VALUES(?,?,?,?)",
                [(row.id, row.time_ns, row.files, row.bytes) for row in rows],
            )
