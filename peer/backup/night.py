"""One night, as the agent sees it: survey the friends, ship what the engine makes, publish.

The order is what keeps the last complete snapshot restorable after a crash at any point: shares
are acknowledged by friends (each after its fsync), then the root record that needs them is written
here, then it goes to all friends. Only after that are shares deleted that nothing refers to.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from chunking.formats import PackId
from chunking.pack import target_for
from chunking.root import RootRecord
from peer.backup.ignore import ignored_of
from peer.backup.left_out import LeftOut
from peer.backup.marks import outermost, read_marks
from peer.backup.messages import (
    NOTHING_FITS,
    Failed,
    NightReady,
    Note,
    PackMade,
    Progress,
    Recipe,
    Released,
    StartBackup,
    Stop,
)
from peer.backup.packer import is_pack_file
from peer.backup.publish import (
    lacks_index,
    make_root,
    publish,
    read_record,
    refuse_newer_elsewhere,
    settle,
)
from peer.backup.serving import RangeServer
from peer.backup.settings import forgotten, hold_of, keep_of
from peer.backup.ship import Shipment, Shipper
from peer.backup.survey import survey
from peer.backup.taking_part import who_takes_part
from peer.backup.telling import Telling
from peer.catalog import PackRow, share_names
from peer.member import Emit, Engine, Member
from peer.restore.job import scratch_folder
from peer.restore.messages import NeedRange
from peer.restore.recover import fill_catalog
from peer.service import Event, Problem, note
from peer.space.fitting import Room
from peer.space.telling import room_sentence
from peer.upkeep import reconcile
from peer.upkeep.redundancy import Code
from peer.upkeep.watching import friends_not_gone
from signaling.messages import MemberId

log = logging.getLogger("covey.night")

REPORT_EVERY_S = 0.25
STALLED_S = 60.0
"""A night whose spool is full and of which nothing was shipped for so long is given up."""


class Night:
    """One night of one member. Use `run` once."""

    def __init__(self, member: Member, emit: Emit) -> None:
        self._m, self._left_out = member, LeftOut()
        self._tell = emit
        self._telling: Telling
        self._room: Room
        self._shipper: Shipper
        self._engine: Engine | None = None
        self._code = Code(1, 1)
        self._spooled = 0
        self._freed = 0
        self._freed_early = 0  # released while the engine was started
        self._waiting_bytes = 0
        self._removals: set[asyncio.Task[None]] = set()

    def _emit(self, event: Event) -> None:
        self._left_out.hear(event)
        self._tell(event)

    async def run(self) -> Event:
        """The whole night; the event that ends it. Raises Problem when it cannot begin."""
        started = asyncio.get_running_loop().time()
        for path, text in await self._m.run_blocking(self._m.tags, self._m.catalog):
            self._emit(note(_text(path), text))
        marks = await self._m.run_blocking(read_marks, self._m.catalog)
        if not marks:
            raise Problem("Nothing is marked yet.", "Mark a folder: covey mark FOLDER")
        candidates = await survey(self._m)
        await refuse_newer_elsewhere(self._m, [c.member for c in candidates])
        candidates, self._room = await self._m.run_blocking(
            who_takes_part, self._m, outermost(marks), candidates
        )
        self._code = self._room.code
        self._shipper = Shipper(
            owner=self._m.member,
            friends=self._m.friends,
            catalog=self._m.catalog,
            run_blocking=self._m.run_blocking,
            candidates=candidates,
            names={c.member: self._m.friend_name(c.member) for c in candidates},
            released=self._released,
        )
        self._telling = Telling(self._code, self._room, self._shipper, started)
        shipping = asyncio.create_task(self._shipper.run())
        reporting = asyncio.create_task(self._report())
        try:
            record = await self._settle()
            await self._resume()
            async with scratch_folder(self._m) as scratch:
                ready = await self._run_engine(outermost(marks), record, scratch)
            await self._m.run_blocking(self._left_out.write, self._m.catalog)
            await self._settled(shipping)
            return await self._finish(ready, marks)
        finally:
            for task in (shipping, reporting):
                task.cancel()
            await asyncio.gather(shipping, reporting, *self._removals, return_exceptions=True)
            await self._m.run_blocking(self._forget_broken)

    # --- before -----------------------------------------------------------------------------

    async def _settle(self) -> RootRecord | None:
        """Start from what the last root record made true; it is the truth about snapshots."""
        call = self._m.run_blocking
        record = await call(read_record, self._m)
        if record is not None and await call(lacks_index, self._m, record):
            await fill_catalog(self._m, record, self._emit)
        await call(settle, self._m, record)
        return record

    async def _resume(self) -> None:
        """Go on with what an earlier night left in the spool."""
        for row, path, acked in await self._m.run_blocking(self._leftovers):
            self._spooled += path.stat().st_size
            self._shipper.add(row, path, acked)

    def _leftovers(self) -> list[tuple[PackRow, Path, dict[int, MemberId]]]:
        """Packs with a spool file; drops files without a pack, and unsafe packs without a file."""
        catalog = self._m.catalog
        left: dict[int, tuple[PackRow, Path, dict[int, MemberId]]] = {}
        for path in sorted(self._m.spool.iterdir()):
            row = catalog.pack_by_id(bytes.fromhex(path.name)) if is_pack_file(path) else None
            acked = {} if row is None else catalog.placements(row.pack)
            if row is None or len(acked) == row.total:
                path.unlink()
            else:
                left[row.pack] = (row, path, acked)
        for row in catalog.unsafe_packs():
            if row.pack not in left and len(catalog.placements(row.pack)) < row.needed:
                catalog.drop_pack(row.pack)
        return [left[pack] for pack in sorted(left)]

    # --- shipping ---------------------------------------------------------------------------

    async def _run_engine(
        self, marks: list[bytes], record: RootRecord | None, scratch: Path
    ) -> NightReady:
        member = self._m
        settings = record.settings if record is not None else {}
        recipe = Recipe(
            owner=member.member,
            needed=self._code.needed,
            total=self._code.total,
            pack_bytes=target_for(self._code.needed),
            spool=str(member.spool),
        )
        self._engine = engine = await member.start_engine(
            StartBackup(
                master=member.master,
                catalog=str(member.catalog_path),
                recipe=recipe,
                marks=marks,
                exclude=[bytes(member.home)],
                member_name=member.name,
                time_ns=member.wall_clock(),
                workers=member.workers,
                spool_bytes_max=member.spool_bytes_max,
                spool_bytes=self._spooled,
                scratch=str(scratch),
                keep=str(keep_of(member.catalog, settings)),
                hold=hold_of(member.catalog, settings, record.counter if record else 0),
                forget=list(forgotten(member.catalog)),
                ignore=ignored_of(member.catalog, settings),
                meant=read_marks(member.catalog),
                room_bytes=self._room_left(),
                friends=len(await member.run_blocking(friends_not_gone, member)),
            )
        )
        ranges = RangeServer(member, engine, scratch)
        if self._freed_early:
            engine.send(Released(self._freed_early))
        stalled = asyncio.create_task(self._stop_when_stalled(engine))
        try:
            async for message in engine.messages():
                match message:
                    case PackMade():
                        self._add_pack(message)
                    case NeedRange():
                        ranges.fetch(message)
                    case Progress(files, size, files_total, bytes_total):
                        self._telling.tally.files, self._telling.tally.bytes = files, size
                        self._telling.tally.files_total = files_total
                        self._telling.tally.bytes_total = bytes_total
                    case Note(path, text):
                        self._telling.tally.notes += 1
                        self._emit(note(_text(path), text))
                    case NightReady():
                        return message
                    case Failed(text):
                        step = room_sentence(self._room) if text == NOTHING_FITS else ""
                        raise Problem(f"The backup had to stop: {text}.", step)
        finally:
            stalled.cancel()
            await ranges.close()
            await engine.end()
        if stalled.done() and not stalled.cancelled():
            raise Problem(self._telling.too_few(len(self._shipper.unsafe)), "Try again later.")
        raise Problem(
            "The backup had to stop: the part that reads files ended unexpectedly.",
            "Try again; what was shipped is kept.",
        )

    def _room_left(self) -> int:
        """How much more of files fits, when all that waits in the spool is at friends."""
        waiting = self._spooled * self._code.needed // self._code.total
        return max(0, self._room.usable_bytes - waiting)

    def _add_pack(self, made: PackMade) -> None:
        row = PackRow(
            pack=made.row,
            id=PackId(made.id),
            kind=made.kind,
            needed=made.needed,
            length=made.length,
            shares=share_names(made.shares),
            safe=False,
            index_pack=0,
            is_copy=made.is_copy,
        )
        self._telling.tally.packed += made.length
        self._telling.tally.stored += made.spool_bytes
        self._shipper.add(row, self._m.spool / made.id.hex(), {})

    def _released(self, shipment: Shipment) -> None:
        """The shipper is done with a pack: its spool file goes, unless somebody still lacks it.

        What a safe pack still lacks waits in half of the spool; beyond that, repair makes it.
        """
        whole = len(shipment.acked) == shipment.row.total
        if not whole:
            waiting = self._waiting_bytes + shipment.spool_bytes
            if not shipment.safe or waiting <= self._m.spool_bytes_max // 2:
                self._waiting_bytes = waiting
                return
        removal = asyncio.create_task(self._remove(shipment))
        self._removals.add(removal)
        removal.add_done_callback(self._removals.discard)

    async def _remove(self, shipment: Shipment) -> None:
        """Delete a spool file: of a large one, that takes too long for the event loop."""
        await self._m.run_blocking(shipment.path.unlink, True)
        self._freed += shipment.spool_bytes
        if self._engine is None:
            self._freed_early += shipment.spool_bytes
        else:
            self._engine.send(Released(shipment.spool_bytes))

    async def _stop_when_stalled(self, engine: Engine) -> None:
        """End the engine when its spool is full of what nobody takes."""
        idle_since: float | None = None
        loop = asyncio.get_running_loop()
        while idle_since is None or loop.time() - idle_since < STALLED_S:
            await asyncio.sleep(1)
            held = self._spooled + self._telling.tally.stored - self._freed
            if not self._shipper.idle() or held < self._m.spool_bytes_max:
                idle_since = None
            elif idle_since is None:
                idle_since = loop.time()
        engine.send(Stop())

    async def _settled(self, shipping: asyncio.Task[None]) -> None:
        settled = asyncio.create_task(self._shipper.settled())
        await asyncio.wait([settled, shipping], return_when=asyncio.FIRST_COMPLETED)
        if not settled.done():
            settled.cancel()
            await shipping  # raises what ended it

    def _forget_broken(self) -> None:
        for row in self._shipper.broken:
            self._m.catalog.drop_pack(row.pack)
        for row in self._shipper.damaged:
            (self._m.spool / row.id.hex()).unlink(missing_ok=True)

    # --- after ------------------------------------------------------------------------------

    async def _finish(self, ready: NightReady, marks: list[bytes]) -> Event:
        broken = self._shipper.broken
        unsafe = await self._m.run_blocking(self._m.catalog.unsafe_packs)
        if broken:
            return self._telling.failed("Part of the spool was damaged.", "Back up again.")
        if unsafe:
            told = self._telling
            return told.failed(told.too_few(len(unsafe)), told.who_to_ask())
        data = await self._m.run_blocking(make_root, self._m, ready, marks)
        holders = await publish(self._m, data)
        if len(holders) < self._code.safe:
            return self._telling.failed(
                f"Only {len(holders)} friends could be told about the new snapshot.",
                "Back up again; only that is left to do.",
            )
        record = await self._m.run_blocking(read_record, self._m)
        await self._m.run_blocking(settle, self._m, record)
        await self._tidy()
        spare, _ = await self._m.run_blocking(self._m.catalog.thinnest)
        if spare < 0:
            return self._telling.failed(
                "Not all of the backup can be rebuilt from what friends have who are not gone.",
                "See what is missing, and who may still have it: covey check.",
            )
        return self._telling.succeeded(ready, spare)

    async def _tidy(self) -> None:
        """Delete what a killed night left at friends, and learn what they really hold."""
        listings = await reconcile.ask_all(self._m.friends)
        comparison = await self._m.run_blocking(reconcile.compare, self._m.catalog, listings)
        await self._m.run_blocking(reconcile.record, self._m.catalog, comparison)
        await reconcile.delete_garbage(self._m.friends, comparison.garbage)

    # --- telling ----------------------------------------------------------------------------

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            self._emit(self._telling.progress())


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
