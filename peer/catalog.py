"""The catalog: what this member has backed up and where its shares are. One SQLite file.

It is a cache: everything in it can be rebuilt from friends (`peer.restore.rebuild`) or from the
local files, so it never needs to be backed up itself. Two processes write to it during a night,
in short transactions: the engine (packs, chunks, directories) and the agent (placements,
snapshots). WAL lets them and any readers work at the same time.

Order that keeps it true after a crash at any point:

- A pack is recorded after all bytes of its shares lie in the spool, together with its chunks.
- Directory listings of a night (which allow a file to be skipped the next night) are staged and
  adopted only after every pack of that night is recorded; a crash drops the staged ones.
- A share's holder is recorded after that holder acknowledged it; the spool's copy goes after.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chunking.formats import PACK_INDEX, ChunkId, PackId, ShareName
from signaling.messages import MemberId

SCHEMA_VERSION = 1
BUSY_TIMEOUT_MS = 60_000
"""The other process's transactions are short; a minute means that something is badly wrong."""
QUERY_IDS_MAX = 500
"""SQLite's limit on `?` in a statement is at least 999."""

SCHEMA = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE packs(
  pack INTEGER PRIMARY KEY,
  id BLOB NOT NULL UNIQUE,
  kind INTEGER NOT NULL,
  needed INTEGER NOT NULL,
  length INTEGER NOT NULL,
  shares BLOB NOT NULL,              -- 32-byte names by number
  safe INTEGER NOT NULL DEFAULT 0,   -- enough holders have acknowledged
  indexed INTEGER NOT NULL DEFAULT 0 -- 1: some index pack lists it
);
CREATE INDEX packs_unsafe ON packs(pack) WHERE safe = 0;
CREATE TABLE chunks(
  id BLOB PRIMARY KEY, pack INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE placements(
  pack INTEGER NOT NULL, number INTEGER NOT NULL, holder BLOB NOT NULL,
  PRIMARY KEY(pack, number)
) WITHOUT ROWID;
CREATE TABLE directories(path BLOB PRIMARY KEY, listing BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE staged(path BLOB PRIMARY KEY, listing BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE snapshots(
  id BLOB PRIMARY KEY, time_ns INTEGER NOT NULL, files INTEGER NOT NULL, bytes INTEGER NOT NULL
) WITHOUT ROWID;
"""


class CatalogError(Exception):
    """The catalog cannot be used as it is; `covey recover` makes a new one."""


@dataclass(frozen=True, slots=True)
class PackRow:
    """One pack as the catalog knows it. `shares[i]` is the name of share number i."""

    pack: int
    id: PackId
    kind: int
    needed: int
    length: int
    shares: tuple[ShareName, ...]
    safe: bool
    indexed: bool

    @property
    def total(self) -> int:
        """How many shares the pack has."""
        return len(self.shares)


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """Where a sealed chunk lies: byte range `offset`, `length` of pack number `pack`."""

    id: ChunkId
    pack: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """A complete snapshot: its chunk id, when it was begun, and how much it holds."""

    id: ChunkId
    time_ns: int
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class NewPack:
    """A pack about to be recorded: chunks are (id, offset, length) in the pack's order."""

    id: PackId
    kind: int
    needed: int
    length: int
    shares: tuple[ShareName, ...]
    chunks: tuple[tuple[ChunkId, int, int], ...]


def share_names(blob: bytes) -> tuple[ShareName, ...]:
    """The names of a pack's shares, by number, from their joined form."""
    return tuple(ShareName(blob[i : i + 32]) for i in range(0, len(blob), 32))


class Catalog:
    """One connection to the catalog. Threads may share it: they take turns at writing."""

    def __init__(self, path: Path) -> None:
        """Open or create. Raises CatalogError when the file is damaged or from a newer Covey."""
        self._db = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None, check_same_thread=False
        )
        self._lock = threading.RLock()
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("PRAGMA cache_size=-32768")
            self._migrate()
        except CatalogError:
            self._db.close()
            raise
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise CatalogError(f"the catalog {path} is damaged: {error}") from error

    def _migrate(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise CatalogError("the catalog was written by a newer Covey; please update")
        if version == 0:
            self._db.executescript(
                f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
            )

    def close(self) -> None:
        """Close the connection; everything recorded stays."""
        with self._lock:
            self._db.close()

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """All rows of a query. Under the lock: two threads must not step one connection."""
        with self._lock:
            return self._db.execute(query, values).fetchall()

    def _row(self, query: str, values: Sequence[Any] = ()) -> Any:  # noqa: ANN401 - SQLite's
        """The one row of a query, or None."""
        rows = self._rows(query, values)
        return rows[0] if rows else None

    # --- packs and chunks -------------------------------------------------------------------

    def record_pack(self, new: NewPack) -> PackRow:
        """Record a pack and its chunks in one transaction. Chunks that are known stay as is."""
        with _transaction(self._db, self._lock):
            row = self._insert_pack(new, safe=False, indexed=new.kind == PACK_INDEX)
        return PackRow(
            row, new.id, new.kind, new.needed, new.length, new.shares, False, new.kind == PACK_INDEX
        )

    def _insert_pack(self, new: NewPack, *, safe: bool, indexed: bool) -> int:
        cursor = self._db.execute(
            "INSERT INTO packs(id, kind, needed, length, shares, safe, indexed)"
            " VALUES(?,?,?,?,?,?,?)",
            (new.id, new.kind, new.needed, new.length, b"".join(new.shares), safe, indexed),
        )
        row = cursor.lastrowid
        assert row is not None
        self._db.executemany(
            "INSERT OR IGNORE INTO chunks(id, pack, offset, length) VALUES(?,?,?,?)",
            ((chunk, row, offset, length) for chunk, offset, length in new.chunks),
        )
        return row

    def adopt_packs(self, packs: Iterable[NewPack]) -> None:
        """Record packs learned from friends' index packs: they are safe and indexed."""
        with _transaction(self._db, self._lock):
            for new in packs:
                known = self._db.execute("SELECT 1 FROM packs WHERE id=?", (new.id,)).fetchone()
                if known is None:
                    self._insert_pack(new, safe=True, indexed=True)

    def drop_pack(self, pack: int) -> None:
        """Forget a pack whose bytes are lost, and all that rests on it.

        That is: cached listings, and the index packs made after it, of which one may list it. No
        root record names those, since none is made while a pack is not safe. What they list is
        indexed anew.
        """
        with _transaction(self._db, self._lock):
            (kind, indexed) = self._row("SELECT kind, indexed FROM packs WHERE pack=?", (pack,))
            gone = [pack]
            if indexed:
                later = self._rows(
                    "SELECT pack FROM packs WHERE kind=? AND pack>?", (PACK_INDEX, pack)
                )
                gone += [number for (number,) in later]
            for table in ("chunks", "placements", "packs"):
                self._db.executemany(f"DELETE FROM {table} WHERE pack=?", ((n,) for n in gone))
            if kind == PACK_INDEX or len(gone) > 1:
                self._db.execute("UPDATE packs SET indexed=0 WHERE kind<>?", (PACK_INDEX,))
            self._db.execute("DELETE FROM directories")

    def known_chunks(self, ids: Sequence[ChunkId]) -> set[ChunkId]:
        """Those of `ids` that lie in a recorded pack."""
        known: set[ChunkId] = set()
        for start in range(0, len(ids), QUERY_IDS_MAX):
            part = ids[start : start + QUERY_IDS_MAX]
            marks = ",".join("?" * len(part))
            known.update(
                ChunkId(row[0])
                for row in self._rows(f"SELECT id FROM chunks WHERE id IN ({marks})", part)
            )
        return known

    def find_chunks(self, ids: Sequence[ChunkId]) -> dict[ChunkId, ChunkRow]:
        """Where each of `ids` lies; unknown ones are left out."""
        found: dict[ChunkId, ChunkRow] = {}
        for start in range(0, len(ids), QUERY_IDS_MAX):
            part = ids[start : start + QUERY_IDS_MAX]
            marks = ",".join("?" * len(part))
            for row in self._rows(
                f"SELECT id, pack, offset, length FROM chunks WHERE id IN ({marks})", part
            ):
                found[ChunkId(row[0])] = ChunkRow(ChunkId(row[0]), row[1], row[2], row[3])
        return found

    def chunks_of(self, pack: int) -> list[tuple[ChunkId, int, int]]:
        """The chunks of a pack as (id, offset, length), by offset."""
        rows = self._rows(
            "SELECT id, offset, length FROM chunks WHERE pack=? ORDER BY offset", (pack,)
        )
        return [(ChunkId(row[0]), row[1], row[2]) for row in rows]

    def pack(self, pack: int) -> PackRow:
        """One pack by its number in the catalog. Raises KeyError."""
        for row in self._select_packs("WHERE pack=?", (pack,)):
            return row
        raise KeyError(pack)

    def packs(self, *, kind: int | None = None) -> Iterator[PackRow]:
        """All packs, or those of one kind, in the order in which they were made."""
        if kind is None:
            return self._select_packs("ORDER BY pack", ())
        return self._select_packs("WHERE kind=? ORDER BY pack", (kind,))

    def unsafe_packs(self) -> list[PackRow]:
        """Packs that too few holders have acknowledged."""
        return list(self._select_packs("WHERE safe=0 ORDER BY pack", ()))

    def unindexed_packs(self) -> list[PackRow]:
        """Data and metadata packs that no index pack lists yet."""
        return list(self._select_packs("WHERE indexed=0 ORDER BY pack", ()))

    def mark_indexed(self, packs: Iterable[int]) -> None:
        """These packs stand in a recorded index pack now."""
        with _transaction(self._db, self._lock):
            self._db.executemany("UPDATE packs SET indexed=1 WHERE pack=?", ((p,) for p in packs))

    def _select_packs(self, where: str, values: tuple[object, ...]) -> Iterator[PackRow]:
        query = f"SELECT pack, id, kind, needed, length, shares, safe, indexed FROM packs {where}"
        for pack, ident, kind, needed, length, shares, safe, indexed in self._rows(query, values):
            yield PackRow(
                pack,
                PackId(ident),
                kind,
                needed,
                length,
                share_names(shares),
                bool(safe),
                bool(indexed),
            )

    # --- placements -------------------------------------------------------------------------

    def record_placements(self, rows: Iterable[tuple[int, int, MemberId]], safe: set[int]) -> None:
        """Record acknowledged shares as (pack, number, holder), and packs that are now safe."""
        with _transaction(self._db, self._lock):
            self._db.executemany(
                "INSERT OR REPLACE INTO placements(pack, number, holder) VALUES(?,?,?)", rows
            )
            self._db.executemany(
                "UPDATE packs SET safe=1 WHERE pack=?", ((pack,) for pack in sorted(safe))
            )

    def forget_placements(self, rows: Iterable[tuple[int, int]]) -> None:
        """These shares (pack, number) are not where they were said to be."""
        with _transaction(self._db, self._lock):
            self._db.executemany("DELETE FROM placements WHERE pack=? AND number=?", rows)

    def placements(self, pack: int) -> dict[int, MemberId]:
        """Share number -> holder, for the shares that a holder has acknowledged."""
        rows = self._rows("SELECT number, holder FROM placements WHERE pack=?", (pack,))
        return {number: MemberId(holder) for number, holder in rows}

    def shares_per_holder(self) -> dict[MemberId, int]:
        """How many shares each holder has of this member."""
        rows = self._rows("SELECT holder, count(*) FROM placements GROUP BY holder")
        return {MemberId(holder): count for holder, count in rows}

    def thinnest(self) -> tuple[int, int]:
        """(shares that any pack can still lose, number of packs); (0, 0) when there is none."""
        row = self._row(
            "SELECT min(c), count(*) FROM (SELECT count(placements.number) - packs.needed AS c"
            " FROM packs LEFT JOIN placements USING(pack) GROUP BY packs.pack)"
        )
        return (row[0] or 0, row[1])

    def newest_code(self) -> tuple[int, int]:
        """(shares needed, shares in all) of the newest pack; (0, 0) when there is none."""
        row = self._row("SELECT needed, length(shares) / 32 FROM packs ORDER BY pack DESC LIMIT 1")
        return (0, 0) if row is None else (row[0], row[1])

    def totals(self) -> tuple[int, int, int]:
        """(chunks, bytes in packs, bytes in acknowledged shares)."""
        (chunks,) = self._row("SELECT count(*) FROM chunks")
        (packed,) = self._row("SELECT coalesce(sum(length), 0) FROM packs")
        (shared,) = self._row(
            "SELECT coalesce(sum((length + needed - 1) / needed), 0)"
            " FROM packs JOIN placements USING(pack)"
        )
        return chunks, packed, shared

    # --- directory listings of the last night -----------------------------------------------

    def listing(self, path: bytes) -> bytes | None:
        """What the last complete scan saw in this directory, as `peer.backup.listing` wrote it."""
        row = self._row("SELECT listing FROM directories WHERE path=?", (path,))
        return None if row is None else bytes(row[0])

    def clear_staged(self) -> None:
        """Drop the listings of a night that did not end."""
        with _transaction(self._db, self._lock):
            self._db.execute("DELETE FROM staged")

    def stage_listings(self, rows: Sequence[tuple[bytes, bytes]]) -> None:
        """Keep tonight's listings aside until `adopt_listings`."""
        with _transaction(self._db, self._lock):
            self._db.executemany("INSERT OR REPLACE INTO staged(path, listing) VALUES(?,?)", rows)

    def adopt_listings(self) -> None:
        """Tonight's listings replace the former ones; every pack of tonight must be recorded."""
        with _transaction(self._db, self._lock):
            self._db.execute("DELETE FROM directories")
            self._db.execute("INSERT INTO directories SELECT path, listing FROM staged")
            self._db.execute("DELETE FROM staged")

    # --- snapshots and settings -------------------------------------------------------------

    def snapshots(self) -> list[SnapshotRow]:
        """Complete snapshots, oldest first."""
        rows = self._rows("SELECT id, time_ns, files, bytes FROM snapshots ORDER BY time_ns")
        return [SnapshotRow(ChunkId(row[0]), row[1], row[2], row[3]) for row in rows]

    def set_snapshots(self, rows: Sequence[SnapshotRow]) -> None:
        """Replace the list of complete snapshots by what a root record says."""
        with _transaction(self._db, self._lock):
            self._db.execute("DELETE FROM snapshots")
            self._db.executemany(
                "INSERT INTO snapshots(id, time_ns, files, bytes) VALUES(?,?,?,?)",
                [(row.id, row.time_ns, row.files, row.bytes) for row in rows],
            )

    def get_meta(self, key: str) -> bytes | None:
        """A small value kept by name, or None."""
        row = self._row("SELECT value FROM meta WHERE key=?", (key,))
        return None if row is None else bytes(row[0])

    def set_meta(self, key: str, value: bytes) -> None:
        """Keep a small value by name."""
        with _transaction(self._db, self._lock):
            self._db.execute("INSERT OR REPLACE INTO meta(key, value) VALUES(?,?)", (key, value))


class _transaction:  # noqa: N801 - reads as a statement
    """`with _transaction(db, lock):` all of it or nothing; takes the write lock at once."""

    def __init__(self, db: sqlite3.Connection, lock: threading.RLock) -> None:
        self._db, self._lock = db, lock

    def __enter__(self) -> None:
        self._lock.acquire()
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._db.execute("COMMIT" if kind is None else "ROLLBACK")
        finally:
            self._lock.release()
