"""Bring a snapshot back: walk its tree, have its packs fetched, write its files.

Runs in the engine process. Files are written in windows, ordered by where their chunks lie, so
that each pack is needed once in a window however the files are spread over packs. What cannot be
had is named and left out; everything else is restored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from chunking.formats import (
    KIND_DIR,
    KIND_FILE,
    KIND_SYMLINK,
    ChunkId,
    Content,
    Entry,
    FormatError,
)
from chunking.keys import MemberKeys
from chunking.seal import Sealer
from chunking.tree import decode_directory, decode_snapshot, ids_of, split_ids
from peer.backup.messages import Failed, Note, Progress, Stop
from peer.catalog import Catalog, ChunkRow
from peer.files.checkout import Checkout, CheckoutError, FirstNameMissing, UnsafeName
from peer.restore.messages import (
    HavePack,
    Lost,
    LostPack,
    NeedPack,
    RestoreDone,
    StartRestore,
)
from peer.restore.packs import ASKED_MAX, PackIsLost, Packs, Stopped
from peer.restore.paths import Parts, Selection, join_path, split_path

WINDOW_FILES = 8192
WINDOW_BYTES = 512 << 20
"""Files written together; wide enough that a pack is rarely needed by two windows."""
CHUNKS_LOOKED_UP = 4096
PROGRESS_EVERY_BYTES = 4 << 20
PROGRESS_EVERY_FILES = 256


class Agent(Protocol):
    """The engine's way to the agent."""

    def send(self, message: NeedPack | Progress | Note | Lost | RestoreDone | Failed) -> None:
        """Tell the agent."""
        ...

    def poll(self, *, wait: bool) -> list[HavePack | LostPack | Stop]:
        """What the agent has said; with `wait`, at least one message."""
        ...


class ChunkIsLost(Exception):
    """A chunk cannot be had or is damaged; the text says why."""


class ChunkReader:
    """Chunks by id, from packs. `upcoming` names the packs that will be needed next."""

    def __init__(self, catalog: Catalog, packs: Packs, sealer: Sealer) -> None:
        self._catalog, self._packs, self._sealer = catalog, packs, sealer

    def locate(self, ids: list[ChunkId]) -> dict[ChunkId, ChunkRow]:
        """Where chunks lie; unknown ones are left out."""
        return self._catalog.find_chunks(ids)

    def prefetch(self, rows: Iterable[int]) -> None:
        """These packs are needed soon, in this order."""
        self._packs.want(rows)

    def open(self, where: ChunkRow) -> bytes:
        """One chunk's bytes, verified. Raises ChunkIsLost."""
        try:
            sealed = self._packs.read(where.pack, where.offset, where.length)
            return self._sealer.open(where.id, sealed)
        except PackIsLost as error:
            raise ChunkIsLost(str(error)) from error
        except FormatError as error:
            raise ChunkIsLost(f"a part of it is damaged ({error})") from error

    def get(self, ident: ChunkId) -> bytes:
        """A single chunk by id. Raises ChunkIsLost."""
        where = self._catalog.find_chunks([ident]).get(ident)
        if where is None:
            raise ChunkIsLost("a part of it is in no pack that is known here")
        return self.open(where)

    def content(self, content: Content) -> bytes:
        """All bytes of a content, for directory listings. Raises ChunkIsLost."""
        try:
            return b"".join(self.get(ident) for ident in ids_of(content, self.get))
        except FormatError as error:
            raise ChunkIsLost(f"its list of parts is damaged ({error})") from error


