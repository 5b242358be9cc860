"""Packs while a restore needs them: asked of the agent, joined, verified, kept in scratch.

Joined packs lie in files that are mapped, so that memory is the system's to give and take. The
least recently used go when the scratch folder is full; asking for one again fetches it again.
"""

from __future__ import annotations

import mmap
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from chunking.erasure import join
from chunking.formats import FormatError
from chunking.pack import check_pack_id
from peer.backup.messages import Stop
from peer.catalog import Catalog, PackRow
from peer.restore.messages import HavePack, LostPack, NeedPack, share_file

ASKED_MAX = 6
"""Packs under way at a time: enough to keep several friends busy."""


class PackIsLost(Exception):
    """The text says why, for a person."""


class Stopped(Exception):
    """The agent wants the restore to end."""


class PackSource(Protocol):
    """The engine's way to the agent, as far as packs go."""

    def send(self, message: NeedPack) -> None:
        """Ask for a pack."""
        ...

    def poll(self, *, wait: bool) -> list[HavePack | LostPack | Stop]:
        """What has arrived; with `wait`, at least one."""
        ...


class Packs:
    """Gives chunks' bytes; hides where they come from."""

    def __init__(
        self, catalog: Catalog, source: PackSource, scratch: Path, scratch_bytes_max: int
    ) -> None:
        self._catalog, self._source = catalog, source
        self._scratch, self._bytes_max = scratch, scratch_bytes_max
        self._asked: set[int] = set()
        self._arrived: dict[int, list[int]] = {}
        self._lost: dict[int, str] = {}
        self._open: OrderedDict[int, mmap.mmap] = OrderedDict()
        self._bytes = 0

    def want(self, rows: Iterable[int]) -> None:
        """Ask for packs that will be needed soon, as far as there is room."""
        for row in rows:
            if len(self._asked) >= ASKED_MAX:
                return
            self._ask(row)

    def read(self, row: int, offset: int, length: int) -> bytes:
        """A range of a pack. Raises PackIsLost."""
        pack = self._open.get(row)
        if pack is None:
            pack = self._fetch(row)
        else:
            self._open.move_to_end(row)
        return pack[offset : offset + length]

    def close(self) -> None:
        """Remove what is left in the scratch folder."""
        while self._open:
            self._evict()

    def _ask(self, row: int) -> None:
        known = row in self._open or row in self._arrived or row in self._lost
        if not known and row not in self._asked:
            self._asked.add(row)
            self._source.send(NeedPack(row))

    def _fetch(self, row: int) -> mmap.mmap:
        self._ask(row)
        while row not in self._arrived:
            if row in self._lost:
                raise PackIsLost(self._lost[row])
            self._hear()
        return self._join(self._catalog.pack(row), self._arrived.pop(row))

    def _hear(self) -> None:
        for message in self._source.poll(wait=True):
            match message:
                case HavePack(row, numbers):
                    self._asked.discard(row)
                    self._arrived[row] = numbers
                case LostPack(row, text):
                    self._asked.discard(row)
                    self._lost[row] = text
                case Stop():
                    raise Stopped

    def _join(self, row: PackRow, numbers: list[int]) -> mmap.mmap:
        files = {number: self._scratch / share_file(row.pack, number) for number in numbers}
        try:
            payloads = {number: path.read_bytes() for number, path in files.items()}
            data = join(payloads, row.needed, row.length)
            check_pack_id(data, row.id)
        except FormatError as error:
            self._lost[row.pack] = f"its shares do not fit together ({error})"
            raise PackIsLost(self._lost[row.pack]) from error
        finally:
            for path in files.values():
                path.unlink(missing_ok=True)
        while self._open and self._bytes + row.length > self._bytes_max:
            self._evict()
        return self._keep(row.pack, data)

    def _keep(self, row: int, data: bytes) -> mmap.mmap:
        path = self._scratch / f"{row}.pack"
        path.write_bytes(data)
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        path.unlink()  # the mapping keeps it; nothing is left behind, however we end
        self._open[row] = mapped
        self._bytes += len(mapped)
        return mapped

    def _evict(self) -> None:
        _, mapped = self._open.popitem(last=False)
        self._bytes -= len(mapped)
        mapped.close()
