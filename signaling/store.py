"""What the server remembers over a restart: groups and their members, nothing of their content.

A group is the hash of its name and its public key; a member is the hash of its identity key and a
card sealed with a key that the server does not have. The file is replaced whole: written beside,
synced, renamed, the folder synced; after a crash it is the old one or the new one.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Protocol

from tinydb import Storage, TinyDB

from signaling.messages import ID_BYTES, KEY_BYTES, MemberId
from signaling.rooms import Group


class StoreError(Exception):
    """The database cannot be read or written; the text says why."""


class Store(Protocol):
    """Where groups are remembered. Synchronous; called from one thread at a time."""

    def load(self) -> dict[bytes, Group]:
        """All groups by name id. Raises StoreError."""
        ...

    def save(self, groups: list[Group]) -> None:
        """Remember these groups as they are now, durably; forget those without members.

        Raises StoreError, and then nothing has changed.
        """
        ...

    def close(self) -> None:
        """No more calls."""
        ...


class AtomicJsonStorage(Storage):
    """TinyDB's storage in one JSON file that is always whole."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)

    def read(self) -> dict[str, dict[str, Any]] | None:
        """All tables, or None for a new database."""
        try:
            text = self._path.read_text("utf-8")
        except FileNotFoundError:
            return None
        try:
            tables: dict[str, dict[str, Any]] = json.loads(text)
        except ValueError as error:
            raise StoreError(f"{self._path} is damaged: {error}") from error
        return tables

    def write(self, data: dict[str, dict[str, Any]]) -> None:
        """Replace all tables."""
        temporary = self._path.with_suffix(".new")
        with temporary.open("w", encoding="utf-8") as file:
            os.chmod(temporary, 0o600)
            json.dump(data, file, separators=(",", ":"))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)
        if sys.platform != "win32":
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def close(self) -> None:
        """Nothing is open between calls."""


class TinyDbStore:
    """The default: one small JSON database in the server's folder."""

    def __init__(self, path: Path) -> None:
        self._db = TinyDB(str(path), storage=AtomicJsonStorage)
        self._groups = self._db.table("groups", cache_size=0)

    def load(self) -> dict[bytes, Group]:
        """All groups by name id. Raises StoreError."""
        groups: dict[bytes, Group] = {}
        try:
            for row in self._groups.all():
                group = _group_of(row)
                groups[group.name_id] = group
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise StoreError(f"the database is damaged: {error}") from error
        return groups

    def save(self, groups: list[Group]) -> None:
        """Remember these groups, with one write for all of them. Raises StoreError."""

        def change(table: dict[Any, Any]) -> None:
            rows = {row["name_id"]: number for number, row in table.items()}
            free = max((int(number) for number in table), default=0) + 1
            for group in groups:
                number = rows.get(group.name_id.hex())
                if not group.members:
                    table.pop(number, None)
                    continue
                if number is None:
                    number, free = str(free), free + 1
                table[number] = _row_of(group)

        try:
            tables = self._db.storage.read() or {}
            change(tables.setdefault("groups", {}))
            self._db.storage.write(tables)
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise StoreError(f"the database cannot be written: {error}") from error

    def close(self) -> None:
        """No more calls."""
        self._db.close()


def _row_of(group: Group) -> dict[str, Any]:
    return {
        "name_id": group.name_id.hex(),
        "group_key": group.group_key.hex(),
        "members": {member.hex(): card.hex() for member, card in group.members.items()},
    }


def _group_of(row: dict[str, Any]) -> Group:
    name_id, group_key = bytes.fromhex(row["name_id"]), bytes.fromhex(row["group_key"])
    if len(name_id) != ID_BYTES or len(group_key) != KEY_BYTES:
        raise ValueError("an id has another length")
    members = {
        MemberId(bytes.fromhex(member)): bytes.fromhex(card)
        for member, card in row["members"].items()
    }
    return Group(name_id, group_key, members)
