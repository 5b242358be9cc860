"""One connection to the catalog's file, and how threads and processes take turns at it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from peer.catalog.rows import CatalogError
from peer.catalog.schema import migrate

BUSY_TIMEOUT_MS = 60_000
"""The other process's transactions are short; a minute means that something is badly wrong."""
CACHE_KIB = 32_768
LOG_PAGES = 16_384
"""Of 4 KiB: at so many the log is brought into the file, which waits for the disk, and on some file
systems for all that others have written too. SQLite's own 1,000 would be every few packs."""
_SYNCED = "synced"
QUERY_IDS_MAX = 500
"""SQLite's limit on `?` in a statement is at least 999."""


class Database:
    """An open catalog file. The parts of `Catalog` build on it."""

    def __init__(self, path: Path) -> None:
        """Open or create. Raises CatalogError when the file is damaged or from a newer Covey."""
        self._db = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None, check_same_thread=False
        )
        self._lock = threading.RLock()
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
            self._db.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
            migrate(self._db)
        except CatalogError:
            self._db.close()
            raise
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise CatalogError(f"the catalog {path} is damaged: {error}") from error

    def close(self) -> None:
        """Close the connection; everything recorded stays."""
        with self._lock:
            self._db.close()

    def get_meta(self, key: str) -> bytes | None:
        """A small value kept by name, or None."""
        row = self._row("SELECT value FROM meta WHERE key=?", (key,))
        return None if row is None else bytes(row[0])

    def set_meta(self, key: str, value: bytes) -> None:
        """Keep a small value by name."""
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO meta(key, value) VALUES(?,?)", (key, value))

    def make_durable(self) -> None:
        """When this returns, all that was recorded survives a power cut, whoever recorded it.

        Commits are not synced one by one: until then a power cut may undo the last of them.
        """
        with self._lock:
            synced = int.from_bytes(self.get_meta(_SYNCED) or b"", "big")
            self._db.execute("PRAGMA synchronous=FULL")
            try:  # a commit that syncs the log syncs all that stands in it
                self.set_meta(_SYNCED, (synced + 1).to_bytes(8, "big"))
            finally:
                self._db.execute("PRAGMA synchronous=NORMAL")

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """All rows of a query. Under the lock: two threads must not step one connection."""
        with self._lock:
            return self._db.execute(query, values).fetchall()

    def _row(self, query: str, values: Sequence[Any] = ()) -> Any:  # noqa: ANN401 - SQLite's
        """The one row of a query, or None."""
        rows = self._rows(query, values)
        return rows[0] if rows else None

    def _pages(self, query: str, key: Any, size: int) -> Iterator[Any]:  # noqa: ANN401 - SQLite's
        """Rows of a query `... > ? ORDER BY <first column> LIMIT ?`, a page at a time.

        So that a long table is neither in memory at once nor stepped by two threads.
        """
        while rows := self._rows(query, (key, size)):
            yield from rows
            key = rows[-1][0]

    def _rows_in(self, query: str, values: Sequence[Any]) -> Iterator[Any]:
        """Rows of a query with `IN (?)`, asked for a few hundred values at a time."""
        for start in range(0, len(values), QUERY_IDS_MAX):
            part = values[start : start + QUERY_IDS_MAX]
            yield from self._rows(query.replace("(?)", f"({','.join('?' * len(part))})"), part)

    def _transaction(self) -> Transaction:
        return Transaction(self._db, self._lock)


class Transaction:
    """All of a `with` block or nothing; takes the write lock at once. One in another is one."""

    def __init__(self, db: sqlite3.Connection, lock: threading.RLock) -> None:
        self._db, self._lock = db, lock
        self._outermost = False

    def __enter__(self) -> None:
        self._lock.acquire()
        try:
            self._outermost = not self._db.in_transaction
            if self._outermost:
                self._db.execute("BEGIN IMMEDIATE")
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if self._outermost and kind is None:
                self._db.execute("COMMIT")
        finally:
            try:
                # Of a block or a commit that failed. A disk that is full has undone it already.
                if self._outermost and self._db.in_transaction:
                    self._db.execute("ROLLBACK")
            finally:
                self._lock.release()