class RestoreRun:
    """One restore. Use `run` once."""

    def __init__(self, start: StartRestore, agent: Agent) -> None:
        self._start, self._agent = start, agent
        self._catalog = Catalog(Path(start.catalog))
        self._packs = Packs(self._catalog, agent, Path(start.scratch), start.scratch_bytes_max)
        sealer = Sealer(MemberKeys.from_master(start.master))
        self._chunks = ChunkReader(self._catalog, self._packs, sealer)
        self._selection = Selection(start.paths)
        self._checkout: Checkout | None = None
        self._window: list[tuple[Parts, Entry]] = []
        self._window_bytes = 0
        self._first_names: dict[int, tuple[Parts, Entry]] = {}
        self._links: list[tuple[Parts, Parts, Entry]] = []
        self._failed: set[Parts] = set()
        self._totals = (0, 0)
        self._files = self._bytes = self._lost = self._notes = 0
        self._reported = (0, 0)
        self._matched = False

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
        except CheckoutError as error:
            self._agent.send(Failed(str(error)))
        finally:
            self._packs.close()
            self._catalog.close()

    def _run(self) -> None:
        snapshot = decode_snapshot(self._chunks.get(ChunkId(self._start.snapshot)))
        if not self._start.paths:
            self._totals = (snapshot.files, snapshot.bytes)
        self._checkout = checkout = Checkout(
            self._start.target, overwrite=_overwrite(self._start.overwrite)
        )
        for root in snapshot.roots:
            parts = split_path(root.path)
            if self._selection.above(parts):
                self._walk_root(parts, root.entry)
        self._write_window()
        self._make_links()
        checkout.finish()
        for path, text in checkout.notes:
            self._note(path, text)
        if not self._matched:
            self._agent.send(Failed("none of these paths is in that snapshot"))
            return
        self._report(force=True)
        self._agent.send(RestoreDone(self._files, self._bytes, self._lost, self._notes))

    # --- walking ----------------------------------------------------------------------------

    def _walk_root(self, parts: Parts, entry: Entry) -> None:
        if entry.kind != KIND_DIR and not self._selection.inside(parts):
            return
        stack: list[Iterator[tuple[Parts, Entry]]] = [iter([(parts, entry)])]
        while stack:
            item = next(stack[-1], None)
            if item is None:
                stack.pop()
                continue
            below = self._visit(*item)
            if below is not None:
                stack.append(iter(below))

    def _visit(self, parts: Parts, entry: Entry) -> list[tuple[Parts, Entry]] | None:
        """Restore one entry; for a directory, what is wanted of it."""
        inside = self._selection.inside(parts)
        self._matched = self._matched or inside
        try:
            if entry.kind == KIND_DIR:
                if inside:
                    self._out.make_directory(parts, entry)
                return self._list(parts, entry)
            if entry.kind == KIND_SYMLINK:
                self._out.make_symlink(parts, entry)
            elif entry.kind == KIND_FILE:
                self._add_file(parts, entry)
        except UnsafeName:
            self._lose(parts, "its name is not safe to write")
        except (CheckoutError, ChunkIsLost, FormatError) as error:
            self._lose(parts, str(error))
        return None

    @property
    def _out(self) -> Checkout:
        assert self._checkout is not None
        return self._checkout

    def _list(self, parts: Parts, entry: Entry) -> list[tuple[Parts, Entry]]:
        entries = decode_directory(self._chunks.content(entry.content))
        below = [
            ((*parts, item.name), item)
            for item in entries
            if self._selection.above((*parts, item.name))
        ]
        listings = [
            ident
            for _, item in below
            if item.kind == KIND_DIR
            for ident in split_ids(item.content.ids)
        ]
        where = self._chunks.locate(listings)
        self._chunks.prefetch(dict.fromkeys(where[i].pack for i in listings if i in where))
        return below

    def _add_file(self, parts: Parts, entry: Entry) -> None:
        if entry.link_group:
            first = self._first_names.setdefault(entry.link_group, (parts, entry))
            if first[0] != parts and first[1].content == entry.content:
                self._links.append((parts, first[0], entry))
                return
        self._window.append((parts, entry))
        self._window_bytes += entry.size
        if len(self._window) >= WINDOW_FILES or self._window_bytes >= WINDOW_BYTES:
            self._write_window()

    # --- writing ----------------------------------------------------------------------------

    def _write_window(self) -> None:
        """Write the files of this window in the order in which their packs were made."""
        window, self._window, self._window_bytes = self._window, [], 0
        firsts = [ChunkId(e.content.ids[:32]) for _, e in window if e.content.level == 0]
        where = self._chunks.locate([ident for ident in firsts if ident])
        nowhere = (-1, -1)

        def place(item: tuple[Parts, Entry]) -> tuple[int, int]:
            row = where.get(ChunkId(item[1].content.ids[:32]))
            return nowhere if row is None else (row.pack, row.offset)

        ordered = sorted(window, key=place)
        packs = list(dict.fromkeys(row for row, _ in map(place, ordered) if row >= 0))
        turn = {row: number for number, row in enumerate(packs)}
        for parts, entry in ordered:
            now = turn.get(place((parts, entry))[0])
            if now is not None:
                self._chunks.prefetch(packs[now : now + ASKED_MAX])
            self._write_file(parts, entry)

    def _write_file(self, parts: Parts, entry: Entry) -> None:
        try:
            writer = self._out.open_file(parts, entry)
            if writer is None:
                self._note(join_path(parts), "kept as it was")
                return
            try:
                for data in self._file_chunks(entry.content):
                    writer.write(data)
                    self._bytes += len(data)
                    self._report()
                writer.done()
            except BaseException:
                writer.abort()
                raise
        except UnsafeName:
            self._lose(parts, "its name is not safe to write")
        except (CheckoutError, ChunkIsLost, FormatError) as error:
            self._lose(parts, str(error))
        else:
            self._files += 1
            self._report()

    def _file_chunks(self, content: Content) -> Iterator[bytes]:
        """A file's chunks in order, looked up a few thousand at a time."""
        batch: list[ChunkId] = []
        for ident in ids_of(content, self._chunks.get):
            batch.append(ident)
            if len(batch) == CHUNKS_LOOKED_UP:
                yield from self._open_all(batch)
                batch = []
        yield from self._open_all(batch)

    def _open_all(self, ids: list[ChunkId]) -> Iterator[bytes]:
        where = self._chunks.locate(ids)
        packs = list(dict.fromkeys(where[i].pack for i in ids if i in where))
        turn = {row: number for number, row in enumerate(packs)}
        for ident in ids:
            if ident not in where:
                raise ChunkIsLost("a part of it is in no pack that is known here")
            now = turn[where[ident].pack]
            if len(packs) > 1:
                self._chunks.prefetch(packs[now : now + ASKED_MAX])
            yield self._chunks.open(where[ident])

    def _make_links(self) -> None:
        for parts, first, entry in self._links:
            if first in self._failed:
                self._write_file(parts, entry)
                continue
            try:
                self._out.make_hardlink(parts, first, entry)
                self._files += 1
                self._bytes += entry.size
            except FirstNameMissing:
                self._write_file(parts, entry)
            except (UnsafeName, CheckoutError) as error:
                self._lose(parts, str(error))

    # --- telling ----------------------------------------------------------------------------

    def _lose(self, parts: Parts, text: str) -> None:
        self._lost += 1
        self._failed.add(parts)
        self._agent.send(Lost(join_path(parts), text))

    def _note(self, path: bytes, text: str) -> None:
        self._notes += 1
        self._agent.send(Note(path, text))

    def _report(self, *, force: bool = False) -> None:
        files, size = self._reported
        if (
            force
            or self._files - files >= PROGRESS_EVERY_FILES
            or self._bytes - size >= PROGRESS_EVERY_BYTES
        ):
            self._reported = (self._files, self._bytes)
            self._agent.send(Progress(self._files, self._bytes, *self._totals))


def _overwrite(text: str) -> str:
    if text not in ("never", "older", "always"):
        raise CheckoutError(b"", f"«{text}» is no way to overwrite")
    return text
