"""Packs and their chunks: recorded, found, copied, dropped.

A chunk belongs to one pack, the one that its row names; the pack's `contents` list exactly those.
A *copy* (what compaction makes of the chunks that are still wanted) takes its chunks over only when
it is safe: until then the packs that they came from are what a restore uses.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence

from chunking.formats import ID_BYTES, PACK_INDEX, SHARE_HEADER_BYTES, ChunkId, PackId
from peer.catalog.database import Database
from peer.catalog.rows import ChunkRow, NewPack, PackRow, PackUse, Totals, share_names
from signaling.messages import MemberId

_NUMBER = "number"
_PAGE_PACKS = 256
_PAGE_PLACEMENTS = 10_000
_NOWHERE = 0
_KNOWN = "SELECT id FROM chunks WHERE pack<>0 AND id IN (?)"
_COLUMNS = "pack, id, kind, needed, length, shares, safe, index_pack, is_copy"


class PackTables(Database):
    """The packs of this member, and the chunks in them."""

    # --- recording --------------------------------------------------------------------------

    def record_pack(self, new: NewPack, *, is_copy: bool = False) -> PackRow:
        """Record a pack and its chunks in one transaction. Chunks that are known stay as is."""
        with self._transaction():
            pack = self._insert_pack(new, safe=False, index_pack=0, is_copy=is_copy)
        return self.pack(pack)

    def _insert_pack(self, new: NewPack, *, safe: bool, index_pack: int, is_copy: bool) -> int:
        """The pack's number. An index pack counts as listed by itself: the root record names it."""
        cursor = self._db.execute(
            "INSERT INTO packs(id, kind, needed, length, shares, safe, index_pack, is_copy)"
            " VALUES(?,?,?,?,?,?,?,?)",
            (
                new.id,
                new.kind,
                new.needed,
                new.length,
                b"".join(new.shares),
                safe,
                index_pack,
                is_copy,
            ),
        )
        pack = cursor.lastrowid
        assert pack is not None
        if new.kind == PACK_INDEX:
            self._db.execute("UPDATE packs SET index_pack=pack WHERE pack=?", (pack,))
        rows = self._copied_chunks(new) if is_copy else self._insert_chunks(pack, new)
        self._write_contents(pack, rows)
        return pack

    def _copied_chunks(self, new: NewPack) -> list[tuple[ChunkId, int, int, int]]:
        known = self.numbers_of([ident for ident, _, _ in new.chunks])
        return [(i, known[i], at, size) for i, at, size in new.chunks if i in known]

    def _insert_chunks(self, pack: int, new: NewPack) -> list[tuple[ChunkId, int, int, int]]:
        """Chunks that lie nowhere yet become this pack's; one that was lost keeps its number."""
        ids = [ident for ident, _, _ in new.chunks]
        found = {
            ChunkId(ident): (number, where)
            for ident, number, where in self._rows_in(
                "SELECT id, number, pack FROM chunks WHERE id IN (?)", ids
            )
        }
        number = self._take_numbers(len(ids) - len(found))
        rows: list[tuple[ChunkId, int, int, int]] = []
        for ident, at, size in new.chunks:
            if ident not in found:
                rows.append((ident, number, at, size))
                number += 1
            elif found[ident][1] == _NOWHERE:
                rows.append((ident, found[ident][0], at, size))
        self._db.executemany(
            "INSERT OR REPLACE INTO chunks(id, number, pack, offset, length) VALUES(?,?,?,?,?)",
            sorted((i, number, pack, at, size) for i, number, at, size in rows),
        )
        return rows

    def _take_numbers(self, count: int) -> int:
        """The first of `count` numbers that no chunk ever had."""
        used = int.from_bytes(self.get_meta(_NUMBER) or b"", "big")
        self.set_meta(_NUMBER, (used + count).to_bytes(8, "big"))
        return used + 1

    def _write_contents(self, pack: int, rows: Sequence[tuple[bytes, int, int, int]]) -> None:
        """`rows` are (id, number, offset, length) by offset."""
        self._db.execute(
            "INSERT OR REPLACE INTO contents(pack, ids, numbers, offsets, lengths)"
            " VALUES(?,?,?,?,?)",
            (
                pack,
                b"".join(row[0] for row in rows),
                array("I", [row[1] for row in rows]).tobytes(),
                array("I", [row[2] for row in rows]).tobytes(),
                array("I", [row[3] for row in rows]).tobytes(),
            ),
        )

    def _contents(self, pack: int) -> list[tuple[ChunkId, int, int, int]]:
        """A pack's chunks as (id, number, offset, length), by offset."""
        row = self._row("SELECT ids, numbers, offsets, lengths FROM contents WHERE pack=?", (pack,))
        if row is None:
            return []
        ids = [ChunkId(row[0][at : at + ID_BYTES]) for at in range(0, len(row[0]), ID_BYTES)]
        return list(
            zip(ids, array("I", row[1]), array("I", row[2]), array("I", row[3]), strict=True)
        )

    # --- copies -----------------------------------------------------------------------------

    def adopt_copies(self) -> int:
        """Let copies that are safe take over their chunks; how many copies did.

        The packs that the chunks came from lose them, so that the sweep finds those packs empty.
        """
        copies = self._rows("SELECT pack FROM packs WHERE is_copy=1 AND safe=1")
        for (pack,) in copies:
            with self._transaction():
                self._adopt_copy(pack)
        return len(copies)

    def copied_chunks(self) -> set[ChunkId]:
        """Chunks of copies that are not safe yet."""
        copies = self._rows("SELECT pack FROM packs WHERE is_copy=1")
        return {ident for (pack,) in copies for ident, _, _, _ in self._contents(pack)}

    def _adopt_copy(self, copy: int) -> None:
        rows = self._contents(copy)
        now = self.find_chunks([ident for ident, _, _, _ in rows])
        kept = [row for row in rows if row[0] in now]  # the others were dropped meanwhile
        leaving: dict[int, set[ChunkId]] = {}
        for ident, _, _, _ in kept:
            leaving.setdefault(now[ident].pack, set()).add(ident)
        self._db.executemany(
            "UPDATE chunks SET pack=?, offset=?, length=? WHERE id=?",
            [(copy, at, size, ident) for ident, _, at, size in kept],
        )
        for pack, ids in leaving.items():
            self._write_contents(pack, [row for row in self._contents(pack) if row[0] not in ids])
        self._write_contents(copy, kept)
        self._db.execute("UPDATE packs SET is_copy=0 WHERE pack=?", (copy,))

    # --- dropping ---------------------------------------------------------------------------

    def drop_pack(self, pack: int) -> None:
        """Forget a pack whose bytes are lost, its chunks, and all cached listings.

        What a lost index pack listed is to be listed anew. An index pack that lists the lost pack
        is told at the next one that the pack is no more.
        """
        with self._transaction():
            row = self.pack(pack)
            if row.index_pack:
                listed_in = 0 if row.index_pack == pack else row.index_pack
                self._db.execute(
                    "INSERT OR IGNORE INTO tombstones(id, listed_in, said_by) VALUES(?,?,0)",
                    (row.id, listed_in),
                )
            self._forget_packs([pack], lost=True)
            self._db.execute("DELETE FROM directories")

    def _forget_packs(self, packs: Sequence[int], *, lost: bool = False) -> None:
        """Delete all rows of these packs; what an index pack among them listed is unlisted.

        Chunks of a `lost` pack keep their numbers, since snapshots refer to them and their bytes
        may yet be found again in the files.
        """
        for pack in packs:
            row = self._row("SELECT is_copy FROM packs WHERE pack=?", (pack,))
            if row is not None and not row[0]:
                chunks = self._contents(pack)
                ids = [(chunk[0],) for chunk in chunks]
                if lost:
                    self._db.executemany("UPDATE chunks SET pack=0 WHERE id=?", ids)
                else:
                    numbers = [(chunk[1],) for chunk in chunks]
                    self._db.executemany("DELETE FROM chunks WHERE id=?", ids)
                    self._db.executemany("DELETE FROM nodes WHERE number=?", numbers)
            self._db.execute("UPDATE packs SET index_pack=0 WHERE index_pack=?", (pack,))
            self._db.execute("DELETE FROM tombstones WHERE listed_in=?", (pack,))
            self._db.execute("UPDATE tombstones SET said_by=0 WHERE said_by=?", (pack,))
            for table in ("contents", "placements", "packs"):
                self._db.execute(f"DELETE FROM {table} WHERE pack=?", (pack,))

    # --- finding chunks ---------------------------------------------------------------------

    def known_chunks(self, ids: Sequence[ChunkId]) -> set[ChunkId]:
        """Those of `ids` that lie in a pack and need not be stored again."""
        return {ChunkId(row[0]) for row in self._rows_in(_KNOWN, ids)}

    def find_chunks(self, ids: Sequence[ChunkId]) -> dict[ChunkId, ChunkRow]:
        """Where each of `ids` lies; unknown ones are left out."""
        rows = self._rows_in(
            "SELECT id, pack, offset, length FROM chunks WHERE pack<>0 AND id IN (?)", ids
        )
        return {ChunkId(row[0]): ChunkRow(ChunkId(row[0]), *row[1:]) for row in rows}

    def numbers_of(self, ids: Sequence[ChunkId]) -> dict[ChunkId, int]:
        """The numbers of those of `ids` that lie in a pack."""
        rows = self._rows_in("SELECT id, number FROM chunks WHERE pack<>0 AND id IN (?)", ids)
        return {ChunkId(ident): number for ident, number in rows}

    def chunks_of(self, pack: int) -> list[tuple[ChunkId, int, int]]:
        """The chunks of a pack as (id, offset, length), by offset."""
        return [(ident, at, size) for ident, _, at, size in self._contents(pack)]

    def uses(self) -> Iterator[PackUse]:
        """Every data and metadata pack that lives and is no copy, with its chunks' numbers."""
        rows = self._pages(
            "SELECT pack, kind, length, index_pack, numbers, lengths"
            " FROM packs JOIN contents USING(pack)"
            f" WHERE removed_by=0 AND is_copy=0 AND kind<>{PACK_INDEX} AND pack>?"
            " ORDER BY pack LIMIT ?",
            0,
            _PAGE_PACKS,
        )
        for pack, kind, length, index_pack, numbers, lengths in rows:
            yield PackUse(
                pack,
                kind,
                length,
                index_pack,
                memoryview(numbers).cast("I"),
                memoryview(lengths).cast("I"),
            )

    def last_number(self) -> int:
        """The highest number that any chunk ever had."""
        return int.from_bytes(self.get_meta(_NUMBER) or b"", "big")

    # --- finding packs ----------------------------------------------------------------------

    def pack(self, pack: int) -> PackRow:
        """One pack by its number in the catalog. Raises KeyError."""
        for row in self._select_packs("WHERE pack=?", (pack,)):
            return row
        raise KeyError(pack)

    def pack_by_id(self, ident: bytes) -> PackRow | None:
        """One pack by its id, or None."""
        return next(self._select_packs("WHERE id=?", (ident,)), None)

    def packs(self, *, kind: int | None = None) -> Iterator[PackRow]:
        """All packs that live, or those of one kind, in the order in which they were made."""
        chosen = "" if kind is None else f"kind={int(kind)} AND "
        for row in self._pages(
            f"SELECT {_COLUMNS} FROM packs WHERE removed_by=0 AND {chosen}pack>?"
            " ORDER BY pack LIMIT ?",
            0,
            _PAGE_PACKS,
        ):
            yield _pack_row(row)

    def unsafe_packs(self) -> list[PackRow]:
        """Packs that are needed and that too few holders have acknowledged."""
        return list(self._select_packs("WHERE safe=0 AND removed_by=0 ORDER BY pack", ()))

    def _select_packs(self, where: str, values: tuple[object, ...]) -> Iterator[PackRow]:
        for row in self._rows(f"SELECT {_COLUMNS} FROM packs {where}", values):
            yield _pack_row(row)

    # --- placements -------------------------------------------------------------------------

    def record_placements(self, rows: Iterable[tuple[int, int, MemberId]], safe: set[int]) -> None:
        """Record acknowledged shares as (pack, number, holder), and packs that are now safe."""
        with self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO placements(pack, number, holder) VALUES(?,?,?)", rows
            )
            self._db.executemany(
                "UPDATE packs SET safe=1 WHERE pack=?", ((pack,) for pack in sorted(safe))
            )

    def forget_placements(self, rows: Iterable[tuple[int, int]]) -> None:
        """These shares (pack, number) are not where they were said to be."""
        with self._transaction():
            self._db.executemany("DELETE FROM placements WHERE pack=? AND number=?", rows)

    def placements(self, pack: int) -> dict[int, MemberId]:
        """Share number -> holder, for the shares that a holder has acknowledged."""
        rows = self._rows("SELECT number, holder FROM placements WHERE pack=?", (pack,))
        return {number: MemberId(holder) for number, holder in rows}

    def each_placement(self) -> Iterator[tuple[int, int, MemberId]]:
        """(pack, number, holder) of every acknowledged share, by pack."""
        place = (0, -1)
        while rows := self._rows(
            "SELECT pack, number, holder FROM placements WHERE (pack, number) > (?, ?)"
            " ORDER BY pack, number LIMIT ?",
            (*place, _PAGE_PLACEMENTS),
        ):
            yield from ((pack, number, MemberId(holder)) for pack, number, holder in rows)
            place = rows[-1][:2]

    def shares_per_holder(self) -> dict[MemberId, int]:
        """How many shares each holder has of this member."""
        rows = self._rows("SELECT holder, count(*) FROM placements GROUP BY holder")
        return {MemberId(holder): count for holder, count in rows}

    def bytes_per_holder(self) -> dict[MemberId, int]:
        """How many bytes of shares each holder has of this member."""
        rows = self._rows(
            "SELECT holder, sum((packs.length + packs.needed - 1) / packs.needed + ?)"
            " FROM placements JOIN packs USING(pack) GROUP BY holder",
            (SHARE_HEADER_BYTES,),
        )
        return {MemberId(holder): size for holder, size in rows}

    def thinnest(self) -> tuple[int, int]:
        """(shares that any pack can still lose, number of packs); (0, 0) when there is none."""
        row = self._row(
            "SELECT min(c), count(*) FROM (SELECT count(placements.number) - packs.needed AS c"
            " FROM packs LEFT JOIN placements USING(pack) WHERE removed_by=0 GROUP BY packs.pack)"
        )
        return (row[0] or 0, row[1])

    def newest_code(self) -> tuple[int, int]:
        """(shares needed, shares in all) of the newest pack; (0, 0) when there is none."""
        row = self._row("SELECT needed, length(shares) / 32 FROM packs ORDER BY pack DESC LIMIT 1")
        return (0, 0) if row is None else (row[0], row[1])

    def codes(self) -> dict[int, tuple[int, int]]:
        """(shares needed, shares in all) of each pack."""
        rows = self._rows("SELECT pack, needed, length(shares) / 32 FROM packs")
        return {pack: (needed, total) for pack, needed, total in rows}

    def totals(self) -> Totals:
        """What is stored, in numbers."""
        (chunks,) = self._row("SELECT coalesce(sum(length(numbers)), 0) / 4 FROM contents")
        (packed,) = self._row("SELECT coalesce(sum(length), 0) FROM packs")
        (shared,) = self._row(
            "SELECT coalesce(sum((length + needed - 1) / needed), 0)"
            " FROM packs JOIN placements USING(pack)"
        )
        kinds = dict(self._rows("SELECT kind, count(*) FROM packs GROUP BY kind"))
        return Totals(chunks, packed, shared, kinds)


def _pack_row(row: tuple[int, bytes, int, int, int, bytes, int, int, int]) -> PackRow:
    pack, ident, kind, needed, length, shares, safe, index_pack, is_copy = row
    return PackRow(
        pack,
        PackId(ident),
        kind,
        needed,
        length,
        share_names(shares),
        bool(safe),
        index_pack,
        bool(is_copy),
    )
