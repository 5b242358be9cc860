"""The pipeline alone: files to shares on disk, and back, without friends or network."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path
from typing import Any

from chunking.erasure import payload_length_of
from chunking.formats import ChunkId
from chunking.pack import target_for
from peer.backup.messages import Failed, NightReady, Recipe, StartBackup
from peer.backup.pool import ProcessPool
from peer.backup.run import BackupRun
from peer.catalog import Catalog, SnapshotRow
from peer.restore.messages import HavePack, NeedPack, RestoreDone, StartRestore, share_file
from peer.restore.run import RestoreRun
from peer.upkeep.placement import choose_code

MASTER = b"benchmark master key, 32 bytes!!"
FRIENDS = 5


class LocalAgent:
    """Takes the place of the agent: everything is shipped at once, shares come from the spool."""

    def __init__(self, spool: Path, catalog: Path, scratch: Path) -> None:
        self._spool, self._scratch = spool, scratch
        self._catalog_path = catalog
        self._waiting: list[Any] = []
        self.last: Any = None

    def send(self, message: Any) -> None:  # noqa: ANN401 - any message of the engine
        self.last = message
        if isinstance(message, NeedPack):
            self._waiting.append(self._fetch(message.row))

    def poll(self, *, wait: bool) -> list[Any]:
        assert self._waiting or not wait
        waiting, self._waiting = self._waiting, []
        return waiting

    def _fetch(self, number: int) -> HavePack:
        catalog = Catalog(self._catalog_path)
        row = catalog.pack(number)
        catalog.close()
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

    def backup(self, folder: Path) -> float:
        """One night; seconds."""
        code = choose_code(FRIENDS)
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
            time_ns=time.time_ns(),
            workers=self._workers,
            spool_bytes_max=1 << 50,
            spool_bytes=0,
        )
        agent = LocalAgent(self._spool, self._catalog, self._scratch)
        begun = time.perf_counter()
        make_pool = partial(ProcessPool, MASTER, recipe, self._workers)
        BackupRun(start, agent, make_pool, os.urandom).run()
        os.sync()
        seconds = time.perf_counter() - begun
        ready = agent.last
        if not isinstance(ready, NightReady):
            raise RuntimeError(ready.text if isinstance(ready, Failed) else "no snapshot")
        catalog = Catalog(self._catalog)
        row = SnapshotRow(ChunkId(ready.snapshot), ready.time_ns, ready.files, ready.size)
        catalog.set_snapshots([row])
        catalog.close()
        return seconds

    def restore(self, target: Path) -> float:
        """The snapshot from the spool; seconds."""
        catalog = Catalog(self._catalog)
        (row,) = catalog.snapshots()
        catalog.close()
        start = StartRestore(
            master=MASTER,
            catalog=str(self._catalog),
            snapshot=row.id,
            target=os.fsencode(target),
            paths=[],
            overwrite="always",
            scratch=str(self._scratch),
            scratch_bytes_max=1 << 40,
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

    def stored_bytes(self) -> int:
        """Bytes of all shares."""
        return sum(path.stat().st_size for path in self._spool.iterdir())
