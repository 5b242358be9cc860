"""One night's byte work: from marked roots to packs in the spool, and a snapshot in the catalog.

Runs in the engine process (`peer.engine`). `BackupRun.run` scans, has files read by a pool, keeps
the trees and the index, and tells the agent of every pack; the agent ships them at the same time
and says when a spool file is gone, which is what keeps the spool small.

Order of what becomes durable (docs/format.md tells why): spool file, then catalog row with its
chunks, then the trees that rest on them, then the index packs. The root record is the agent's.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from chunking.formats import NOTES_MAX, PACK_INDEX, PACK_META, ChunkId, Root, Snapshot
from chunking.formats import Note as SnapshotNote
from chunking.keys import MemberKeys
from chunking.seal import Sealer
from chunking.tree import fit_notes
from peer.backup.copying import Copying
from peer.backup.ignore import Ignored
from peer.backup.indexing import make_index
from peer.backup.lookahead import count_files
from peer.backup.marks import read_looks, write_looks
from peer.backup.messages import (
    NOTHING_FITS,
    Failed,
    FileJob,
    NightReady,
    Note,
    PackMade,
    Progress,
    Released,
    StartBackup,
    Stop,
)
from peer.backup.packer import Packer, SpoolError
from peer.backup.pool import Pool, WorkerDied
from peer.backup.ranges import NotToBeHad, RangeReader
from peer.backup.recorder import Recorder
from peer.backup.scan import LastNight, Scan
from peer.backup.tidy import Tidied, Wishes, tidy
from peer.backup.tonight import what_waits
from peer.backup.treework import TreeWriter
from peer.catalog import Catalog, SeenDirectory
from peer.ports import RandomBytes
from peer.restore.messages import HaveRange, LostPack, NeedRange
from peer.space.fitting import Part
from peer.upkeep.compaction import choose_rewrites
from peer.upkeep.recode import choose_recodes
from peer.upkeep.redundancy import Code
from peer.upkeep.retention import parse_keep
from peer.upkeep.sweep import Use

log = logging.getLogger("covey.night")

BATCH_FILES_MAX = 256
BATCH_BYTES_MAX = 4 << 20
"""A batch keeps a worker busy for some 10 ms: long against a pipe's latency, short to wait for."""
JOBS_OPEN_MAX = 2048
"""Files handed out at a time; bounds the memory of a walk through one very wide directory."""
SEEN_TOGETHER = 256
PROGRESS_EVERY_FILES = 512


class Agent(Protocol):
    """The engine's way to the agent."""

    def send(self, message: PackMade | Progress | Note | NeedRange | NightReady | Failed) -> None:
        """Tell the agent; may wait while it is behind."""
        ...

    def poll(self, *, wait: bool) -> list[Released | HaveRange | LostPack | Stop]:
        """What the agent has said; with `wait`, at least one message."""
        ...


class Stopped(Exception):
    """The agent wants the night to end."""


MakePool = Callable[[Callable[[bytes], bytes], Callable[[PackMade], None]], Pool]


