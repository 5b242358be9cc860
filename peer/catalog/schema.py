"""The catalog's tables, and how older ones become today's.

A chunk is known by its id to the formats and by a number to the catalog: four bytes instead of 32
wherever one is referred to, so that the sweep walks millions of them in memory. A number is given
once and stays with the chunk when it moves to another pack.
"""

from __future__ import annotations

import re
import sqlite3
from array import array

from chunking.formats import PACK_INDEX
from peer.catalog.rows import CatalogError

SCHEMA_VERSION = 2

SCHEMA = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

CREATE TABLE packs(
  pack INTEGER PRIMARY KEY AUTOINCREMENT,
  id BLOB NOT NULL UNIQUE,
  kind INTEGER NOT NULL,
  needed INTEGER NOT NULL,
  length INTEGER NOT NULL,
  shares BLOB NOT NULL,                  -- 32-byte names by number
  safe INTEGER NOT NULL DEFAULT 0,       -- enough holders have acknowledged
  index_pack INTEGER NOT NULL DEFAULT 0, -- the index pack that lists it; 0: none yet
  next_index INTEGER NOT NULL DEFAULT 0, -- will be `index_pack` once a root record names it
  removed_by INTEGER NOT NULL DEFAULT 0, -- will be no more once a root record names that index pack
  is_copy INTEGER NOT NULL DEFAULT 0     -- its chunks still belong to the packs it was made from
);
CREATE INDEX packs_unsafe ON packs(pack) WHERE safe = 0;
CREATE INDEX packs_unlisted ON packs(pack) WHERE index_pack = 0;
CREATE INDEX packs_of_index ON packs(index_pack);

CREATE TABLE contents(                   -- which chunks belong to a pack, in its order
  pack INTEGER PRIMARY KEY,
  ids BLOB NOT NULL,                     -- 32 bytes each
  numbers BLOB NOT NULL,                 -- 4 bytes each, as are the next two
  offsets BLOB NOT NULL,
  lengths BLOB NOT NULL
);
CREATE TABLE chunks(
  id BLOB PRIMARY KEY,
  number INTEGER NOT NULL,
  pack INTEGER NOT NULL,                 -- 0: its bytes were lost; it keeps its number
  offset INTEGER NOT NULL,
  length INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE nodes(                      -- what a metadata chunk refers to, by numbers
  number INTEGER PRIMARY KEY, nodes BLOB NOT NULL, leaves BLOB NOT NULL
);
CREATE TABLE tombstones(                 -- packs that are no more, and that index packs still list
  id BLOB PRIMARY KEY,
  listed_in INTEGER NOT NULL,            -- the index pack that lists it
  said_by INTEGER NOT NULL,              -- the index pack that says that it is no more; 0: none yet
  next_by INTEGER NOT NULL DEFAULT 0     -- will be `said_by` once a root record names it
) WITHOUT ROWID;

CREATE TABLE placements(
  pack INTEGER NOT NULL, number INTEGER NOT NULL, holder BLOB NOT NULL,
  PRIMARY KEY(pack, number)
) WITHOUT ROWID;

CREATE TABLE directories(
  directory INTEGER PRIMARY KEY,
  path BLOB NOT NULL UNIQUE,
  files_print BLOB NOT NULL,
  folders_print BLOB NOT NULL,
  level INTEGER NOT NULL,
  ids BLOB NOT NULL,
  files INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  listing BLOB NOT NULL
);
CREATE TABLE snapshots(                  -- in the order of the root record
  place INTEGER PRIMARY KEY,
  id BLOB NOT NULL, time_ns INTEGER NOT NULL, files INTEGER NOT NULL, bytes INTEGER NOT NULL
);
"""


def migrate(db: sqlite3.Connection) -> None:
    """Bring any older catalog to today's tables. Raises CatalogError for a newer one."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise CatalogError("the catalog was written by a newer Covey; please update")
    if version == SCHEMA_VERSION:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        if version == 0:
            _create(db)
        if version == 1:
            _from_1(db)
        db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def _create(db: sqlite3.Connection) -> None:
    for statement in re.sub(r"--.*", "", SCHEMA).split(";"):
        db.execute(statement)


def _from_1(db: sqlite3.Connection) -> None:
    """Version 1 had no numbers and no sweep. Its cached listings go: every file is read once more.

    Which index pack lists which pack was not kept either, so all are to be listed anew; the old
    index packs then list nothing that counts, and go when the new one is published.
    """
    for table in ("packs", "chunks", "placements", "snapshots", "meta"):
        db.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    for name in ("packs_unsafe", "directories", "staged"):
        kind = "INDEX" if name == "packs_unsafe" else "TABLE"
        db.execute(f"DROP {kind} {name}")
    _create(db)
    db.execute(
        "INSERT INTO packs(pack, id, kind, needed, length, shares, safe)"
        " SELECT pack, id, kind, needed, length, shares, safe FROM old_packs"
    )
    db.execute("INSERT INTO placements SELECT pack, number, holder FROM old_placements")
    db.execute(
        "INSERT INTO snapshots(id, time_ns, files, bytes)"
        " SELECT id, time_ns, files, bytes FROM old_snapshots ORDER BY time_ns"
    )
    db.execute("INSERT INTO meta SELECT key, value FROM old_meta")
    number = 0
    rows = db.execute("SELECT pack, id, offset, length FROM old_chunks ORDER BY pack, offset")
    for pack, chunks in _grouped(rows):
        numbers = array("I", range(number + 1, number + 1 + len(chunks)))
        number += len(chunks)
        db.executemany(
            "INSERT INTO chunks(id, number, pack, offset, length) VALUES(?,?,?,?,?)",
            [(c[0], n, pack, c[1], c[2]) for n, c in zip(numbers, chunks, strict=True)],
        )
        db.execute(
            "INSERT INTO contents(pack, ids, numbers, offsets, lengths) VALUES(?,?,?,?,?)",
            (
                pack,
                b"".join(c[0] for c in chunks),
                numbers.tobytes(),
                array("I", (c[1] for c in chunks)).tobytes(),
                array("I", (c[2] for c in chunks)).tobytes(),
            ),
        )
    db.execute(
        "INSERT OR REPLACE INTO meta(key, value) VALUES('number', ?)", (number.to_bytes(8, "big"),)
    )
    db.execute("UPDATE packs SET index_pack=pack WHERE kind=?", (PACK_INDEX,))
    for table in ("packs", "chunks", "placements", "snapshots", "meta"):
        db.execute(f"DROP TABLE old_{table}")


def _grouped(rows: sqlite3.Cursor) -> list[tuple[int, list[tuple[bytes, int, int]]]]:
    """Rows (pack, id, offset, length), sorted, as one list a pack."""
    packs: dict[int, list[tuple[bytes, int, int]]] = {}
    for pack, ident, offset, length in rows.fetchall():
        packs.setdefault(pack, []).append((ident, offset, length))
    return list(packs.items())
