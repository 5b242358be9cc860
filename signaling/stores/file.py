"""The default store: one small JSON file in a folder that belongs to one server at a time.

A group is the hash of its name and its public key; a member is the hash of its identity key and a
card sealed with a key that the server does not have. The file is replaced whole: written beside,
synced, renamed, the folder synced; after a crash it is the old one or the new one.

All groups are in memory, as TinyDB has them. One task writes them down in a thread: all that came
up meanwhile in one go, and a quarter of the time at most, however large the database. The file is
encoded row by row, so that the event loop gets its turns meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from tinydb import Storage, TinyDB

from signaling.config import Limits
from signaling.messages import (
    CARD_BYTES_MAX,
    ID_BYTES,
    KEY_BYTES,
    MEMBERS_MAX,
    MOVE_BYTES_MAX,
    MemberId,
    MoveNotice,
    decode_move,
    encode_move,
)
from signaling.notices import Entered, Found, Group, Left, Moving, Notice
from signaling.stores import Listener, StoreError

if sys.platform != "win32":
    import fcntl

log = logging.getLogger("covey.signaling")

WRITE_BYTES = 1 << 20
SAVE_RETRY_S = 5.0
SAVE_REST_FACTOR = 3.0
"""A large database takes long to write; the disk rests this many times as long as that took."""
MEMBER_OVERHEAD_BYTES = 64
"""What remembering a member costs beside its card: its id and its place."""

Table = dict[str, dict[str, Any]]
"""As TinyDB has it: the rows by their number."""
Hex32 = Annotated[str, msgspec.Meta(pattern=f"^[0-9a-f]{{{2 * ID_BYTES}}}$")]
HexCard = Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{2})*$", max_length=2 * CARD_BYTES_MAX)]
HexMove = Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{2})*$", max_length=2 * MOVE_BYTES_MAX)]

assert ID_BYTES == KEY_BYTES == 32


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
    """The groups of one server. The file is read before the first use."""

    is_shared = False

    def __init__(self, folder: Path, limits: Limits) -> None:
        """Open or create it, which may take a while. Raises StoreError."""
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _lock(folder / "lock")
        except OSError as error:
            raise StoreError(f"{folder} cannot be used: {error.strerror}") from error
        self._path, self._limits = folder / "groups.json", limits
        self._db = TinyDB(str(self._path), storage=AtomicJsonStorage)
        self._rows: Table = {}
        self._numbers: dict[str, str] = {}
        self._cards_bytes = 0
        self._is_changed = False
        self._wake = asyncio.Event()
        self._ending = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None
        self.failures = 0
        try:
            self._read()
        except StoreError:
            self._release()
            raise

    @property
    def is_ready(self) -> bool:
        """Always: it needs nobody."""
        return True

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return len(self._rows)

    @property
    def takes_groups(self) -> bool:
        """Whether there is room for another group."""
        return len(self._rows) < self._limits.groups_max

    @property
    def takes_members(self) -> bool:
        """Whether there is room for another member."""
        return self._cards_bytes < self._limits.cards_bytes_max

    async def open(self, listener: Listener) -> None:
        """Begin to write what changes. Nobody else is ever heard of."""
        self._writing = asyncio.create_task(self._write_changes())

    async def find(self, name_id: bytes) -> Found:
        """What is known of a group."""
        number = self._numbers.get(name_id.hex())
        return Found(None if number is None else _group_of(self._rows[number]))

    def tell(self, notice: Notice) -> None:
        """This happened. It is on disk soon."""
        match notice:
            case Entered(name_id, group_key, member, card, _, True):
                members = self._members_of(name_id) | {member.hex(): card.hex()}
                self._replace(name_id, members, group_key)
            case Left(name_id, member):
                members = self._members_of(name_id)
                left = {other: card for other, card in members.items() if other != member.hex()}
                self._replace(name_id, left)
            case Moving(name_id, move):
                self._move(name_id.hex(), move)
            case _:
                return
        self._is_changed = True
        self._wake.set()

    async def record(self, notice: Notice) -> None:
        """As `tell`: who was told of a group that a crash forgot makes it anew."""
        self.tell(notice)

    async def close(self) -> None:
        """Write a last time."""
        self._ending.set()
        self._wake.set()
        if self._writing is not None:
            await self._writing
        self._release()

    def _release(self) -> None:
        self._db.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _read(self) -> None:
        try:
            rows = {str(row.doc_id): dict(row) for row in self._db.table("groups", cache_size=0)}
            for row in rows.values():
                _group_of(row)
        except (msgspec.MsgspecError, ValueError, TypeError, AttributeError, RecursionError) as e:
            raise StoreError(
                f"{self._path} is damaged ({e}). Move it away: members make their groups anew."
            ) from e
        except OSError as error:
            raise StoreError(f"{self._path} cannot be read: {error.strerror}") from error
        self._rows = rows
        self._numbers = {row["name_id"]: number for number, row in rows.items()}
        self._cards_bytes = sum(_size_of(row["members"]) for row in rows.values())

    def _members_of(self, name_id: bytes) -> dict[str, str]:
        number = self._numbers.get(name_id.hex())
        members: dict[str, str] = {} if number is None else self._rows[number]["members"]
        return members

    def _replace(
        self, name_id: bytes, members: dict[str, str], group_key: bytes | None = None
    ) -> None:
        """Rows are replaced, never altered: the thread that writes has those of its moment."""
        name = name_id.hex()
        self._cards_bytes += _size_of(members) - _size_of(self._members_of(name_id))
        if not members:
            self._rows.pop(self._numbers.pop(name, ""), None)
            return
        if name not in self._numbers:
            assert group_key is not None
            last = next(reversed(self._rows), "0")  # numbers are given in order
            self._numbers[name] = str(int(last) + 1)
            self._rows[self._numbers[name]] = {"name_id": name, "group_key": group_key.hex()}
        self._rows[self._numbers[name]] = self._rows[self._numbers[name]] | {"members": members}

    def _move(self, name: str, notice: MoveNotice) -> None:
        row = self._rows.get(self._numbers.get(name, ""))
        known = None if row is None else _group_of(row).moved
        if row is not None and (known is None or known.number < notice.number):
            self._rows[self._numbers[name]] = row | {"moved": encode_move(notice).hex()}

    # --- writing ----------------------------------------------------------------------------

    async def _write_changes(self) -> None:
        """Write what changed until the end, and then a last time."""
        loop = asyncio.get_running_loop()
        while not self._ending.is_set():
            await self._wake.wait()
            self._wake.clear()
            began = loop.time()
            written = await self._write()
            pause_s = (loop.time() - began) * SAVE_REST_FACTOR if written else SAVE_RETRY_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._ending.wait()
            if not written:
                self._wake.set()
        await self._write()

    async def _write(self) -> bool:
        if not self._is_changed:
            return True
        self._is_changed = False
        rows = dict(self._rows)
        try:
            await asyncio.to_thread(self._db.storage.write, {"groups": rows})
        except OSError as error:
            log.error("changes cannot be remembered now: %s", error.strerror)
            self.failures += 1
            self._is_changed = True
            return False
        return True


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    name_id: Hex32
    group_key: Hex32
    members: Annotated[dict[Hex32, HexCard], msgspec.Meta(max_length=MEMBERS_MAX)]
    moved: HexMove = ""


def _size_of(members: dict[str, str]) -> int:
    return sum(len(card) // 2 + MEMBER_OVERHEAD_BYTES for card in members.values())


def _group_of(row: dict[str, Any]) -> Group:
    checked = msgspec.convert(row, _Row)
    members = {
        MemberId(bytes.fromhex(member)): bytes.fromhex(card)
        for member, card in checked.members.items()
    }
    moved = decode_move(bytes.fromhex(checked.moved)) if checked.moved else None
    return Group(bytes.fromhex(checked.name_id), bytes.fromhex(checked.group_key), members, moved)


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
