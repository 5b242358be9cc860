"""Writes files: sealed chunks -> chunks -> files. The part of a restore that needs a core.

Runs as a process of its own, `python -m peer.restore.worker`, fed through its standard input and
output; or inside another process, where `FileWorker` is called directly. It decides nothing and
makes no folders: the engine has made them, and has every chunk's bytes in the scratch folder.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from dataclasses import dataclass, field
from pathlib import Path

from chunking.formats import ChunkId, FormatError
from chunking.keys import MemberKeys
from chunking.seal import Sealer
from chunking.tree import split_ids
from peer.files.checkout import CheckoutError, FileWriter, UnsafeName
from peer.files.standing import has_content
from peer.files.writing import FileCheckout, Identity
from peer.garbage import collect_rarely
from peer.orphans import end_with_parent
from peer.pipes import FramedPipe, PipeClosed
from peer.restore.batches import (
    Broken,
    ChunkAt,
    Compared,
    CompareFiles,
    FileJob,
    StartWriter,
    ToWriter,
    WriteFiles,
    Written,
)
from peer.restore.plan import Part, Shape
from peer.restore.scratch import SealedFiles


class FileWorker:
    """Writes and compares files of one restore. Not thread-safe.

    Raises CheckoutError only when nothing at all can be written.
    """

    def __init__(self, start: StartWriter) -> None:
        self._sealer = Sealer(MemberKeys.from_master(start.master))
        self._sealed = SealedFiles(Path(start.scratch))
        self._out = FileCheckout(
            start.target, overwrite=start.overwrite, followed=frozenset(start.followed)
        )
        self._begun: dict[int, FileWriter] = {}

    def write(self, batch: WriteFiles) -> Written:
        """Write the files; what cannot be is told, the others are complete when it returns."""
        shapes = {row: Shape(*shape) for row, shape in batch.packs.items()}
        self._sealed.keep_only(shapes)
        tally = _Tally()
        for job in batch.jobs:
            try:
                self._write(job, shapes, tally)
            except UnsafeName:
                tally.lost.append((job.index, "its name is not safe to write"))
            except CheckoutError as error:
                if error.hopeless:
                    raise
                tally.lost.append((job.index, str(error)))
            except FormatError as error:
                tally.lost.append((job.index, f"a part of it is damaged ({error})"))
        return Written(
            number=batch.number,
            files=tally.files,
            size=tally.size,
            lost=tally.lost,
            kept=tally.kept,
            identities=tally.identities,
            notes=self._out.take_notes(),
        )

    def compare(self, batch: CompareFiles) -> Compared:
        """Find the files that are there already; those that cannot be read are not."""
        same: list[int] = []
        identities: list[tuple[int, Identity]] = []
        for job in batch.jobs:
            with contextlib.suppress(CheckoutError, UnsafeName):  # writing it will tell
                identity = self._find_same(job, dress=batch.dress)
                if identity is not None:
                    same.append(job.index)
                    if job.entry.link_group:
                        identities.append((job.index, identity))
        return Compared(batch.number, same, identities, self._out.take_notes())

    def close(self) -> None:
        """Leave nothing unfinished behind."""
        for writer in self._begun.values():
            writer.abort()
        self._begun.clear()
        self._out.close()
        self._sealed.close()

    def _write(self, job: FileJob, shapes: dict[int, Shape], tally: _Tally) -> None:
        writer = self._begun.pop(job.index, None)
        if job.first:
            writer = self._out.open_file(job.parts, job.entry)
            if writer is None:
                tally.kept.append(job.index)
        if writer is None:
            return
        try:
            for chunk in job.chunks:
                data = self._open_chunk(chunk, shapes[chunk.row])
                writer.write(data)
                tally.size += len(data)
            if job.dropped:
                writer.abort()
            elif job.last:
                identity = writer.done()
                tally.files += 1
                if identity is not None:
                    tally.identities.append((job.index, identity))
            else:
                self._begun[job.index] = writer
        except BaseException:
            writer.abort()
            raise

    def _open_chunk(self, chunk: ChunkAt, shape: Shape) -> bytes:
        part = Part(chunk.row, chunk.part_offset, chunk.part_length)
        sealed = self._sealed.read(part, shape, chunk.offset, chunk.length)
        return self._sealer.open(ChunkId(chunk.id), sealed)

    def _find_same(self, job: FileJob, *, dress: bool) -> Identity | None:
        ids = split_ids(job.entry.content.ids)

        def is_same(fd: int) -> bool:
            return has_content(fd, job.entry, ids, self._sealer.chunk_id)

        return self._out.find_same(job.parts, job.entry, is_same, dress=dress)


@dataclass(slots=True)
class _Tally:
    """What became of a batch."""

    files: int = 0
    size: int = 0
    lost: list[tuple[int, str]] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    identities: list[tuple[int, Identity]] = field(default_factory=list)


class _Inbox:
    """Reads the pipe in a thread, so that the engine's writes never wait for our results."""

    def __init__(self, pipe: FramedPipe) -> None:
        self._pipe = pipe
        self.work: queue.SimpleQueue[StartWriter | WriteFiles | CompareFiles | None] = (
            queue.SimpleQueue()
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            while True:
                self.work.put(self._pipe.receive())
        except PipeClosed:
            self.work.put(None)


def main() -> None:
    """The worker process: one StartWriter, then batches until the pipe closes."""
    pipe = FramedPipe(0, os.dup(1), ToWriter)
    os.dup2(2, 1)  # a stray print must not end up in a frame
    inbox = _Inbox(pipe)
    end_with_parent()
    collect_rarely()
    start = inbox.work.get()
    if not isinstance(start, StartWriter):
        return
    try:
        with contextlib.closing(FileWorker(start)) as worker:
            while (batch := inbox.work.get()) is not None:
                if isinstance(batch, WriteFiles):
                    pipe.send(worker.write(batch))
                elif isinstance(batch, CompareFiles):
                    pipe.send(worker.compare(batch))
    except PipeClosed:
        return
    except CheckoutError as error:
        pipe.send(Broken(str(error)))


if __name__ == "__main__":
    main()
