"""Reads files: bytes -> chunks -> (new ones) -> packs. The part of a night that needs a core.

Runs as a process of its own, `python -m peer.backup.worker`, fed through its standard input and
output; or inside another process, where `ByteWorker` is called directly. It decides nothing: which
chunks are new is asked of the engine, before anything is sealed.
"""

from __future__ import annotations

import gc
import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator

import msgspec

from chunking import chunker
from chunking.formats import CHUNK_MIN, ID_BYTES, PACK_DATA, ChunkId, Content
from chunking.keys import MemberKeys
from peer.backup.messages import (
    Batch,
    BatchDone,
    Claim,
    Claimed,
    Failed,
    FileJob,
    FileResult,
    Flush,
    Flushed,
    StartWorker,
    ToWorker,
)
from peer.backup.packer import Packer, SpoolError
from peer.files import reader
from peer.pipes import FramedPipe, PipeClosed

PENDING_BYTES_MAX = 8 << 20
"""Plaintext held while the engine is asked which chunks are new; bounds a worker's memory."""
GC_THRESHOLD = 50_000
"""Almost nothing here is in a reference cycle; looking for them every 700 objects costs 2 %."""
READ_ATTEMPTS = 3
"""A file that changes while it is read is read again; after that it is kept as it was read."""

ClaimNew = Callable[[bytes], bytes]
"""Joined ids in; one byte per id out, 1 where the caller must store the chunk."""


class ByteWorker:
    """Turns files into chunks in packs. Not thread-safe."""

    def __init__(self, packer: Packer, claim: ClaimNew) -> None:
        self._packer, self._claim = packer, claim
        self._pending: list[tuple[ChunkId, bytes]] = []
        self._pending_bytes = 0

    def process(self, jobs: Iterable[FileJob]) -> list[FileResult]:
        """Read the files; every chunk of every result is in a pack or known when it returns."""
        results = [self._read(job) for job in jobs]
        self._store_pending()
        return results

    def flush(self) -> None:
        """Close the open pack."""
        self._packer.flush()

    def _read(self, job: FileJob) -> FileResult:
        found = job.found
        for attempt in range(READ_ATTEMPTS):
            try:
                return self._read_once(job, found, last=attempt == READ_ATTEMPTS - 1)
            except reader.ChangedWhileReading:
                try:
                    found = reader.stat_again(job.path)
                except OSError as error:
                    return _unread(job, _reason(error))
            except OSError as error:
                return _unread(job, _reason(error))
        return _unread(job, "it is another file at every look")

    def _read_once(self, job: FileJob, found: reader.Found, *, last: bool) -> FileResult:
        details = reader.details(job.path, found)
        with reader.open_content(job.path, found) as content:
            counted = _Counted(content.blocks(), tolerant=last)
            small = found.size < CHUNK_MIN
            ids = list(self._chunk(counted.blocks(), small=small))
            extents = content.extents
        settled = not counted.changed
        if not settled:
            # As much as was read, in the places where it was read, is what the file now is.
            extents = _first_bytes(extents, counted.size)
            end = max((at + size for at, size in extents), default=counted.size)
            found = msgspec.structs.replace(found, size=end)
        return FileResult(
            index=job.index,
            found=found,
            content=Content(0, b"".join(ids)),
            extents=extents,
            xattrs=details.xattrs,
            problem="",
            remark="" if settled else "it was being written while it was read",
            settled=settled,
        )

    def _chunk(self, blocks: Iterator[bytes], *, small: bool) -> Iterator[ChunkId]:
        chunks = [data] if small and (data := b"".join(blocks)) else chunker.split_stream(blocks)
        for chunk in chunks:
            ident = self._packer.chunk_id(chunk)
            self._pending.append((ident, chunk))
            self._pending_bytes += len(chunk)
            if self._pending_bytes >= PENDING_BYTES_MAX:
                self._store_pending()
            yield ident

    def _store_pending(self) -> None:
        if not self._pending:
            return
        mask = self._claim(b"".join(ident for ident, _ in self._pending))
        for wanted, (ident, chunk) in zip(mask, self._pending, strict=True):
            if wanted:
                self._packer.add(ident, chunk)
        self._pending.clear()
        self._pending_bytes = 0


class _Counted:
    """Passes blocks on and counts their bytes; if `tolerant`, a change ends them early."""

    def __init__(self, blocks: Iterator[bytes], *, tolerant: bool) -> None:
        self._blocks, self._tolerant = blocks, tolerant
        self.size = 0
        self.changed = False

    def blocks(self) -> Iterator[bytes]:
        try:
            for block in self._blocks:
                self.size += len(block)
                yield block
        except reader.ChangedWhileReading:
            if not self._tolerant:
                raise
            self.changed = True


def _first_bytes(extents: tuple[tuple[int, int], ...], size: int) -> tuple[tuple[int, int], ...]:
    """The extents that hold the first `size` bytes of content."""
    kept: list[tuple[int, int]] = []
    for at, length in extents:
        if size <= 0:
            break
        kept.append((at, min(length, size)))
        size -= length
    return tuple(kept)


def _unread(job: FileJob, reason: str) -> FileResult:
    return FileResult(job.index, None, Content(0, b""), (), (), reason, "", True)


def _reason(error: OSError) -> str:
    return (error.strerror or "it cannot be read").lower()


class _Inbox:
    """Reads the pipe in a thread, so that the engine's writes never wait for our reading.

    Without it both sides could wait for the other to read: the engine with a batch in hand, we
    with a pack.
    """

    def __init__(self, pipe: FramedPipe) -> None:
        self._pipe = pipe
        self.work: queue.SimpleQueue[StartWorker | Batch | Flush | None] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[Claimed | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            while True:
                message = self._pipe.receive()
                if isinstance(message, Claimed):
                    self.answers.put(message)
                else:
                    self.work.put(message)
        except PipeClosed:
            self.answers.put(None)
            self.work.put(None)


def main() -> None:
    """The worker process: one StartWorker, then batches until the pipe closes."""
    pipe = FramedPipe(0, os.dup(1), ToWorker)
    os.dup2(2, 1)  # a stray print must not end up in a frame
    inbox = _Inbox(pipe)

    def claim(ids: bytes) -> bytes:
        pipe.send(Claim(ids))
        answer = inbox.answers.get()
        if answer is None:
            raise PipeClosed
        assert len(answer.mask) * ID_BYTES == len(ids)
        return answer.mask

    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    start = inbox.work.get()
    if not isinstance(start, StartWorker):
        return
    packer = Packer(
        MemberKeys.from_master(start.master),
        start.recipe,
        PACK_DATA,
        os.urandom,  # noqa: TID251 - a process of its own has its own source of chance
        pipe.send,
    )
    worker = ByteWorker(packer, claim)
    try:
        while (message := inbox.work.get()) is not None:
            if isinstance(message, Batch):
                pipe.send(BatchDone(worker.process(message.jobs)))
            else:
                worker.flush()
                pipe.send(Flushed())
    except PipeClosed:
        return
    except SpoolError as error:
        pipe.send(Failed(str(error)))


if __name__ == "__main__":
    main()
