"""Bring a snapshot back: walk its tree, have its packs fetched, have its files written.

Runs in the engine process. Folders, links and the order of everything are decided here; chunks are
opened and files written by the workers of a pool. What cannot be had is named and left out;
everything else is restored.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from chunking.formats import (
    KIND_DIR,
    KIND_FILE,
    KIND_SYMLINK,
    ChunkId,
    Entry,
    FormatError,
    Snapshot,
)
from chunking.keys import MemberKeys
from chunking.seal import Sealer
from chunking.tree import decode_snapshot
from peer.backup.messages import Failed, Note, Progress, Stop
from peer.catalog import Catalog
from peer.files.checkout import Checkout, CheckoutError, FirstNameMissing, UnsafeName
from peer.files.writing import OVERWRITE, FileCheckout
from peer.restore.batches import StartWriter
from peer.restore.chunks import ChunkIsLost, ChunkReader
from peer.restore.messages import (
    HavePack,
    HaveRange,
    Lost,
    LostPack,
    NeedPack,
    NeedRange,
    RestoreDone,
    StartRestore,
)
from peer.restore.missing import UNSAFE, Missing
from peer.restore.packs import Packs, Stopped
from peer.restore.paths import Parts, Selection, prefixes, split_path
from peer.restore.pool import Pool, WorkerDied, make_pool
from peer.restore.report import Report
from peer.restore.trial import Trial
from peer.restore.walk import Walk
from peer.restore.window import Files

WHERE_IT_WAS = b"/"
"""The target that brings files back to where they came from."""


class Agent(Protocol):
    """The engine's way to the agent."""

    def send(
        self, message: NeedPack | NeedRange | Progress | Note | Lost | RestoreDone | Failed
    ) -> None:
        """Tell the agent."""
        ...

    def poll(self, *, wait: bool) -> list[HavePack | HaveRange | LostPack | Stop]:
        """What the agent has said; with `wait`, at least one message."""
        ...


