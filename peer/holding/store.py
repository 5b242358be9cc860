"""Friends' shares on this disk: within the limit, durable before it is said so, resumable.

A put is begun, appended to, and finished or aborted. Space for the whole share is reserved before
its first byte, so the limit cannot be exceeded, not even for a moment. While bytes arrive they are
hashed; only a share whose bytes have its name is synced, renamed into place and acknowledged. The
beginning of a broken put stays for the next attempt.

Deleted shares move to the trash for 14 observed days, so that malware on an owner's computer
cannot wipe its backups tonight; when space is needed, the oldest trash goes first, and then what
owners have who said goodbye or were not seen for 120 observed days.

Every method is synchronous and may be called from any thread.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chunking.formats import BLOCK_BYTES, SHARE_HEADER_BYTES, FormatError
from chunking.share import ShareHasher, decode_header, payload_length
from peer.holding import disk
from peer.holding.layout import Layout, hex_name, list_folder
from peer.holding.observed import ObservedTime
from peer.holding.owners import Owners
from peer.holding.reading import HeldRange, LeafCache, RottenShare, open_range
from peer.holding.records import Records
from peer.holding.refusals import BadShare, Busy, NoRoom, Stale, as_no_room
from peer.state import drop_unfinished, sync_folder
from signaling.messages import MemberId

__all__ = ["BadShare", "Busy", "NoRoom", "Put", "ShareStore", "Stale"]

log = logging.getLogger("covey.holding")

FREE_BYTES_MIN = 512 << 20
"""What always stays free on the disk, whatever was offered."""
PARTIAL_DAYS = 7
TRASH_DAYS = 14
HASH_BYTES = 1 << 20


@dataclass(slots=True, eq=False)
class Put:
    """A put under way. `offset` is where the payload goes on; at the end there is nothing to do."""

    owner: MemberId
    name: bytes
    length: int
    offset: int
    path: Path
    fd: int
    hasher: ShareHasher | None
    reserved: int


class ShareStore:
    """All that this member keeps for others."""

    def __init__(
        self,
        root: Path,
        *,
        limit_bytes: int,
        wall_s: Callable[[], float],
        monotonic_s: Callable[[], float],
        free_bytes_min: int = FREE_BYTES_MIN,
    ) -> None:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._layout = Layout(root)
        self._free_bytes_min = free_bytes_min
        self._lock = threading.RLock()
        self._leaves = LeafCache()
        self._putting: set[tuple[bytes, bytes]] = set()
        self._time = ObservedTime(self._layout.observed, wall_s=wall_s, monotonic_s=monotonic_s)
        self.limit_bytes = limit_bytes
        for folder in (root, *self._layout.owners()):
            drop_unfinished(folder)
        self._trash_bytes = disk.size_below(self._layout.trash)
        self._used = self._trash_bytes + sum(map(disk.size_below, self._layout.owners()))
        present = [bytes.fromhex(folder.name) for folder in self._layout.owners()]
        self.owners = Owners(self._layout.owners_file, present, lambda: self._time.day)
        self.records = Records(self._layout, self._take_room)
        self._spare: dict[bytes, int] = {}
        self.expire()

    @property
    def used_bytes(self) -> int:
        """Bytes of shares, beginnings, root records and trash, with what is reserved."""
        return self._used

    @property
    def kept_bytes(self) -> int:
        """The same without what need not stay: trash, and what silent owners have."""
        return self._used - self._trash_bytes - sum(self._spare.values())

    def used_by_owner(self) -> dict[bytes, int]:
        """Bytes kept for each owner, trash left out. Looks at every file: do not call it often."""
        folders = self._layout.owners()
        return {bytes.fromhex(folder.name): disk.size_below(folder) for folder in folders}

    def shares_by_owner(self) -> dict[bytes, int]:
        """Bytes of whole shares alone, for each owner; as costly."""
        owners = [bytes.fromhex(folder.name) for folder in self._layout.owners()]
        return {owner: disk.size_below(self._layout.shares(owner)) for owner in owners}

    def used_by(self, owner: MemberId) -> int:
        """The same for one owner."""
        return disk.size_below(self._layout.root / hex_name(owner))

    def has(self, owner: MemberId, name: bytes) -> bool:
        """Whether a share is here; it may have rotted."""
        return self._layout.share(owner, name).exists()

    def free_bytes(self) -> int:
        """How much could be taken now, given up what need not stay."""
        with self._lock:
            kept = self.kept_bytes
            return max(0, min(self.limit_bytes - kept, self.room_bytes() + self._used - kept))

    # --- putting ----------------------------------------------------------------------------

    def begin_put(self, owner: MemberId, name: bytes, header: bytes, length: int) -> Put:
        """Raises NoRoom, BadShare, Busy. A share that is here already has nothing left to send."""
        self._check_header(owner, header, length)
        with self._lock:
            if (owner, name) in self._putting:
                raise Busy
            final = self._layout.share(owner, name)
            self._drop_rotten(owner, name, final)
            if final.exists() or self._untrash(owner, name, final):
                return Put(owner, name, length, length, final, -1, None, 0)
            self._putting.add((owner, name))
            try:
                return self._open_partial(owner, name, header, length)
            except BaseException:
                self._putting.discard((owner, name))
                raise

    def append(self, put: Put, data: bytes) -> None:
        """The next bytes of the payload. Raises NoRoom, BadShare; then call `abort`."""
        assert put.hasher is not None
        try:
            put.hasher.update(data)
            disk.write_all(put.fd, data)
        except FormatError as error:
            raise BadShare(str(error)) from error
        except OSError as error:
            raise as_no_room(error) from error
        put.offset += len(data)

    def finish_put(self, put: Put) -> None:
        """Make it durable; only when this returns may it be acknowledged.

        Raises BadShare (the bytes are gone then) or NoRoom.
        """
        if put.hasher is None:
            return
        try:
            name = put.hasher.finish()
        except FormatError as error:
            self._drop(put)
            raise BadShare(str(error)) from error
        if name != put.name:
            self._drop(put)
            raise BadShare("its bytes do not have its name")
        try:
            os.fsync(put.fd)
            final = self._layout.share(put.owner, put.name)
            disk.make_folder(final.parent)
            os.rename(put.path, final)
            sync_folder(final.parent)
        except OSError as error:
            self.abort(put)
            raise as_no_room(error) from error
        os.close(put.fd)
        self._release(put)

    def abort(self, put: Put) -> None:
        """Give up for now; what has arrived stays for the next attempt."""
        if put.hasher is None:
            return
        kept = os.fstat(put.fd).st_size
        os.close(put.fd)
        with self._lock:
            self._used -= SHARE_HEADER_BYTES + put.length - kept
        self._release(put)

    def _drop_rotten(self, owner: MemberId, name: bytes, final: Path) -> None:
        """What bears this name and is not that share goes: it must never be said to be stored."""
        trashed = self._layout.find_trashed(owner, name)
        for path in (final, trashed):
            if path is None or not path.exists() or _is_share(path, name):
                continue
            log.warning("a held share has rotted: %s", name.hex()[:12])
            size = path.stat().st_size
            path.unlink()
            self._used -= size
            self._trash_bytes -= size if path == trashed else 0

    def _check_header(self, owner: MemberId, header: bytes, length: int) -> None:
        try:
            decoded = decode_header(header)
            if decoded.owner != owner:
                raise BadShare("its header names another owner")
            if payload_length(decoded) != length:
                raise BadShare("its length does not fit its header")
        except FormatError as error:
            raise BadShare(str(error)) from error

    def _open_partial(self, owner: MemberId, name: bytes, header: bytes, length: int) -> Put:
        path = self._layout.partial(owner, name, self._time.day)
        before = self._layout.find_partial(owner, name)
        have = before.stat().st_size if before is not None else 0
        more = SHARE_HEADER_BYTES + length - have
        self._make_room(more)
        try:
            disk.make_folder(path.parent)
            if before is not None and before != path:
                os.rename(before, path)
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise as_no_room(error) from error
        self._used += more
        put = Put(owner, name, length, 0, path, fd, ShareHasher(header), more)
        try:
            self._resume(put, header, have)
        except OSError as error:
            self.abort(put)
            raise as_no_room(error) from error
        return put

    def _resume(self, put: Put, header: bytes, have: int) -> None:
        """Go on behind the whole blocks that are here, if they belong to the same header."""
        assert put.hasher is not None
        blocks = max(0, min(have - SHARE_HEADER_BYTES, put.length)) // BLOCK_BYTES
        if os.pread(put.fd, SHARE_HEADER_BYTES, 0) != header:
            blocks = 0
        keep = SHARE_HEADER_BYTES + blocks * BLOCK_BYTES
        os.ftruncate(put.fd, keep if blocks else 0)
        if not blocks:
            disk.write_all(put.fd, header)
        os.lseek(put.fd, SHARE_HEADER_BYTES, os.SEEK_SET)
        left = blocks * BLOCK_BYTES
        while left:
            data = os.read(put.fd, min(HASH_BYTES, left))
            if not data:
                raise OSError(errno.EIO, "a file became shorter")
            put.hasher.update(data)
            left -= len(data)
        put.offset = blocks * BLOCK_BYTES

    def _drop(self, put: Put) -> None:
        os.close(put.fd)
        put.path.unlink(missing_ok=True)
        with self._lock:
            self._used -= SHARE_HEADER_BYTES + put.length
        self._release(put)

    def _release(self, put: Put) -> None:
        put.hasher = None
        with self._lock:
            self._putting.discard((put.owner, put.name))

    # --- reading, listing, deleting ---------------------------------------------------------

    def open_range(
        self, owner: MemberId, name: bytes, first_block: int, count: int
    ) -> HeldRange | None:
        """Blocks of a share (all from `first_block` when `count` is 0); None without the share.

        Raises BadShare for blocks that it does not have. Close what is returned.
        """
        try:
            path: Path | None = self._layout.share(owner, name)
            assert path is not None
            if not path.exists():
                path = self._layout.find_trashed(owner, name)
            if path is None:
                return None
            return open_range(path, (owner, name), (first_block, count), self._leaves)
        except FileNotFoundError:  # deleted for good at this moment
            return None
        except RottenShare:
            log.warning("a held share has rotted: %s", name.hex()[:12])
            raise BadShare("that share has rotted here") from None
        except ValueError as error:
            raise BadShare(str(error)) from error

    def list_after(
        self, owner: MemberId, after: bytes, limit: int
    ) -> tuple[list[tuple[bytes, int]], bool]:
        """A page of (name, payload length), ascending, and whether there are more."""
        page: list[tuple[bytes, int]] = []
        for name, size in self._layout.names_after(owner, after):
            if len(page) == limit:
                return page, True
            page.append((name, size - SHARE_HEADER_BYTES))
        return page, False

    def delete(self, owner: MemberId, names: tuple[bytes, ...]) -> int:
        """Move an owner's shares to the trash; how many were here."""
        count = 0
        for name in names:
            with self._lock:
                path = self._layout.share(owner, name)
                if not path.exists():
                    continue
                trashed = self._layout.trashed(owner, name, self._time.day)
                disk.make_folder(trashed.parent)
                os.rename(path, trashed)
                self._trash_bytes += trashed.stat().st_size
                count += 1
        return count

    def _untrash(self, owner: MemberId, name: bytes, final: Path) -> bool:
        trashed = self._layout.find_trashed(owner, name)
        if trashed is None:
            return False
        disk.make_folder(final.parent)
        os.rename(trashed, final)
        sync_folder(final.parent)
        self._trash_bytes -= final.stat().st_size
        return True

    # --- what owners sign ---------------------------------------------------------------------

    def put_root(self, owner: MemberId, record: bytes) -> None:
        """Keep an owner's root record, durably. Raises Stale, BadShare, NoRoom."""
        with self._lock:
            self.records.put_root(owner, record)

    def get_root(self, owner: MemberId) -> bytes | None:
        """An owner's root record, or None."""
        return self.records.get_root(owner)

    def put_duty(self, owner: MemberId, record: bytes) -> None:
        """Keep an owner's duty, durably. Raises Stale, BadShare, NoRoom."""
        with self._lock:
            self.records.put_duty(owner, record)
            self.owners.begin(owner)

    def _take_room(self, more: int) -> None:
        self._make_room(more)
        self._used += more

    # --- space ------------------------------------------------------------------------------

    def expire(self) -> None:
        """Drop trash and beginnings that have been here for long enough."""
        with self._lock:
            today = self._time.day
            for day in self._layout.trash_days():
                if today - day >= TRASH_DAYS:
                    self._drop_trash(day)
            for owner in self._layout.owners():
                for path in list_folder(owner / "partial"):
                    day_text = path.name.rpartition(".")[2]
                    old = day_text.isdecimal() and today - int(day_text) >= PARTIAL_DAYS
                    busy = any(path.name.startswith(n.hex()) for _, n in self._putting)
                    if old and not busy:
                        self._used -= path.stat().st_size
                        path.unlink()
            for gone in self.owners.over():
                self._drop_owner(gone)
            shares = self._layout.shares
            self._spare = {one: disk.size_below(shares(one)) for one in self.owners.spare()}

    def see(self, owner: MemberId) -> None:
        """This owner is there: what it has here stays."""
        if self.owners.is_noted_today(owner):
            return
        with self._lock:
            if self._layout.owner(owner).is_dir():
                self.owners.see(owner)
            self._spare.pop(owner, None)

    def say_goodbye(self, owner: MemberId) -> None:
        """This owner has left for good: what it has here goes after the days that trash stays."""
        with self._lock:
            self.owners.say_goodbye(owner)
            self.expire()

    def _make_room(self, more: int) -> None:
        """Raises NoRoom unless so many more bytes fit; gives up trash for it, oldest first, and
        then shares of owners who have left or were silent for long, no more than it takes."""
        if more > self.free_bytes():
            raise NoRoom("there is no room left")
        for day in self._layout.trash_days():
            if self._has_room(more):
                return
            self._drop_trash(day)
        for owner in self.owners.spare():
            for path in self._layout.share_files(owner):
                if self._has_room(more):
                    return
                size = path.stat().st_size
                path.unlink()
                self._used -= size
                self._spare[owner] = max(0, self._spare.get(owner, 0) - size)

    def _has_room(self, more: int) -> bool:
        return self._used + more <= self.limit_bytes and self.room_bytes() >= more

    def _drop_owner(self, owner: bytes) -> None:
        """All that is here of an owner who left."""
        folder = self._layout.owner(owner)
        size = disk.size_below(folder)
        shutil.rmtree(folder, ignore_errors=True)
        self._used -= size - disk.size_below(folder)
        if not folder.exists():
            self.owners.forget(owner)

    def _drop_trash(self, day: int) -> None:
        folder = self._layout.trash / str(day)
        size = disk.size_below(folder)
        shutil.rmtree(folder, ignore_errors=True)
        left = disk.size_below(folder)
        self._used -= size - left
        self._trash_bytes -= size - left

    def shrink(self) -> None:
        """Give up trash for a limit that has become lower; what owners have here stays."""
        with self._lock:
            self._make_room(0)

    def room_bytes(self) -> int:
        """What the disk could still take, less what always stays free."""
        return shutil.disk_usage(self._layout.root).free - self._free_bytes_min

    def close(self) -> None:
        """Nothing is open between calls; kept for symmetry with other stores."""


def _is_share(path: Path, name: bytes) -> bool:
    """Whether a file is the share of this name, to the last byte."""
    try:
        with path.open("rb") as file:
            hasher = ShareHasher(file.read(SHARE_HEADER_BYTES))
            while data := file.read(HASH_BYTES):
                hasher.update(data)
        return hasher.finish() == name
    except (FormatError, OSError):
        return False
