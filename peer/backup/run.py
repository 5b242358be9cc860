"""One night's byte work: from marked roots to packs in the spool, and a snapshot in the catalog.

Runs in the engine process (`peer.engine`). `BackupRun.run` scans, has files read by a pool, keeps
the trees and the index, and tells the agent of every pack; the agent ships them at the same time
and says when a spool file is gone, which is what keeps the spool small.

Order of what becomes durable (docs/format.md tells why): spool file, then catalog row with its
chunks, then the listings that rest on them, then the index packs. The root record is the agent's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from chunking import chunker
from chunking.formats import (
    CHUNK_MAX,
    CONTENT_IDS_MAX,
    ID_BYTES,
    NOTES_MAX,
    PACK_INDEX,
    PACK_META,
    ChunkId,
    Content,
    IndexEntry,
    PackEntry,
    PackId,
    PackRef,
    Root,
    ShareName,
    Snapshot,
)
from chunking.formats import Note as SnapshotNote
from chunking.index import encode_index_parts
from chunking.keys import MemberKeys
from chunking.tree import content_of, encode_directory, encode_snapshot, fit_notes, split_ids
from peer.backup.listing import encode_listing
from peer.backup.messages import (
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
from peer.backup.scan import OpenDirectory, Scan, count_files
from peer.catalog import Catalog, NewPack, PackRow
from peer.ports import RandomBytes

BATCH_FILES_MAX = 256
BATCH_BYTES_MAX = 4 << 20
"""A batch keeps a worker busy for some 10 ms: long against a pipe's latency, short to wait for."""
JOBS_OPEN_MAX = 2048
"""Files handed out at a time; bounds the memory of a walk through one very wide directory."""
LISTINGS_STAGED_TOGETHER = 256
PROGRESS_EVERY_FILES = 512


