"""One night, as the agent sees it: survey the friends, ship what the engine makes, publish.

The order is what keeps the last complete snapshot restorable after a crash at any point: shares
are acknowledged by friends (each after its fsync), then the root record that needs them is written
here, then it goes to all friends. Only after that are shares deleted that nothing refers to.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from pathlib import Path

from chunking.formats import PackId
from chunking.pack import target_for
from chunking.root import RootRecord
from peer.backup.ignore import ignored_of
from peer.backup.left_out import LeftOut
from peer.backup.marks import outermost, read_marks
from peer.backup.messages import (
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
from peer.catalog import PackRow, share_names
from peer.member import Emit, Engine, Member
from peer.restore.job import scratch_folder
from peer.restore.messages import NeedRange
from peer.restore.recover import fill_catalog
from peer.service import Event, Problem, done, note, progress
from peer.upkeep import reconcile
from peer.upkeep.presence import read_presence
from peer.upkeep.redundancy import Code, choose_code
from signaling.messages import MemberId

log = logging.getLogger("covey.night")

REPORT_EVERY_S = 0.25
STALLED_S = 60.0
"""A night whose spool is full and of which nothing was shipped for so long is given up."""


@dataclass(slots=True)
class _Tally:
    """What the person is shown while it runs."""

    files: int = 0
    files_total: int = 0
    bytes: int = 0
    bytes_total: int = 0
    packed: int = 0
    notes: int = 0
    stored: int = 0
    losses: set[str] = field(default_factory=set)


class Night:
    """One night of one member. Use `run` once."""

    def __init__(self, member: Member, emit: Emit) -> None:
        self._m, self._left_out = member, LeftOut()
        self._tell = emit
        self._tally = _Tally()
        self._started = 0.0
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
        self._started = asyncio.get_running_loop().time()
        for path, text in await self._m.run_blocking(self._m.tags, self._m.catalog):
            self._emit(note(_text(path), text))
        marks = await self._m.run_blocking(read_marks, self._m.catalog)
        if not marks:
            raise Problem("Nothing is marked yet.", "Mark a folder: covey mark FOLDER")
        candidates = await survey(self._m)
        await refuse_newer_elsewhere(self._m, [c.member for c in candidates])
        presence = await self._m.run_blocking(read_presence, self._m.catalog)
        self._code = choose_code([presence.within_day(c.member) for c in candidates])
        self._shipper = Shipper(
            owner=self._m.member,
            friends=self._m.friends,
            catalog=self._m.catalog,
            run_blocking=self._m.run_blocking,
            candidates=candidates,
            names={c.member: self._m.friend_name(c.member) for c in candidates},
            released=self._released,
        )
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
                        self._tally.files, self._tally.bytes = files, size
                        self._tally.files_total = files_total
                        self._tally.bytes_total = bytes_total
                    case Note(path, text):
                        self._tally.notes += 1
                        self._emit(note(_text(path), text))
                    case NightReady():
                        return message
                    case Failed(text):
                        raise Problem(f"The backup had to stop: {text}.")
        finally:
            stalled.cancel()
            await ranges.close()
            await engine.end()
        if stalled.done() and not stalled.cancelled():
            raise Problem(self._too_few(len(self._shipper.unsafe)), "Try again later.")
        raise Problem(
            "The backup had to stop: the part that reads files ended unexpectedly.",
            "Try again; what was shipped is kept.",
        )

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
        self._tally.packed += made.length
        self._tally.stored += made.spool_bytes
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
            held = self._spooled + self._tally.stored - self._freed
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
            return self._failed("Part of the spool was damaged.", "Back up again.")
        if unsafe:
            return self._failed(self._too_few(len(unsafe)), self._who_to_ask())
        data = await self._m.run_blocking(make_root, self._m, ready, marks)
        holders = await publish(self._m, data)
        if len(holders) < self._code.safe:
            return self._failed(
                f"Only {len(holders)} friends could be told about the new snapshot.",
                "Back up again; only that is left to do.",
            )
        record = await self._m.run_blocking(read_record, self._m)
        await self._m.run_blocking(settle, self._m, record)
        await self._tidy()
        spare, _ = await self._m.run_blocking(self._m.catalog.thinnest)
        return self._succeeded(ready, spare)

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
            self._emit(self._progress())

    def _progress(self) -> Event:
        tally, shipper = self._tally, self._shipper
        seconds = max(asyncio.get_running_loop().time() - self._started, 0.001)
        rate = shipper.shipped_bytes / seconds
        scanned = tally.bytes >= tally.bytes_total > 0
        left = None
        if scanned and rate:
            left = max(tally.stored - shipper.shipped_bytes, 0) / rate
        elif tally.bytes:
            left = seconds * max(tally.bytes_total - tally.bytes, 0) / tally.bytes
        return progress(
            "ship" if scanned else "scan",
            files=tally.files,
            files_total=tally.files_total or None,
            bytes_done=tally.bytes,
            bytes_total=tally.bytes_total or None,
            shipped_bytes=shipper.shipped_bytes,
            rate=rate,
            seconds_left=left,
            friends={h.name: h.shares for h in shipper.holders.values()},
        )

    def _summary(self) -> dict[str, object]:
        tally = self._tally
        return {
            "files": tally.files,
            "bytes": tally.bytes,
            "packed_bytes": tally.packed,
            "stored_bytes": tally.stored,
            "shipped_bytes": self._shipper.shipped_bytes,
            "needed": self._code.needed,
            "total": self._code.total,
            "friends": {h.name: h.shares for h in self._shipper.holders.values()},
            "problems": dict(self._shipper.problems),
            "notes": tally.notes,
            "seconds": asyncio.get_running_loop().time() - self._started,
        }

    def _succeeded(self, ready: NightReady, spare: int) -> Event:
        self._tally.files, self._tally.bytes = ready.files, ready.size
        self._emit(self._progress())
        friends = _count(self._code.total, "friend")
        text = f"All {ready.files:,} files are safe with {friends}; any {spare} can vanish."
        if spare == 0:
            text = f"All {ready.files:,} files are with {friends}; nobody may vanish yet."
        if ready.missing_marks:
            text += f" {_count(len(ready.missing_marks), 'marked folder')} not there tonight."
        if ready.gone:
            text += (
                f" But {ready.gone:,} of {ready.before:,} pieces of the last backup are gone or "
                "rewritten, so nothing old will be removed. If you did that, say `covey confirm`; "
                "if not, restore from an earlier night."
            )
        if ready.notes:
            text += f" {_count(ready.notes, 'note')}: some files were left out or need a look."
        summary = self._summary() | {
            "snapshot": ready.snapshot.hex(),
            "can_vanish": spare,
            "gone": ready.gone,
            "held_back": bool(ready.hold),
            "removed_packs": ready.removed_packs,
            "copied_bytes": ready.copied_bytes,
        }
        return done(ok=True, message=text, summary=summary)

    def _failed(self, text: str, next_step: str) -> Event:
        return done(ok=False, message=text, next_step=next_step, summary=self._summary())

    def _too_few(self, packs: int) -> str:
        want = self._code.safe
        return (
            f"{_count(packs, 'part')} of the backup could not reach {want} friends. "
            "What was shipped is kept for next time."
        )

    def _who_to_ask(self) -> str:
        problems = [f"{name} {why}" for name, why in sorted(self._shipper.problems.items())]
        told = "; ".join(problems) + ". " if problems else ""
        if self._shipper.over_offer:
            return f"{told}Give more to the group (`covey space --give SIZE`), or mark less."
        return f"{told}Back up again when more are there."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
