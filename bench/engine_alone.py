"""The pipeline alone: files to shares on disk, and back, without friends or network."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from chunking.erasure import payload_length_of
from chunking.formats import NONCE_BYTES, PACK_DATA, PACK_INDEX, ChunkId, PackId, SnapshotRef
from chunking.keys import MemberKeys
from chunking.pack import target_for
from chunking.root import RootRecord, seal_root
from peer.backup.indexing import pack_ref
from peer.backup.messages import Failed, NightReady, PackMade, Recipe, StartBackup
from peer.backup.pool import ProcessPool
from peer.backup.run import BackupRun
from peer.catalog import Catalog, PackRow, SnapshotRow
from peer.member import SCRATCH_BYTES_MAX
from peer.restore.messages import (
    HavePack,
    HaveRange,
    NeedPack,
    NeedRange,
    RestoreDone,
    StartRestore,
    range_file,
    share_file,
)
from peer.restore.run import RestoreRun
from peer.upkeep.redundancy import SEEN_WITHIN_DAY, choose_code
from peer.upkeep.retention import KEEP_MAX, Keep

MASTER = b"benchmark master key, 32 bytes!!"
FRIENDS = 5
DAY_NS = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class NightBytes:
    """A night before erasure coding: what went out of files' content and of all else (trees,
    index, one copy of the root record), and what all nights so far keep."""

    data_bytes: int
    metadata_bytes: int
    stored_bytes: int


class LocalAgent:
    """Takes the place of the agent: everything is shipped at once, shares come from the spool."""

    def __init__(self, spool: Path, catalog: Path, scratch: Path) -> None:
        self._spool, self._scratch = spool, scratch
        self._catalog_path = catalog
        self._waiting: list[Any] = []
        self.made: list[PackMade] = []
        self.last: Any = None

    def send(self, message: Any) -> None:  # noqa: ANN401 - any message of the engine
        self.last = message
        if isinstance(message, NeedPack):
            self._waiting.append(self._fetch(message.row))
        elif isinstance(message, NeedRange):
            self._waiting.append(self._fetch_range(message))
        elif isinstance(message, PackMade):
            self.made.append(message)

    def poll(self, *, wait: bool) -> list[Any]:
        assert self._waiting or not wait
        waiting, self._waiting = self._waiting, []
        return waiting

    def _row(self, number: int) -> PackRow:
        catalog = Catalog(self._catalog_path)
        row = catalog.pack(number)
        catalog.close()
        return row

    def _fetch_range(self, need: NeedRange) -> HaveRange:
        with (self._spool / self._row(need.row).id.hex()).open("rb") as file:
            data = os.pread(file.fileno(), need.length, need.offset)
        (self._scratch / range_file(need.row, need.offset, need.length)).write_bytes(data)
        return HaveRange(need.row, need.offset, need.length)

    def _fetch(self, number: int) -> HavePack:
        row = self._row(number)
        size = payload_length_of(row.length, row.needed)
        with (self._spool / row.id.hex()).open("rb") as file:
            for share in range(row.needed):
                (self._scratch / share_file(number, share)).write_bytes(file.read(size))
        return HavePack(number, list(range(row.needed)))


class EngineAlone:
    """A member whose friends are a folder."""

    def __init__(self, home: Path, workers: int) -> None:
        self._home, self._workers = home, workers
        self._spool, self._scratch = home / "spool", home / "scratch"
        for folder in (home, self._spool, self._scratch):
            folder.mkdir()
        self._catalog = home / "catalog.sqlite"
        self._first_ns = time.time_ns()
        self._nights = 0
        self.last_night = NightBytes(0, 0, 0)

    def backup(self, folder: Path) -> float:
        """One night, a day after the one before; all snapshots are kept. Seconds."""
        code = choose_code([SEEN_WITHIN_DAY] * FRIENDS)
        recipe = Recipe(
            owner=b"o" * 32,
            needed=code.needed,
            total=code.total,
            pack_bytes=target_for(code.needed),
            spool=str(self._spool),
        )
        start = StartBackup(
            master=MASTER,
            catalog=str(self._catalog),
            recipe=recipe,
            marks=[os.fsencode(folder)],
            exclude=[],
            member_name="bench",
            time_ns=self._first_ns + self._nights * DAY_NS,
            workers=self._workers,
            spool_bytes_max=1 << 50,
            spool_bytes=0,
            scratch=str(self._scratch),
            keep=str(Keep(daily=KEEP_MAX)),
        )
        self._nights += 1
        agent = LocalAgent(self._spool, self._catalog, self._scratch)
        begun = time.perf_counter()
        make_pool = partial(ProcessPool, MASTER, recipe, self._workers)
        BackupRun(start, agent, make_pool, os.urandom).run()
        os.sync()
        seconds = time.perf_counter() - begun
        ready = agent.last
        if not isinstance(ready, NightReady):
            raise RuntimeError(ready.text if isinstance(ready, Failed) else "no snapshot")
        self.last_night = self._complete(ready, agent.made)
        return seconds

    def restore(self, target: Path) -> float:
        """The newest snapshot from the spool; seconds."""
        catalog = Catalog(self._catalog)
        row = catalog.snapshots()[-1]
        catalog.close()
        start = StartRestore(
            master=MASTER,
            catalog=str(self._catalog),
            snapshot=row.id,
            target=os.fsencode(target),
            paths=[],
            overwrite="always",
            scratch=str(self._scratch),
            scratch_bytes_max=SCRATCH_BYTES_MAX,
            workers=self._workers,
        )
        agent = LocalAgent(self._spool, self._catalog, self._scratch)
        begun = time.perf_counter()
        RestoreRun(start, agent).run()
        os.sync()
        seconds = time.perf_counter() - begun
        done = agent.last
        if not isinstance(done, RestoreDone) or done.lost:
            raise RuntimeError("the restore is not whole")
        return seconds

    def _complete(self, ready: NightReady, made: list[PackMade]) -> NightBytes:
        """What the agent does when all packs are safe: a root record, and its consequences."""
        catalog = Catalog(self._catalog)
        catalog.record_placements([], {row.pack for row in catalog.unsafe_packs()})
        new = SnapshotRow(ChunkId(ready.snapshot), ready.time_ns, ready.files, ready.size)
        catalog.set_snapshots([*catalog.snapshots(), new])
        index_packs = list(catalog.packs(kind=PACK_INDEX))
        catalog.settle(row.id for row in index_packs)
        record = RootRecord(
            counter=self._nights,
            time_ns=ready.time_ns,
            snapshots=tuple(
                SnapshotRef(s.id, s.time_ns, s.files, s.bytes, True) for s in catalog.snapshots()
            ),
            index_packs=tuple(map(pack_ref, index_packs)),
        )
        stored = {row.id: row.length for row in catalog.packs()}
        catalog.close()
        for path in self._spool.iterdir():
            if PackId(bytes.fromhex(path.name)) not in stored:
                path.unlink()
        root = len(seal_root(MemberKeys.from_master(MASTER), record, os.urandom(NONCE_BYTES)))
        data = sum(pack.length for pack in made if pack.kind == PACK_DATA)
        metadata = sum(pack.length for pack in made if pack.kind != PACK_DATA)
        return NightBytes(data, metadata + root, sum(stored.values()) + root)

    def stored_bytes(self) -> int:
        """Bytes of all shares."""
        return sum(path.stat().st_size for path in self._spool.iterdir())
