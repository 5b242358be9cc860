"""Who reads the files: worker processes, or this process itself (the simulator, small nights).

Both kinds answer the same few calls; the engine never knows which it has.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

from chunking.formats import PACK_DATA
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
    FromWorker,
    PackMade,
    Recipe,
    StartWorker,
)
from peer.backup.packer import Packer
from peer.backup.worker import ByteWorker, ClaimNew
from peer.pipes import FramedPipe, PipeClosed
from peer.ports import RandomBytes

BATCHES_PER_WORKER_MAX = 4
"""One being asked about, one being read and two waiting in the pipe, so that a worker never idles
while we record packs."""

KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
    "MALLOC_TOP_PAD_": str(16 << 20),
}
"""For glibc: buffers of megabytes come and go all the time here, and each page that is given back
to the system is zeroed anew for the next one. That was a fifth of a first backup's CPU time."""


class WorkerDied(Exception):
    """A worker process ended on its own; the text says why if it is known."""


class Pool(Protocol):
    """Takes batches of files; results come back by `wait`, packs by the `made` callback."""

    def has_room(self) -> bool:
        """Whether `submit` may be called now."""
        ...

    def submit(self, jobs: Sequence[FileJob]) -> None:
        """Have these files read."""
        ...

    def wait(self) -> list[FileResult]:
        """Results that are there; waits for at least one event while something is under way."""
        ...

    def busy(self) -> bool:
        """Whether results are still to come."""
        ...

    def flush(self) -> None:
        """Close all open packs; `made` has been called for each when it returns."""
        ...

    def close(self) -> None:
        """End the workers."""
        ...


class InlinePool:
    """Reads the files in this process, at `submit`."""

    def __init__(self, worker: ByteWorker) -> None:
        self._worker = worker
        self._results: list[FileResult] = []

    def has_room(self) -> bool:
        """Always: the work is done at once."""
        return True

    def submit(self, jobs: Sequence[FileJob]) -> None:
        """Read them now."""
        self._results += self._worker.process(jobs)

    def wait(self) -> list[FileResult]:
        """What `submit` has found."""
        results, self._results = self._results, []
        return results

    def busy(self) -> bool:
        """Whether `wait` has something to give."""
        return bool(self._results)

    def flush(self) -> None:
        """Close the open pack."""
        self._worker.flush()

    def close(self) -> None:
        """Nothing to end."""


def inline_pool(
    master: bytes,
    recipe: Recipe,
    random_bytes: RandomBytes,
    claim: ClaimNew,
    made: Callable[[PackMade], None],
) -> InlinePool:
    """A pool without processes."""
    keys = MemberKeys.from_master(master)
    packer = Packer(keys, recipe, PACK_DATA, random_bytes, made)
    return InlinePool(ByteWorker.asking_at_once(packer, claim))


class _Worker:
    """One worker process and how much it has been given."""

    def __init__(self, start: StartWorker) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "peer.backup.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **KEEP_MEMORY},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.pipe = FramedPipe(
            os.dup(self.process.stdout.fileno()), os.dup(self.process.stdin.fileno()), FromWorker
        )
        self.process.stdin.close()
        self.process.stdout.close()
        self.batches = 0
        self.flushing = False
        self.pipe.send(start)

    def end(self) -> None:
        self.pipe.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class ProcessPool:
    """Up to `size` worker processes, started as they are needed."""

    def __init__(
        self,
        master: bytes,
        recipe: Recipe,
        size: int,
        claim: ClaimNew,
        made: Callable[[PackMade], None],
    ) -> None:
        self._start = StartWorker(master, recipe)
        self._size, self._claim, self._made = size, claim, made
        self._workers: list[_Worker] = []

    def has_room(self) -> bool:
        """Whether a worker has fewer than `BATCHES_PER_WORKER_MAX` batches."""
        return len(self._workers) < self._size or any(
            worker.batches < BATCHES_PER_WORKER_MAX for worker in self._workers
        )

    def submit(self, jobs: Sequence[FileJob]) -> None:
        """Give them to the worker with the least to do."""
        worker = min(self._workers, key=lambda w: w.batches, default=None)
        if worker is None or (worker.batches and len(self._workers) < self._size):
            worker = _Worker(self._start)
            self._workers.append(worker)
        worker.batches += 1
        self._send(worker, Batch(list(jobs)))

    def wait(self) -> list[FileResult]:
        """Results that are there; answers claims and passes packs on meanwhile."""
        results: list[FileResult] = []
        while self.busy():
            progressed = False
            for worker in self._readable():
                for message in self._messages(worker):
                    progressed = True
                    if isinstance(message, BatchDone):
                        worker.batches -= 1
                        results += message.results
                    else:
                        self._handle(worker, message)
            if progressed:
                break
        return results

    def busy(self) -> bool:
        """Whether results are still to come."""
        return any(worker.batches for worker in self._workers)

    def flush(self) -> None:
        """Close all open packs."""
        assert not self.busy()
        for worker in self._workers:
            worker.flushing = True
            self._send(worker, Flush())
        while any(worker.flushing for worker in self._workers):
            for worker in self._readable():
                for message in self._messages(worker):
                    self._handle(worker, message)

    def close(self) -> None:
        """End the workers; what they had open is dropped."""
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    def _handle(self, worker: _Worker, message: object) -> None:
        match message:
            case Claim(ids):
                self._send(worker, Claimed(self._claim(ids)))
            case PackMade():
                self._made(message)
            case Flushed():
                worker.flushing = False
            case Failed(text):
                raise WorkerDied(text)
            case _:
                raise AssertionError(message)

    def _readable(self) -> list[_Worker]:
        ready, _, _ = select.select([worker.pipe.read_fd for worker in self._workers], [], [])
        return [worker for worker in self._workers if worker.pipe.read_fd in ready]

    def _messages(self, worker: _Worker) -> list[object]:
        messages: list[object] = []
        try:
            worker.pipe.fill()
        except PipeClosed as error:
            raise WorkerDied("a reading process ended unexpectedly") from error
        while (message := worker.pipe.buffered()) is not None:
            messages.append(message)
        return messages

    def _send(self, worker: _Worker, message: Batch | Claimed | Flush) -> None:
        try:
            worker.pipe.send(message)
        except PipeClosed as error:
            raise WorkerDied("a reading process ended unexpectedly") from error
