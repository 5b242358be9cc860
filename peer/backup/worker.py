"""Reads files: bytes -> chunks -> (new ones) -> packs. The part of a night that needs a core.

Runs as a process of its own, `python -m peer.backup.worker`, fed through its standard input and
output; or inside another process, where `ByteWorker` is called directly. It decides nothing: which
chunks are new is asked of the engine, before anything is sealed.
"""

from __future__ import annotations

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
from peer.garbage import collect_rarely
from peer.orphans import end_with_parent
from peer.pipes import FramedPipe, PipeClosed
from peer.ports import RandomBytes

PENDING_BYTES_MAX = 8 << 20
"""Plaintext that the engine is asked about at a time. Twice as much is held: what was asked about,
and what is read meanwhile."""
READ_ATTEMPTS = 3
"""A file that changes while it is read is read again; after that it is kept as it was read."""

CHANCE_BYTES = 4096
"""Randomness drawn at a time: a call to the system for each chunk costs as much as sealing it."""

ClaimNew = Callable[[bytes], bytes]
"""Joined ids in; one byte per id out, 1 where the caller must store the chunk."""
AskNew = Callable[[bytes], Callable[[], bytes]]
"""As `ClaimNew`, but only asks; the answer is waited for when what it returns is called."""


class ByteWorker:
    """Turns files into chunks in packs. Not thread-safe.

    While the engine looks up which chunks are new, the next ones are read: one question is open at
    a time, and `settle` ends it.
    """

    def __init__(self, packer: Packer, ask: AskNew) -> None:
        self._packer, self._ask = packer, ask
        self._pending: list[tuple[ChunkId, bytes]] = []
        self._pending_bytes = 0
        self._asked: tuple[Callable[[], bytes], list[tuple[ChunkId, bytes]]] | None = None

    @classmethod
    def asking_at_once(cls, packer: Packer, claim: ClaimNew) -> ByteWorker:
        """One whose questions are answered by a call."""

        def ask(ids: bytes) -> Callable[[], bytes]:
            mask = claim(ids)
            return lambda: mask

        return cls(packer, ask)

    def process(self, jobs: Iterable[FileJob]) -> list[FileResult]:
        """Read the files; every chunk of every result is in a pack or known when it returns."""
        results = self.read(jobs)
        self.settle()
        return results

    def read(self, jobs: Iterable[FileJob]) -> list[FileResult]:
        """Read the files. The results may be told after the next `settle`; those of the calls
        before may be told now."""
        results = [self._read(job) for job in jobs]
        self._ask_pending()
        return results

    def settle(self) -> None:
        """Wait for the answer that is open, and store the chunks that are new."""
        if self._asked is None:
            return
        answer, chunks = self._asked
        for wanted, (ident, chunk) in zip(answer(), chunks, strict=True):
            if wanted:
                self._packer.add(ident, chunk)
        self._asked = None

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
        settled = True
        with reader.open_content(job.path, found) as content:
            if found.size < CHUNK_MIN and not last:
                data = content.whole()
                ids = self._take(data) if data else b""
            else:
                counted = _Counted(content.blocks(), tolerant=last)
                ids = b"".join(map(self._take, chunker.split_stream(counted.blocks())))
                settled = not counted.changed
            extents, xattrs = content.extents, content.xattrs()
        if not settled:
            # As much as was read, in the places where it was read, is what the file now is.
            extents = _first_bytes(extents, counted.size)
            end = max((at + size for at, size in extents), default=counted.size)
            found = msgspec.structs.replace(found, size=end)
        return FileResult(
            index=job.index,
            found=found,
            content=Content(0, ids),
            extents=extents,
            xattrs=xattrs,
            problem="",
            remark="" if settled else "it was being written while it was read",
            settled=settled,
        )

    def _take(self, chunk: bytes) -> ChunkId:
        """Have a chunk looked up with the others, and stored if it is new."""
        ident = self._packer.chunk_id(chunk)
        self._pending.append((ident, chunk))
        self._pending_bytes += len(chunk)
        if self._pending_bytes >= PENDING_BYTES_MAX:
            self._ask_pending()
        return ident

    def _ask_pending(self) -> None:
        self.settle()
        if self._pending:
            answer = self._ask(b"".join(ident for ident, _ in self._pending))
            self._asked = (answer, self._pending)
            self._pending, self._pending_bytes = [], 0


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


def drawn_together(random_bytes: RandomBytes) -> RandomBytes:
    """The same source of chance, asked for many bytes at a time. No byte is given out twice."""
    drawn, used = b"", 0

    def draw(size: int) -> bytes:
        nonlocal drawn, used
        if used + size > len(drawn):
            drawn, used = random_bytes(max(size, CHANCE_BYTES)), 0
        used += size
        return drawn[used - size : used]

    return draw


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

    def ask(ids: bytes) -> Callable[[], bytes]:
        pipe.send(Claim(ids))

        def answer() -> bytes:
            claimed = inbox.answers.get()
            if claimed is None:
                raise PipeClosed
            assert len(claimed.mask) * ID_BYTES == len(ids)
            return claimed.mask

        return answer

    end_with_parent()
    collect_rarely()
    start = inbox.work.get()
    if not isinstance(start, StartWorker):
        return
    packer = Packer(
        MemberKeys.from_master(start.master),
        start.recipe,
        PACK_DATA,
        drawn_together(os.urandom),  # noqa: TID251 - a process has its own source of chance
        pipe.send,
    )
    try:
        _work(ByteWorker(packer, ask), inbox, pipe)
    except PipeClosed:
        return
    except SpoolError as error:
        pipe.send(Failed(str(error)))


def _work(worker: ByteWorker, inbox: _Inbox, pipe: FramedPipe) -> None:
    """Batch after batch; a batch is told as done once the next has been read, or none is there."""
    read: list[FileResult] | None = None
    while True:
        if read is not None and inbox.work.empty():
            worker.settle()
            pipe.send(BatchDone(read))
            read = None
        message = inbox.work.get()
        if message is None:
            return
        if isinstance(message, Batch):
            before, read = read, worker.read(message.jobs)
            if before is not None:
                pipe.send(BatchDone(before))
        else:  # the engine flushes only when no batch is under way
            worker.flush()
            pipe.send(Flushed())


if __name__ == "__main__":
    main()