class BackupRun:
    """One backup of all marks. Use `run` once."""

    def __init__(
        self,
        start: StartBackup,
        agent: Agent,
        make_pool: MakePool,
        random_bytes: RandomBytes,
    ) -> None:
        self._start, self._agent = start, agent
        self._random_bytes = random_bytes
        self._catalog = Catalog(Path(start.catalog))
        self._keys = MemberKeys.from_master(start.master)
        self._recorder = Recorder(self._catalog, self._tell_pack, self._wait_for_room)
        self._meta = self._packer(PACK_META)
        self._trees = TreeWriter(self._add_meta)
        self._pool = make_pool(self._recorder.claim, self._recorder.made)
        self._spooled = start.spool_bytes
        self._seen: list[SeenDirectory] = []
        self._gone: list[bytes] = []
        self._notes: list[SnapshotNote] = []
        self._note_count = 0
        self._reported_files = -PROGRESS_EVERY_FILES
        self._batch: list[FileJob] = []
        self._batch_bytes = 0
        self._totals = (0, 0)
        self._reader = RangeReader(
            self._catalog,
            Sealer(self._keys),
            Path(start.scratch),
            agent.send,
            lambda: self._hear(wait=True),
        )
        self._scan: Scan
        self._waiting: list[Part] = []

    def run(self) -> None:
        """The whole night. Ends with NightReady or Failed; everything recorded stays."""
        try:
            self._run()
        except Stopped:
            pass
        except (SpoolError, WorkerDied) as error:
            self._agent.send(Failed(str(error)))
        finally:
            self._pool.close()
            self._catalog.close()

    def _run(self) -> None:
        self._catalog.begin_tree()
        self._expect_totals()
        last = self._last_night()
        self._waiting = self._what_waits(last)
        self._scan = self._new_scan(last)
        for job in self._scan.next_jobs():
            self._add_job(job)
        self._submit_batch()
        while self._pool.busy():
            self._collect()
        self._pool.flush()
        if not self._scan.roots:
            why = "none of the marked folders is there tonight"
            self._agent.send(Failed(NOTHING_FITS if self._waiting else why))
            return
        snapshot = self._record_tree()
        self._report(force=True)
        start = self._start
        wishes = Wishes(parse_keep(start.keep), start.hold, frozenset(start.forget))
        tidied = tidy(self._catalog, self._reader, snapshot, start.time_ns, wishes)
        copied = self._copy(tidied)
        self._make_index(tidied)
        self._agent.send(self._ready(snapshot, tidied, copied))

    def _ready(self, snapshot: ChunkId, tidied: Tidied, copied: int) -> NightReady:
        return NightReady(
            snapshot=snapshot,
            time_ns=self._start.time_ns,
            files=self._scan.files,
            size=self._scan.bytes,
            new_bytes=self._recorder.new_bytes,
            notes=self._note_count,
            missing_marks=self._scan.missing,
            kept=list(tidied.kept),
            hold=tidied.hold,
            gone=tidied.change.gone_chunks if tidied.change.is_drastic else 0,
            before=tidied.change.chunks,
            removed_packs=len(tidied.gone),
            copied_bytes=copied,
            waiting=len(self._waiting),
            waiting_bytes=sum(part.whole_bytes() for part in self._waiting),
        )

    # --- files ------------------------------------------------------------------------------

    def _ignored(self) -> Ignored:
        return Ignored(self._start.ignore, [*self._start.marks, *self._start.meant])

    def _what_waits(self, last: LastNight) -> list[Part]:
        start = self._start
        if start.room_bytes is None:
            return []
        ignored, room = self._ignored(), start.room_bytes
        return what_waits(start.marks, start.exclude, ignored, self._catalog, last.roots, room)

    def _new_scan(self, last: LastNight) -> Scan:
        return Scan(
            self._start.marks,
            self._start.exclude,
            self._catalog,
            self._start.time_ns,
            last,
            self._trees.directory,
            self._trees.fold,
            self._keep_aside,
            self._note,
            self._ignored(),
            [part.path for part in self._waiting],
        )

    def _last_night(self) -> LastNight:
        """What stood at the marked roots: from the catalog, or from friends after a recovery."""
        last = self._catalog.last_tree()
        snapshots = self._catalog.snapshots()
        try:
            if last is not None:
                return LastNight.of(last[1], read_looks(self._catalog))
            if snapshots:
                return LastNight.of(self._reader.chunk(snapshots[-1].id), {})
        except NotToBeHad as error:
            log.warning("the last snapshot cannot be read tonight: %s", error)
        return LastNight()

    def _expect_totals(self) -> None:
        """What the progress bar goes by: the last night, or a look ahead beside the work."""
        snapshots = self._catalog.snapshots()
        if snapshots:
            self._totals = (snapshots[-1].files, snapshots[-1].bytes)
            return

        def look_ahead() -> None:
            self._totals = count_files(self._start.marks, self._start.exclude)

        threading.Thread(target=look_ahead, daemon=True).start()

    def _add_job(self, job: FileJob) -> None:
        self._batch.append(job)
        self._batch_bytes += job.found.size
        if len(self._batch) >= BATCH_FILES_MAX or self._batch_bytes >= BATCH_BYTES_MAX:
            self._submit_batch()

    def _submit_batch(self) -> None:
        if not self._batch:
            return
        self._wait_for_room()
        while not self._pool.has_room() or self._scan.open_jobs() > JOBS_OPEN_MAX:
            if not self._pool.busy():
                break
            self._collect()
        self._pool.submit(self._batch)
        self._batch, self._batch_bytes = [], 0

    def _collect(self) -> None:
        for result in self._pool.wait():
            self._scan.file_done(result)
        self._report()

    # --- trees, snapshot, index -------------------------------------------------------------

    def _keep_aside(self, seen: SeenDirectory, gone: list[bytes]) -> None:
        self._seen.append(seen)
        self._gone += gone
        if len(self._seen) >= SEEN_TOGETHER:
            self._write_aside()

    def _write_aside(self) -> None:
        self._catalog.keep_aside(self._seen, self._gone, self._trees.take_nodes())
        self._seen, self._gone = [], []

    def _record_tree(self) -> ChunkId:
        """Store the snapshot, and adopt tonight's directories now that every pack is recorded."""
        start, scan = self._start, self._scan
        snapshot = Snapshot(
            time_ns=start.time_ns,
            member=start.member_name,
            roots=tuple(Root(path, entry) for path, entry in sorted(scan.roots.items())),
            files=scan.files,
            bytes=scan.bytes,
            notes=fit_notes(self._notes),
        )
        ident, encoded = self._trees.snapshot(snapshot)
        self._meta.flush()
        self._gone += scan.unmarked()
        self._write_aside()
        self._catalog.adopt_tree(ident, encoded)
        write_looks(self._catalog, scan.looks)
        return ident

    def _add_meta(self, data: bytes) -> ChunkId:
        ident = self._meta.chunk_id(data)
        if self._recorder.claim_one(ident):
            self._meta.add(ident, data)
        return ident

    def _copy(self, tidied: Tidied) -> int:
        """Copy what lives of packs that are mostly dead, or have a bad code; bytes copied."""
        packs = choose_rewrites(tidied.uses, self._start.recipe.pack_bytes)
        if not self._waiting:  # room is needed for files first
            packs = sorted({*packs, *self._recodes(tidied.uses)})
        if not packs:
            return 0
        before = self._recorder.new_bytes
        copying = Copying(
            self._catalog, self._reader, lambda kind: self._packer(kind, is_copy=True)
        )
        copying.run(packs, tidied.live)
        return self._recorder.new_bytes - before

    def _recodes(self, uses: Sequence[Use]) -> list[int]:
        """Those of these packs that should have tonight's code."""
        recipe = self._start.recipe
        codes = {pack: Code(*code) for pack, code in self._catalog.codes().items()}
        tonight = Code(recipe.needed, recipe.total)
        return choose_recodes(uses, codes, tonight, recipe.pack_bytes, self._start.friends)

    def _make_index(self, tidied: Tidied) -> None:
        made = self._recorder.index_packs
        sizes = {use.pack: use.length for use in self._catalog.index_uses()}
        uses = [Use(pack, PACK_INDEX, size, size, 1) for pack, size in sizes.items()]
        anew = self._recodes(uses)
        make_index(self._catalog, self._packer(PACK_INDEX), tidied.gone, made, anew)

    def _packer(self, kind: int, *, is_copy: bool = False) -> Packer:
        recipe, made = self._start.recipe, self._recorder.made
        return Packer(self._keys, recipe, kind, self._random_bytes, made, is_copy=is_copy)

    # --- the agent --------------------------------------------------------------------------

    def _tell_pack(self, made: PackMade) -> None:
        self._spooled += made.spool_bytes
        self._agent.send(made)

    def _wait_for_room(self) -> None:
        """Wait while the spool is full; notice when the agent wants an end."""
        self._hear(wait=False)
        while self._spooled > self._start.spool_bytes_max:
            self._report(force=True)
            self._hear(wait=True)

    def _hear(self, *, wait: bool) -> list[HaveRange | LostPack | Stop]:
        """What the agent says, less what leaves the spool. Raises Stopped."""
        answers: list[HaveRange | LostPack | Stop] = []
        for message in self._agent.poll(wait=wait):
            match message:
                case Stop():
                    raise Stopped
                case Released(size):
                    self._spooled -= size
                case _:
                    answers.append(message)
        return answers

    def _note(self, path: bytes, text: str) -> None:
        self._note_count += 1
        if len(self._notes) < NOTES_MAX:
            self._notes.append(SnapshotNote(path, text))
            self._agent.send(Note(path, text))

    def _report(self, *, force: bool = False) -> None:
        files = self._scan.files
        if force or files - self._reported_files >= PROGRESS_EVERY_FILES:
            self._reported_files = files
            self._agent.send(
                Progress(
                    files,
                    self._scan.bytes,
                    max(files, self._totals[0]),
                    max(self._scan.bytes, self._totals[1]),
                )
            )