class Agent(Protocol):
    """The engine's way to the agent."""

    def send(self, message: PackMade | Progress | Note | NightReady | Failed) -> None:
        """Tell the agent; may wait while it is behind."""
        ...

    def poll(self, *, wait: bool) -> list[Released | Stop]:
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
        self._catalog = Catalog(Path(start.catalog))
        keys = MemberKeys.from_master(start.master)
        self._meta = Packer(keys, start.recipe, PACK_META, random_bytes, self._pack_made)
        self._index = Packer(keys, start.recipe, PACK_INDEX, random_bytes, self._pack_made)
        self._pool = make_pool(self._claim, self._pack_made)
        self._claimed: set[ChunkId] = set()
        self._spooled = start.spool_bytes
        self._listings: list[tuple[bytes, bytes]] = []
        self._notes: list[SnapshotNote] = []
        self._note_count = 0
        self._new_bytes = 0
        self._reported_files = -PROGRESS_EVERY_FILES
        self._batch: list[FileJob] = []
        self._batch_bytes = 0
        self._totals = (0, 0)
        self._scan = Scan(
            start.marks,
            start.exclude,
            self._catalog,
            start.time_ns,
            self._close_directory,
            self._fold,
            self._note,
        )

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
        start = self._start
        self._catalog.clear_staged()
        self._expect_totals()
        for job in self._scan.next_jobs():
            self._add_job(job)
        self._submit_batch()
        while self._pool.busy():
            self._collect()
        self._pool.flush()
        if not self._scan.roots:
            self._agent.send(Failed("none of the marked folders is there tonight"))
            return
        snapshot = Snapshot(
            time_ns=start.time_ns,
            member=start.member_name,
            roots=tuple(Root(path, entry) for path, entry in sorted(self._scan.roots.items())),
            files=self._scan.files,
            bytes=self._scan.bytes,
            notes=fit_notes(self._notes),
        )
        ident = self._add_meta(encode_snapshot(snapshot))
        self._meta.flush()
        self._stage_listings()
        self._catalog.adopt_listings()
        self._make_index()
        self._report(force=True)
        self._agent.send(
            NightReady(
                snapshot=ident,
                time_ns=start.time_ns,
                files=self._scan.files,
                size=self._scan.bytes,
                new_bytes=self._new_bytes,
                notes=self._note_count,
                missing_marks=self._scan.missing,
            )
        )

    # --- files ------------------------------------------------------------------------------

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
        self._throttle()
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

    def _claim(self, joined: bytes) -> bytes:
        """Which chunks the asking worker must store; they count as claimed from now on."""
        self._throttle()
        ids = split_ids(joined)
        known = self._catalog.known_chunks([i for i in ids if i not in self._claimed])
        mask = bytearray()
        for ident in ids:
            wanted = ident not in known and ident not in self._claimed
            if wanted:
                self._claimed.add(ident)
            mask.append(wanted)
        return bytes(mask)

    # --- packs ------------------------------------------------------------------------------

    def _pack_made(self, made: PackMade) -> None:
        """Its spool file is complete: record it with its chunks, then tell the agent."""
        ids = split_ids(made.chunk_ids)
        offset, chunks = 0, []
        for ident, length in zip(ids, made.chunk_lengths, strict=True):
            chunks.append((ident, offset, length))
            offset += length
        row = self._catalog.record_pack(
            NewPack(
                id=PackId(made.id),
                kind=made.kind,
                needed=made.needed,
                length=made.length,
                shares=tuple(ShareName(name) for name in split_ids(made.shares)),
                chunks=tuple(chunks),
            )
        )
        self._claimed.difference_update(ids)
        self._new_bytes += made.length
        self._spooled += made.spool_bytes
        self._agent.send(
            PackMade(
                id=made.id,
                kind=made.kind,
                needed=made.needed,
                length=made.length,
                shares=made.shares,
                chunk_ids=b"",
                chunk_lengths=[],
                spool_bytes=made.spool_bytes,
                row=row.pack,
            )
        )

    def _throttle(self) -> None:
        """Wait while the spool is full; notice when the agent wants an end."""
        self._hear(wait=False)
        while self._spooled > self._start.spool_bytes_max:
            self._report(force=True)
            self._hear(wait=True)

    def _hear(self, *, wait: bool) -> None:
        for message in self._agent.poll(wait=wait):
            if isinstance(message, Stop):
                raise Stopped
            self._spooled -= message.size

    # --- trees, snapshot, index -------------------------------------------------------------

    def _close_directory(self, directory: OpenDirectory) -> Content:
        entries = [directory.entries[name] for name in sorted(directory.entries)]
        listing = encode_listing(entries, directory.stamps)
        self._listings.append((directory.path, listing))
        if len(self._listings) >= LISTINGS_STAGED_TOGETHER:
            self._stage_listings()
        return self._store_content(encode_directory(entries))

    def _stage_listings(self) -> None:
        self._catalog.stage_listings(self._listings)
        self._listings = []

    def _store_content(self, data: bytes) -> Content:
        """Keep a directory's listing as content, cut like a file."""
        chunks = [data] if len(data) <= CHUNK_MAX else chunker.split_stream([data])
        return content_of([self._add_meta(chunk) for chunk in chunks], self._add_meta)

    def _fold(self, content: Content) -> Content:
        """Move a file's long list of ids into list chunks."""
        if len(content.ids) <= CONTENT_IDS_MAX * ID_BYTES:
            return content
        return content_of(split_ids(content.ids), self._add_meta)

    def _add_meta(self, data: bytes) -> ChunkId:
        ident = self._meta.chunk_id(data)
        if ident not in self._claimed and not self._catalog.known_chunks([ident]):
            self._claimed.add(ident)
            self._meta.add(ident, data)
        return ident

    def _make_index(self) -> None:
        """List every pack that no index pack lists yet."""
        rows = self._catalog.unindexed_packs()
        for data in encode_index_parts(self._index_entry(row) for row in rows):
            self._index.add(self._index.chunk_id(data), data)
        self._index.flush()
        self._catalog.mark_indexed(row.pack for row in rows)

    def _index_entry(self, row: PackRow) -> IndexEntry:
        chunks = tuple(PackEntry(*chunk) for chunk in self._catalog.chunks_of(row.pack))
        return IndexEntry(pack_ref(row), row.kind, chunks)

    # --- telling ----------------------------------------------------------------------------

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


def pack_ref(row: PackRow) -> PackRef:
    """How signed formats name a pack."""
    return PackRef(row.id, row.needed, row.length, b"".join(row.shares))
