"""The files of a restore: collected in windows, and written in the order in which packs hold them.

However the files of a window are spread over packs, each pack is needed once in it. What stands
there already and is right is not fetched; the rest goes to the pool in batches, each as soon as
what it needs has arrived, while the next parts of packs are on their way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice

from chunking.formats import Entry, FormatError
from chunking.tree import ids_of, split_ids
from peer.files.checkout import Checkout
from peer.restore.batches import ChunkAt, FileJob, WriteFiles, Written
from peer.restore.chunks import NOWHERE, ChunkIsLost, ChunkReader, part_of
from peer.restore.missing import Item, Missing
from peer.restore.packs import PackIsLost, Packs
from peer.restore.paths import Parts
from peer.restore.plan import Part, in_batches, parts_needed
from peer.restore.pool import Pool
from peer.restore.report import Report

WINDOW_FILES = 8192
WINDOW_BYTES = 512 << 20
"""Files written together; wide enough that a pack is rarely needed by two windows."""
WHOLE_BYTES_MAX = 64 << 20
"""Larger files go to a worker in pieces, so that the scratch folder need not hold all of one."""
PIECE_CHUNKS = 16
"""At most 64 MiB, and no more than a batch may need of packs, wherever its chunks lie."""
CHUNKS_LOOKED_UP = 1024
LOOK_AHEAD_PARTS = 96
"""Parts of packs that are asked for ahead; more than `Packs` has under way at a time."""


class Files:
    """Brings files back: `add` them, then `finish`. Their folders must have been made."""

    def __init__(
        self, pool: Pool, packs: Packs, chunks: ChunkReader, out: Checkout, report: Report
    ) -> None:
        self._pool, self._packs, self._chunks = pool, packs, chunks
        self._out, self._report = out, report
        self._missing = Missing(pool, chunks, out, report, dress=True, adopt=out.adopt)
        self._window: list[Item] = []
        self._window_bytes = 0
        self._numbers = 0
        self._under_way: dict[int, tuple[dict[int, FileJob], list[Part]]] = {}

    def add(self, parts: Parts, entry: Entry) -> None:
        """This file is wanted."""
        self._window.append((parts, entry))
        self._window_bytes += entry.size
        if len(self._window) >= WINDOW_FILES or self._window_bytes >= WINDOW_BYTES:
            self._bring_back()

    def finish(self) -> None:
        """Bring back what was added; all of it was tried when this returns."""
        self._bring_back()
        self._drain()

    def _bring_back(self) -> None:
        window, self._window, self._window_bytes = self._window, [], 0
        missing = self._missing.among(window, self._drain)
        large = [item for item in missing if _is_large(item[1])]
        jobs = self._jobs([item for item in missing if not _is_large(item[1])])
        batches = list(in_batches(jobs, self._packs.shape))
        needed = [parts_needed(batch) for batch in batches]
        for number, batch in enumerate(batches):
            self._look_ahead(needed[number:])
            self._write(batch)
        for parts, entry in large:
            self._write_large(parts, entry)

    # --- writing ----------------------------------------------------------------------------

    def _jobs(self, items: Sequence[Item]) -> list[FileJob]:
        """Jobs for files with short lists of chunks, by where their first chunks lie."""
        ids = [ident for _, entry in items for ident in split_ids(entry.content.ids)]
        placed = self._chunks.place(self._chunks.locate(ids).values())
        jobs: list[FileJob] = []
        for parts, entry in items:
            try:
                chunks = [placed[ident] for ident in split_ids(entry.content.ids)]
            except KeyError:
                self._report.lose(parts, NOWHERE)
                continue
            jobs.append(FileJob(self._number(), parts, entry, chunks))
        return sorted(jobs, key=_place)

    def _write(self, jobs: Sequence[FileJob], lane: int | None = None) -> None:
        """Have a batch written when what it needs is there; files that need more are lost."""
        parts = parts_needed(jobs)
        self._packs.pin(parts)
        gone = {part: text for part in parts if (text := self._bring(part))}
        if gone:
            jobs = [job for job in jobs if not self._lose_with(job, gone)]
        while not self._pool.has_room(lane):
            self._collect()
        self._packs.hear()
        number = self._number()
        self._under_way[number] = ({job.index: job for job in jobs}, parts)
        shapes = {part.row: self._packs.shape(part.row) for part in parts}
        packs = {row: (shape.needed, shape.length) for row, shape in shapes.items()}
        self._pool.submit(WriteFiles(number, list(jobs), packs), lane)

    def _bring(self, part: Part) -> str:
        """Wait for a part of a pack; why it cannot be had, or nothing."""
        while self._packs.is_crowded(part) and self._pool.busy():
            self._collect()
        try:
            self._packs.get(part)
        except PackIsLost as error:
            return str(error)
        return ""

    def _lose_with(self, job: FileJob, gone: dict[Part, str]) -> bool:
        for chunk in job.chunks:
            if (part := part_of(chunk)) in gone:
                self._report.lose(job.parts, gone[part])
                return True
        return False

    def _look_ahead(self, needed: Sequence[Sequence[Part]]) -> None:
        soon = dict.fromkeys(chain.from_iterable(needed[:LOOK_AHEAD_PARTS]))
        self._packs.want(islice(soon, LOOK_AHEAD_PARTS))

    def _write_large(self, parts: Parts, entry: Entry) -> None:
        """Write a file piece by piece, all by one worker."""
        index = lane = self._number()
        begun = False
        try:
            for piece in self._pieces(entry):
                self._write([FileJob(index, parts, entry, piece, not begun, last=False)], lane)
                begun = True
                if self._report.is_lost(parts):
                    break
        except ChunkIsLost as error:
            self._report.lose(parts, str(error))
        except FormatError as error:
            self._report.lose(parts, f"its list of parts is damaged ({error})")
        dropped = self._report.is_lost(parts)
        if begun or not dropped:
            end = FileJob(index, parts, entry, [], not begun, last=True, dropped=dropped)
            self._write([end], lane)

    def _pieces(self, entry: Entry) -> Iterator[list[ChunkAt]]:
        ids = ids_of(entry.content, self._chunks.get)
        while group := list(islice(ids, CHUNKS_LOOKED_UP)):
            placed = self._chunks.place(self._chunks.locate(group).values())
            if len(placed) < len(set(group)):
                raise ChunkIsLost(NOWHERE)
            pieces = [
                [placed[ident] for ident in group[at : at + PIECE_CHUNKS]]
                for at in range(0, len(group), PIECE_CHUNKS)
            ]
            for number, piece in enumerate(pieces):
                self._look_ahead([[part_of(c) for c in p] for p in pieces[number:]])
                yield piece

    # --- results ----------------------------------------------------------------------------

    def _drain(self) -> None:
        while self._pool.busy():
            self._collect()

    def _collect(self) -> None:
        for result in self._pool.wait():
            assert isinstance(result, Written)
            jobs, parts = self._under_way.pop(result.number)
            self._packs.unpin(parts)
            for index, text in result.lost:
                self._report.lose(jobs[index].parts, text)
            for index in result.kept:
                self._report.keep(jobs[index].parts, differs=True)
            for index, identity in result.identities:
                self._out.adopt(jobs[index].parts, identity)
            for path, text in result.notes:
                self._report.note(path, text)
            self._report.written += result.files
            self._report.bytes += result.size
        self._report.progress()

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers


def _is_large(entry: Entry) -> bool:
    return entry.content.level > 0 or entry.size > WHOLE_BYTES_MAX


def _place(job: FileJob) -> tuple[int, int]:
    """Where a file's first chunk lies; files without any come first."""
    return (job.chunks[0].row, job.chunks[0].offset) if job.chunks else (-1, -1)
