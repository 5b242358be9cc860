"""Which index packs say what, and which of it the root record has made true.

The root record names index packs; they list packs and say which listed ones are no more. What
tonight's index packs say becomes true with the root record that names them, and not before: until
then everything can be undone. `settle` brings the catalog in line with a root record, whichever
way the last night ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chunking.formats import PACK_INDEX, PackId
from peer.catalog.packs import PackTables
from peer.catalog.rows import IndexContent, PackRow

_UNSAID = 0
"""No index pack tells of it yet: its bytes were lost since."""


@dataclass(frozen=True, slots=True)
class IndexUse:
    """An index pack, and how many live chunks and packs it lists."""

    pack: int
    length: int
    packs: int
    chunks: int


class IndexTables(PackTables):
    """Listed and unlisted packs, and those that are about to go."""

    def index_uses(self) -> list[IndexUse]:
        """The index packs that live, in the order in which they were made."""
        rows = self._rows(
            "SELECT i.pack, i.length, count(p.pack), coalesce(sum(length(c.numbers)), 0) / 4"
            " FROM packs i LEFT JOIN packs p ON p.index_pack=i.pack AND p.pack<>i.pack"
            " AND p.removed_by=0 LEFT JOIN contents c ON c.pack=p.pack"
            " WHERE i.kind=? AND i.removed_by=0 GROUP BY i.pack ORDER BY i.pack",
            (PACK_INDEX,),
        )
        return [IndexUse(*row) for row in rows]

    def packs_to_list(self, merged: Iterable[int], gone: Iterable[int]) -> list[PackRow]:
        """Packs for the next index packs: unlisted ones and those of `merged` ones, less `gone`."""
        without = set(gone)
        found = list(self._select_packs("WHERE index_pack=0 AND removed_by=0 ORDER BY pack", ()))
        for index_pack in sorted(merged):
            found += self._select_packs(
                "WHERE index_pack=? AND pack<>index_pack AND removed_by=0 ORDER BY pack",
                (index_pack,),
            )
        return [row for row in found if row.pack not in without]

    def packs_to_remove(self, merged: Iterable[int], gone: Iterable[int]) -> list[PackId]:
        """Ids that the next index packs must call removed, sorted.

        Those of `gone` that an index pack beside `merged` ones lists, and what `merged` index
        packs (or nobody yet) said of such.
        """
        dropped = set(merged)
        said = self._rows("SELECT id, listed_in, said_by FROM tombstones")
        ids = {
            PackId(ident)
            for ident, listed_in, said_by in said
            if listed_in not in dropped and (said_by in dropped or said_by == _UNSAID)
        }
        for row in map(self.pack, gone):
            if row.index_pack and row.index_pack not in dropped and row.kind != PACK_INDEX:
                ids.add(row.id)
        return sorted(ids)

    def record_listed(
        self,
        *,
        listed: Sequence[int],
        removed: Sequence[PackId],
        gone: Iterable[int],
        said_by: int,
    ) -> None:
        """Index pack `said_by` is recorded. Once a root record names it, it lists these packs and
        removes those, and the `gone` ones (merged index packs among them) are no more."""
        with self._transaction():
            self._db.executemany(
                "UPDATE packs SET next_index=? WHERE pack=?", [(said_by, pack) for pack in listed]
            )
            self._db.executemany(
                "INSERT INTO tombstones(id, listed_in, said_by, next_by) VALUES("
                ":id, coalesce((SELECT index_pack FROM packs WHERE id=:id), 0), 0, :by)"
                " ON CONFLICT(id) DO UPDATE SET next_by=:by",
                [{"id": ident, "by": said_by} for ident in removed],
            )
            self._db.executemany(
                "UPDATE packs SET removed_by=? WHERE pack=?", [(said_by, pack) for pack in gone]
            )

    def settle(self, named: Iterable[PackId]) -> None:
        """Make the catalog agree with a root record that names these index packs.

        What they say is true from now on, and packs that they remove are forgotten. (Their shares
        are deleted by whoever compares what friends hold with the catalog, after enough friends
        have the root record.) Index packs that it does not name are forgotten, and with them all
        that they would have changed.
        """
        wanted = set(named)
        with self._transaction():
            rows = self._rows("SELECT pack, id FROM packs WHERE kind=?", (PACK_INDEX,))
            unnamed = [pack for pack, ident in rows if PackId(ident) not in wanted]
            for pack in unnamed:
                self._db.execute("UPDATE packs SET next_index=0 WHERE next_index=?", (pack,))
                self._db.execute("UPDATE packs SET removed_by=0 WHERE removed_by=?", (pack,))
                self._db.execute("UPDATE tombstones SET next_by=0 WHERE next_by=?", (pack,))
            self._db.execute(
                "DELETE FROM tombstones WHERE said_by=0 AND next_by=0"
                " AND id IN (SELECT id FROM packs)"
            )
            self._db.execute(
                "UPDATE packs SET index_pack=next_index, next_index=0 WHERE next_index<>0"
            )
            self._db.execute("UPDATE tombstones SET said_by=next_by, next_by=0 WHERE next_by<>0")
            self._db.execute("DELETE FROM tombstones WHERE listed_in=0 AND said_by<>0")
            removed = self._rows("SELECT pack FROM packs WHERE removed_by<>0")
            self._forget_packs([pack for (pack,) in removed])
            self._forget_packs(unnamed)

    def unknown(self, index_packs: Iterable[PackId]) -> list[PackId]:
        """Those index packs of a root record that this catalog never knew."""
        ids = list(index_packs)
        known = {
            bytes(row[0])
            for table in ("packs", "tombstones")
            for row in self._rows_in(f"SELECT id FROM {table} WHERE id IN (?)", ids)
        }
        return [ident for ident in ids if ident not in known]

    def adopt_index(self, content: IndexContent) -> None:
        """Record what an index pack learned from friends says: its packs are safe and listed.

        In whatever order they are adopted, a removed pack is not there when all are.
        """
        with self._transaction():
            if self.pack_by_id(content.itself.id) is not None:
                return
            index_pack = self._insert_pack(content.itself, safe=True, index_pack=0, is_copy=False)
            gone = {PackId(row[0]) for row in self._rows("SELECT id FROM tombstones")}
            for new in content.packs:
                if new.id in gone:
                    self._db.execute(
                        "UPDATE tombstones SET listed_in=? WHERE id=?", (index_pack, new.id)
                    )
                elif self.pack_by_id(new.id) is None:
                    self._insert_pack(new, safe=True, index_pack=index_pack, is_copy=False)
            for ident in content.removed:
                self._adopt_tombstone(ident, index_pack)

    def _adopt_tombstone(self, ident: PackId, said_by: int) -> None:
        row = self.pack_by_id(ident)
        listed_in = 0 if row is None else row.index_pack
        self._db.execute(
            "INSERT OR IGNORE INTO tombstones(id, listed_in, said_by) VALUES(?,?,?)",
            (ident, listed_in, said_by),
        )
        if row is not None:
            self._forget_packs([row.pack])
