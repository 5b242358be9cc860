"""Who writes the files: worker processes, or this process itself (the simulator, tests).

Both kinds answer the same few calls; the engine never knows which it has.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from typing import Protocol

from peer.pipes import FramedPipe, PipeClosed
from peer.restore.batches import (
    Broken,
    Compared,
    CompareFiles,
    FromWriter,
    StartWriter,
    WriteFiles,
    Written,
)
from peer.restore.worker import FileWorker

BATCHES_PER_WORKER_MAX = 2
"""One being worked on and one waiting in the pipe, so that a worker never idles for us."""
ENDING_S = 10

Batch = WriteFiles | CompareFiles
Result = Written | Compared


class WorkerDied(Exception):
    """A worker process ended on its own; the text says why if it is known."""


class Pool(Protocol):
    """Takes batches; results come back by `wait`. Raises WorkerDied."""

    def has_room(self, lane: int | None = None) -> bool:
        """Whether `submit` may be called now."""
        ...

    def submit(self, batch: Batch, lane: int | None = None) -> None:
        """Have this done; batches of one lane are done by one worker, in order."""
        ...

    def wait(self) -> list[Result]:
        """Results that are there; waits for at least one while something is under way."""
        ...

    def busy(self) -> bool:
        """Whether results are still to come."""
        ...

    def close(self) -> None:
        """End the workers."""
        ...


def make_pool(start: StartWriter, workers: int) -> Pool:
    """So many processes, or none."""
    return ProcessPool(start, workers) if workers else InlinePool(start)


class InlinePool:
    """Does everything in this process, at `submit`."""

    def __init__(self, start: StartWriter) -> None:
        self._worker = FileWorker(start)
        self._results: list[Result] = []

    def has_room(self, lane: int | None = None) -> bool:
        """Always: the work is done at once."""
        return True

    def submit(self, batch: Batch, lane: int | None = None) -> None:
        """Do it now."""
        if isinstance(batch, WriteFiles):
            self._results.append(self._worker.write(batch))
        else:
            self._results.append(self._worker.compare(batch))

    def wait(self) -> list[Result]:
        """What `submit` has done."""
        results, self._results = self._results, []
        return results

    def busy(self) -> bool:
        """Whether `wait` has something to give."""
        return bool(self._results)

    def close(self) -> None:
        """Close what is open."""
        self._worker.close()


class _Worker:
    """One worker process and how much it has been given."""

    def __init__(self, start: StartWriter) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "peer.restore.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.pipe = FramedPipe(
            os.dup(self.process.stdout.fileno()), os.dup(self.process.stdin.fileno()), FromWriter
        )
        self.process.stdin.close()
        self.process.stdout.close()
        self.batches = 0
        self.pipe.send(start)

    def end(self) -> None:
        self.pipe.close()
        try:
            self.process.wait(timeout=ENDING_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class ProcessPool:
    """Up to `size` worker processes, started as they are needed."""

    def __init__(self, start: StartWriter, size: int) -> None:
        self._start, self._size = start, size
        self._workers: list[_Worker] = []
        self._lanes: dict[int, _Worker] = {}

    def has_room(self, lane: int | None = None) -> bool:
        """Whether a worker, or the one of this lane, has fewer than BATCHES_PER_WORKER_MAX."""
        if lane in self._lanes:
            return self._lanes[lane].batches < BATCHES_PER_WORKER_MAX
        return len(self._workers) < self._size or any(
            worker.batches < BATCHES_PER_WORKER_MAX for worker in self._workers
        )

    def submit(self, batch: Batch, lane: int | None = None) -> None:
        """Give it to the worker of its lane, or the one with the least to do."""
        worker = self._lanes.get(lane) if lane is not None else None
        if worker is None:
            worker = min(self._workers, key=lambda w: w.batches, default=None)
            if worker is None or (worker.batches and len(self._workers) < self._size):
                worker = _Worker(self._start)
                self._workers.append(worker)
            if lane is not None:
                self._lanes = {lane: worker}
        worker.batches += 1
        try:
            worker.pipe.send(batch)
        except PipeClosed as error:
            raise WorkerDied(self._last_words(worker)) from error

    def wait(self) -> list[Result]:
        """Results that are there; waits for at least one while something is under way."""
        results: list[Result] = []
        while self.busy() and not results:
            fds = [worker.pipe.read_fd for worker in self._workers]
            ready, _, _ = select.select(fds, [], [])
            for worker in self._workers:
                if worker.pipe.read_fd in ready:
                    results += self._results(worker)
        return results

    def busy(self) -> bool:
        """Whether results are still to come."""
        return any(worker.batches for worker in self._workers)

    def close(self) -> None:
        """End the workers; what they had open is dropped."""
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    def _results(self, worker: _Worker) -> list[Result]:
        try:
            worker.pipe.fill()
        except PipeClosed as error:
            raise WorkerDied("a writing process ended unexpectedly") from error
        results: list[Result] = []
        while (message := worker.pipe.buffered()) is not None:
            if isinstance(message, Broken):
                raise WorkerDied(message.text)
            worker.batches -= 1
            results.append(message)
        return results

    def _last_words(self, worker: _Worker) -> str:
        """Why a worker that takes no more batches has ended, if it said so."""
        try:
            while True:
                self._results(worker)
        except WorkerDied as died:
            return str(died)
