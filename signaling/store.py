"""What the server remembers over a restart: groups and their members, nothing of their content.

A group is the hash of its name and its public key; a member is the hash of its identity key and a
card sealed with a key that the server does not have. The file is replaced whole: written beside,
synced, renamed, the folder synced; after a crash it is the old one or the new one.

A write takes long when there are many groups, and is meant for a thread. The file is encoded row
by row, so that the event loop gets its turns meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Protocol

import msgspec
from tinydb import Storage, TinyDB

from signaling.messages import CARD_BYTES_MAX, ID_BYTES, KEY_BYTES, MEMBERS_MAX, MemberId
from signaling.rooms import Group

if sys.platform != "win32":
    import fcntl

WRITE_BYTES = 1 << 20

Table = dict[str, dict[str, Any]]
"""As TinyDB has it: the rows by their number."""
Hex32 = Annotated[str, msgspec.Meta(pattern=f"^[0-9a-f]{{{2 * ID_BYTES}}}$")]
HexCard = Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{2})*$", max_length=2 * CARD_BYTES_MAX)]

assert ID_BYTES == KEY_BYTES == 32


class StoreError(Exception):
    """The database cannot be read or written; the text says why."""


class Store(Protocol):
    """Where groups are remembered. Synchronous; called by one thread at a time."""

    def load(self) -> dict[bytes, Group]:
        """All groups by name id. Raises StoreError."""
        ...

    def save(self, groups: list[Group]) -> None:
        """Remember these groups as they are now, durably; forget those without members.

        Raises StoreError; the same groups may be given again then.
        """
        ...

    def close(self) -> None:
        """No more calls."""
        ...


class AtomicJsonStorage(Storage):
    """TinyDB's storage in one JSON file that is always whole."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def read(self) -> dict[str, Table] | None:
        """All tables, or None for a new database."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        return msgspec.json.decode(data, type=dict[str, Table])

    def write(self, data: dict[str, Table]) -> None:
        """Replace all tables."""
        temporary = self._path.with_suffix(".new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(temporary, flags, 0o600), "wb", buffering=WRITE_BYTES) as file:
            for piece in pieces_of(data):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._path)
        if sys.platform != "win32":
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def close(self) -> None:
        """Nothing is open between calls."""


class TinyDbStore:
    """The default: one small JSON database in a folder that belongs to one server at a time."""

    def __init__(self, folder: Path) -> None:
        """Open or create it. Raises StoreError."""
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _lock(folder / "lock")
        except OSError as error:
            raise StoreError(f"{folder} cannot be used: {error.strerror}") from error
        self._path = folder / "groups.json"
        self._db = TinyDB(str(self._path), storage=AtomicJsonStorage)
        self._rows: Table = {}
        self._numbers: dict[str, str] = {}

    def load(self) -> dict[bytes, Group]:
        """All groups by name id. Raises StoreError."""
        try:
            self._rows = {
                str(row.doc_id): dict(row) for row in self._db.table("groups", cache_size=0)
            }
            groups = [_group_of(row) for row in self._rows.values()]
        except (msgspec.MsgspecError, ValueError, TypeError, AttributeError, RecursionError) as e:
            raise StoreError(
                f"{self._path} is damaged ({e}). Move it away: members make their groups anew."
            ) from e
        except OSError as error:
            raise StoreError(f"{self._path} cannot be read: {error.strerror}") from error
        self._numbers = {row["name_id"]: number for number, row in self._rows.items()}
        return {group.name_id: group for group in groups}

    def save(self, groups: list[Group]) -> None:
        """Remember these groups, with one write for all of them. Raises StoreError."""
        for group in groups:
            self._change(group)
        try:
            self._db.storage.write({"groups": self._rows})
        except OSError as error:
            raise StoreError(f"{self._path} cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """No more calls."""
        self._db.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _change(self, group: Group) -> None:
        name = group.name_id.hex()
        if not group.members:
            self._rows.pop(self._numbers.pop(name, ""), None)
            return
        if name not in self._numbers:
            last = next(reversed(self._rows), "0")  # numbers are given in order
            self._numbers[name] = str(int(last) + 1)
        self._rows[self._numbers[name]] = {
            "name_id": name,
            "group_key": group.group_key.hex(),
            "members": {member.hex(): card.hex() for member, card in group.members.items()},
        }


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    name_id: Hex32
    group_key: Hex32
    members: Annotated[dict[Hex32, HexCard], msgspec.Meta(max_length=MEMBERS_MAX)]


def _group_of(row: dict[str, Any]) -> Group:
    checked = msgspec.convert(row, _Row)
    members = {
        MemberId(bytes.fromhex(member)): bytes.fromhex(card)
        for member, card in checked.members.items()
    }
    return Group(bytes.fromhex(checked.name_id), bytes.fromhex(checked.group_key), members)


def pieces_of(tables: dict[str, Table]) -> Iterator[bytes]:
    """The JSON text, a row at a time: one call for all of it would hold up every other thread."""
    yield b"{"
    for count, (name, rows) in enumerate(tables.items()):
        yield (b"," if count else b"") + msgspec.json.encode(name) + b":{"
        for row_count, (number, row) in enumerate(rows.items()):
            comma = b",\n" if row_count else b"\n"
            yield comma + msgspec.json.encode(number) + b":" + msgspec.json.encode(row)
        yield b"}"
    yield b"}\n"


def _lock(path: Path) -> int | None:
    """Hold the lock of a folder. Raises StoreError when another server does."""
    if sys.platform == "win32":
        return None
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        with contextlib.suppress(OSError):
            os.close(lock)
        raise StoreError(f"another server is at work in {path.parent}") from error
    return lock