class RestoreRun:
    """One restore. Use `run` once."""

    def __init__(self, start: StartRestore, agent: Agent) -> None:
        self._start, self._agent = start, agent
        self._catalog = Catalog(Path(start.catalog))
        self._packs = Packs(self._catalog, agent, Path(start.scratch), start.scratch_bytes_max)
        sealer = Sealer(MemberKeys.from_master(start.master))
        self._chunks = ChunkReader(
            self._catalog, self._packs, sealer, whole_packs=not start.paths and not start.dry_run
        )
        self._selection = Selection(start.paths)
        self._report = Report(agent)
        self._pool: Pool | None = None

    def run(self) -> None:
        """The whole restore. Ends with RestoreDone or Failed."""
        try:
            self._run()
        except Stopped:
            pass
        except ChunkIsLost as error:
            self._agent.send(Failed(f"the snapshot itself cannot be read: {error}"))
        except FormatError as error:
            self._agent.send(Failed(f"the snapshot itself is damaged: {error}"))
        except (CheckoutError, WorkerDied) as error:
            self._agent.send(Failed(str(error)))
        finally:
            if self._pool is not None:
                self._pool.close()
            self._packs.close()
            self._catalog.close()

    def _run(self) -> None:
        start = self._start
        if start.overwrite not in OVERWRITE:
            raise CheckoutError(b"", f"«{start.overwrite}» is no way to overwrite")
        snapshot = decode_snapshot(self._chunks.get(ChunkId(start.snapshot)))
        walk = Walk(self._chunks, snapshot, self._selection)
        self._count(walk, snapshot)
        if self._selection.nothing_seen():
            self._agent.send(Failed("none of these paths is in that snapshot"))
            return
        for parts in self._selection.unseen():
            self._report.lose(parts, "it is not in that snapshot")
        followed = self._followed(snapshot)
        if start.dry_run:
            self._try(walk, followed)
        else:
            self._restore(walk, followed)
        self._report.progress(force=True)
        self._agent.send(self._report.done())

    def _count(self, walk: Walk, snapshot: Snapshot) -> None:
        """How much there is to do: the snapshot says so for all of it, else its lists do."""
        report = self._report
        if not self._start.paths:
            report.files_total, report.bytes_total = snapshot.files, snapshot.bytes
            self._selection.see(())
            return

        def count(parts: Parts, entry: Entry, wanted: bool) -> bool:
            if wanted and entry.kind == KIND_FILE:
                report.files_total += 1
                report.bytes_total += entry.size
            return True

        walk.run(count, lambda parts, text: None)

    def _followed(self, snapshot: Snapshot) -> frozenset[Parts]:
        """The folders above what was marked are the person's own when files go back in place.

        A link among them is gone through as it was when the files were marked, and stays.
        """
        if self._start.target != WHERE_IT_WAS:
            return frozenset()
        roots = (split_path(root.path) for root in snapshot.roots)
        return frozenset(way for root in roots for way in prefixes(root[:-1]))

    def _make_pool(self, followed: frozenset[Parts]) -> Pool:
        start = self._start
        writer = StartWriter(
            start.master, start.target, start.overwrite, start.scratch, sorted(followed)
        )
        self._pool = make_pool(writer, start.workers)
        return self._pool

    # --- trying -----------------------------------------------------------------------------

    def _try(self, walk: Walk, followed: frozenset[Parts]) -> None:
        start = self._start
        missing, out = None, None
        if os.path.isdir(start.target):
            out = FileCheckout(start.target, overwrite=start.overwrite, followed=followed)
            missing = Missing(
                self._make_pool(followed),
                self._chunks,
                out,
                self._report,
                dress=False,
                adopt=lambda parts, there: None,
            )
        trial = Trial(missing, self._chunks, self._report)

        def visit(parts: Parts, entry: Entry, wanted: bool) -> bool:
            if wanted and entry.kind == KIND_FILE:
                trial.add(parts, entry)
            return True

        try:
            walk.run(visit, self._report.lose)
            trial.finish()
        finally:
            if out is not None:
                out.close()

    # --- restoring --------------------------------------------------------------------------

    def _restore(self, walk: Walk, followed: frozenset[Parts]) -> None:
        start = self._start
        with Checkout(start.target, overwrite=start.overwrite, followed=followed) as out:
            files = Files(self._make_pool(followed), self._packs, self._chunks, out, self._report)
            visitor = _Visitor(out, files, self._report)
            walk.run(visitor.visit, self._report.lose)
            files.finish()
            visitor.make_links()
            files.finish()
            out.finish()
            for path, text in out.notes:
                self._report.note(path, text)


class _Visitor:
    """Restores the entries of a walk."""

    def __init__(self, out: Checkout, files: Files, report: Report) -> None:
        self._out, self._files, self._report = out, files, report
        self._first_names: dict[int, tuple[Parts, Entry]] = {}
        self._links: list[tuple[Parts, Parts, Entry]] = []

    def visit(self, parts: Parts, entry: Entry, wanted: bool) -> bool:
        """Restore one entry, its content later; whether what is below can be restored."""
        try:
            if entry.kind == KIND_DIR:
                if wanted:
                    self._out.make_directory(parts, entry)
            elif wanted:
                self._out.make_way(parts[:-1])
                if entry.kind == KIND_SYMLINK:
                    self._out.make_symlink(parts, entry)
                else:
                    self._add_file(parts, entry)
        except UnsafeName:
            self._report.lose(parts, UNSAFE)
            return False
        except CheckoutError as error:
            if error.hopeless:
                raise
            self._report.lose(parts, str(error))
            return False
        return True

    def make_links(self) -> None:
        """Give files that have been written their other names."""
        for parts, first, entry in self._links:
            try:
                if self._report.is_lost(first):
                    raise FirstNameMissing(b"", "its first name was not restored")
                self._out.make_hardlink(parts, first, entry)
                self._report.written += 1
                self._report.bytes += entry.size
            except FirstNameMissing:
                self._files.add(parts, entry)
            except UnsafeName:
                self._report.lose(parts, UNSAFE)
            except CheckoutError as error:
                self._report.lose(parts, str(error))

    def _add_file(self, parts: Parts, entry: Entry) -> None:
        if entry.link_group:
            first, there = self._first_names.setdefault(entry.link_group, (parts, entry))
            if first != parts and there.content == entry.content:
                self._links.append((parts, first, entry))
                return
        self._files.add(parts, entry)
