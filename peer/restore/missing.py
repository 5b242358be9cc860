"""Which files must be written: those that do not stand at their place already as they should."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from chunking.formats import Entry, FormatError
from chunking.tree import ids_of
from peer.files.checkout import CheckoutError, UnsafeName
from peer.files.standing import Standing, has_content
from peer.files.writing import FileCheckout, Identity
from peer.restore.batches import Compared, CompareFiles, FileJob
from peer.restore.chunks import ChunkIsLost, ChunkReader
from peer.restore.paths import Parts
from peer.restore.plan import BATCH_FILES_MAX
from peer.restore.pool import Pool
from peer.restore.report import Report

COMPARED_BYTES = 64 << 20
"""What a worker compares at a time: a fraction of a second, so that none idles for long."""
UNSAFE = "its name is not safe to write"

Item = tuple[Parts, Entry]
Adopt = Callable[[Parts, Identity], None]


class Missing:
    """Sorts files out. Those that are right are dressed if so wished, and told to `adopt`."""

    def __init__(
        self,
        pool: Pool,
        chunks: ChunkReader,
        out: FileCheckout,
        report: Report,
        *,
        dress: bool,
        adopt: Adopt,
    ) -> None:
        self._pool, self._chunks, self._out = pool, chunks, out
        self._report, self._dress, self._adopt = report, dress, adopt

    def among(self, window: Sequence[Item], drain: Callable[[], None]) -> list[Item]:
        """The files that must be written; the others are told as kept, right or lost.

        `drain` is called before the pool is used; nothing may be under way in it after that.
        """
        missing: list[Item] = []
        doubtful: list[Item] = []
        for parts, entry in window:
            try:
                standing = self._out.standing(parts, entry)
            except UnsafeName:
                self._report.lose(parts, UNSAFE)
                continue
            except CheckoutError as error:
                self._report.lose(parts, str(error))
                continue
            if standing is Standing.SAME_SIZE:
                doubtful.append((parts, entry))
            elif standing in (Standing.KEEP, Standing.KEEP_SAME):
                self._report.keep(parts, differs=standing is Standing.KEEP)
            else:
                self._report.replaced += standing is Standing.OTHER
                missing.append((parts, entry))
        if doubtful:
            drain()
            other = self._other(doubtful)
            self._report.replaced += len(other)
            missing += other
        return missing

    def _other(self, doubtful: Sequence[Item]) -> list[Item]:
        """Those files of the right size that have another content."""
        same = self._compare(doubtful)
        for index, identity in same.items():
            parts, entry = doubtful[index]
            if entry.link_group and identity is not None:
                self._adopt(parts, identity)
            self._report.same += 1
            self._report.bytes += entry.size
        self._report.progress()
        return [item for index, item in enumerate(doubtful) if index not in same]

    def _compare(self, items: Sequence[Item]) -> dict[int, Identity | None]:
        """The places in `items` of the files that are right."""
        same: dict[int, Identity | None] = {}
        jobs: list[FileJob] = []
        size = 0
        for index, (parts, entry) in enumerate(items):
            if entry.content.level:
                identity = self._compare_here(parts, entry)
                if identity is not None:
                    same[index] = identity
                continue
            jobs.append(FileJob(index, parts, entry, []))
            size += entry.size
            if len(jobs) == BATCH_FILES_MAX or size >= COMPARED_BYTES:
                self._submit(jobs, same)
                jobs, size = [], 0
        if jobs:
            self._submit(jobs, same)
        while self._pool.busy():
            self._collect(same)
        return same

    def _submit(self, jobs: list[FileJob], same: dict[int, Identity | None]) -> None:
        while not self._pool.has_room():
            self._collect(same)
        self._pool.submit(CompareFiles(0, jobs, self._dress))

    def _collect(self, same: dict[int, Identity | None]) -> None:
        for result in self._pool.wait():
            assert isinstance(result, Compared)
            same.update(dict.fromkeys(result.same))
            same.update(result.identities)
            for path, text in result.notes:
                self._report.note(path, text)

    def _compare_here(self, parts: Parts, entry: Entry) -> Identity | None:
        """A file whose list of chunks is itself in chunks, which only the engine can read."""

        def is_same(fd: int) -> bool:
            ids = ids_of(entry.content, self._chunks.get)
            return has_content(fd, entry, ids, self._chunks.id_of)

        with contextlib.suppress(CheckoutError, ChunkIsLost, FormatError):  # writing it will tell
            return self._out.find_same(parts, entry, is_same, dress=self._dress)
        return None
