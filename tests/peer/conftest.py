"""What tests of the engine share: a member's backup and restore without any network."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chunking.erasure import payload_length_of
from chunking.formats import PACK_INDEX, PackId
from chunking.keys import MemberKeys
from peer.backup.messages import NightReady, Note, PackMade, Recipe, StartBackup
from peer.backup.pool import inline_pool
from peer.backup.run import BackupRun
from peer.catalog import Catalog, SnapshotRow
from peer.restore.messages import (
    HavePack,
    HaveRange,
    Lost,
    LostPack,
    NeedPack,
    NeedRange,
    RestoreDone,
    StartRestore,
    range_file,
    share_file,
)
from peer.restore.run import RestoreRun

MASTER = b"m" * 32
DAY_NS = 86_400 * 10**9
FIRST_NIGHT_NS = 4 * 10**18
"""Long after any change time of a file that a test makes: nothing counts as just written."""


@dataclass
class Heard:
    """The agent's side of an engine: answers from the spool, remembers all that is said."""

    spool: Path
    catalog: Path
    scratch: Path
    said: list[object] = field(default_factory=list)
    waiting: list[object] = field(default_factory=list)
    lost_packs: set[int] = field(default_factory=set)
    spoil: Callable[[bytes], bytes] = lambda data: data

    def send(self, message: object) -> None:
        self.said.append(message)
        if isinstance(message, NeedPack):
            self.waiting.append(self._answer(message.row))
        elif isinstance(message, NeedRange):
            self.waiting.append(self._answer_range(message))

    def poll(self, *, wait: bool) -> list[object]:
        assert self.waiting or not wait, "the engine waits for nothing"
        waiting, self.waiting = self.waiting, []
        return waiting

    def _answer(self, number: int) -> HavePack | LostPack:
        if number in self.lost_packs:
            return LostPack(number, "too few shares")
        catalog = Catalog(self.catalog)
        row = catalog.pack(number)
        catalog.close()
        size = payload_length_of(row.length, row.needed)
        data = (self.spool / row.id.hex()).read_bytes()
        numbers = list(range(row.total))[-row.needed :]  # the computed ones, to join for real
        for share in numbers:
            payload = data[share * size : (share + 1) * size]
            (self.scratch / share_file(number, share)).write_bytes(self.spoil(payload))
        return HavePack(number, numbers)

    def _answer_range(self, need: NeedRange) -> HaveRange | LostPack:
        if need.row in self.lost_packs:
            return LostPack(need.row, "too few shares")
        catalog = Catalog(self.catalog)
        row = catalog.pack(need.row)
        catalog.close()
        data = self.spoil((self.spool / row.id.hex()).read_bytes()[: row.length])
        part = data[need.offset : need.offset + need.length]
        (self.scratch / range_file(need.row, need.offset, need.length)).write_bytes(part)
        return HaveRange(need.row, need.offset, need.length)

    def of(self, kind: type) -> list:
        return [message for message in self.said if isinstance(message, kind)]


class LocalMember:
    """A member whose friends are a folder: nights and restores in this process."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.spool, self.scratch = home / "spool", home / "scratch"
        for folder in (home, self.spool, self.scratch):
            folder.mkdir()
        self.catalog_path = home / "catalog.sqlite"
        self.recipe = Recipe(
            owner=b"o" * 32, needed=2, total=4, pack_bytes=8 << 20, spool=str(self.spool)
        )
        self._random = itertools.count(1)
        self.lost_packs: set[int] = set()
        self.keys = MemberKeys.from_master(MASTER)
        self.nights = 0
        self.named: list[PackId] = []
        self.hold = b""

    def random_bytes(self, size: int) -> bytes:
        return next(self._random).to_bytes(size, "little")

    def night(
        self, *marks: Path, time_ns: int | None = None, completes: bool = True, **how: Any
    ) -> Heard:
        """One night; all that it made is safe at once, unless it is not to complete."""
        self.nights += 1
        heard = Heard(self.spool, self.catalog_path, self.scratch, lost_packs=self.lost_packs)
        start = StartBackup(
            master=MASTER,
            catalog=str(self.catalog_path),
            recipe=self.recipe,
            marks=[os.fsencode(mark) for mark in marks],
            exclude=[os.fsencode(self.home)],
            member_name="anna",
            time_ns=FIRST_NIGHT_NS + self.nights * DAY_NS if time_ns is None else time_ns,
            workers=0,
            spool_bytes_max=1 << 40,
            spool_bytes=0,
            scratch=str(self.scratch),
            hold=self.hold,
            **how,
        )
        self._settle()
        BackupRun(
            start,
            heard,
            lambda claim, made: inline_pool(MASTER, self.recipe, self.random_bytes, claim, made),
            self.random_bytes,
        ).run()
        for ready in heard.of(NightReady):
            if completes:
                self._complete(ready)
        return heard

    def _complete(self, ready: NightReady) -> None:
        """What the agent does when all packs are safe: a root record, and its consequences."""
        catalog = Catalog(self.catalog_path)
        catalog.record_placements([], {row.pack for row in catalog.unsafe_packs()})
        kept = [row for row in catalog.snapshots() if row.id in ready.kept]
        new = SnapshotRow(ready.snapshot, ready.time_ns, ready.files, ready.size)
        catalog.set_snapshots([*kept, new])
        self.named = [row.id for row in catalog.packs(kind=PACK_INDEX)]
        catalog.close()
        self.hold = ready.hold
        self._settle()

    def _settle(self) -> None:
        """The root record counts; what no pack of the catalog has is deleted at friends."""
        catalog = Catalog(self.catalog_path)
        catalog.settle(self.named)
        known = {row.id.hex() for row in catalog.packs()}
        catalog.close()
        for path in self.spool.iterdir():
            if path.name not in known:
                path.unlink()

    def stored_bytes(self) -> int:
        """Bytes of all packs, before coding."""
        catalog = Catalog(self.catalog_path)
        size = sum(row.length for row in catalog.packs())
        catalog.close()
        return size

    def restore(
        self,
        target: Path,
        *paths: Path,
        snapshot: int = -1,
        overwrite: str = "always",
        spoil: Callable[[bytes], bytes] = lambda data: data,
        **how: Any,
    ) -> Heard:
        """A restore, in this process unless `workers` says otherwise."""
        catalog = Catalog(self.catalog_path)
        row = catalog.snapshots()[snapshot]
        catalog.close()
        heard = Heard(
            self.spool,
            self.catalog_path,
            self.scratch,
            lost_packs=self.lost_packs,
            spoil=spoil,
        )
        start = StartRestore(
            master=MASTER,
            catalog=str(self.catalog_path),
            snapshot=row.id,
            target=os.fsencode(target),
            paths=[os.fsencode(path) for path in paths],
            overwrite=overwrite,
            scratch=str(self.scratch),
            scratch_bytes_max=64 << 20,
        )
        RestoreRun(msgspec.structs.replace(start, **how), heard).run()
        return heard


@pytest.fixture
def member(tmp_path) -> LocalMember:
    """A member without friends; see LocalMember."""
    return LocalMember(tmp_path / "member")


__all__ = ["Lost", "Note", "PackMade", "RestoreDone"]
