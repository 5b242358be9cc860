"""A restore as the agent sees it: an engine that writes files, and a fetcher that feeds it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from peer.backup.messages import Failed, Note, Progress
from peer.catalog import PackRow, SnapshotRow
from peer.member import SCRATCH_BYTES_MAX, Emit, Engine, Member
from peer.restore.fetch import Fetcher, PackUnavailable, Whereabouts
from peer.restore.messages import (
    HavePack,
    HaveRange,
    Lost,
    LostPack,
    NeedPack,
    NeedRange,
    RestoreDone,
    StartRestore,
)
from peer.service import Event, Problem, done, note, progress
from peer.state import SCRATCH_PREFIX
from signaling.messages import MemberId

log = logging.getLogger("covey.restore")

REPORT_EVERY_S = 0.25
PATIENCE_S = 120.0
"""How long a person's restore waits for friends to come (back) while nothing arrives whole."""
LOOK_FOR_FRIENDS_S = 0.25
TRY_AGAIN_S = 10.0
"""A pack that could not be had is tried again when other friends are there, or after so long."""
LOST_NAMED_MAX = 1000
"""Lost files named in the summary; all of them are told as notes."""


@contextlib.asynccontextmanager
async def scratch_folder(member: Member) -> AsyncIterator[Path]:
    """A folder for what is on its way; gone at the end."""
    path = member.home / f"{SCRATCH_PREFIX}{member.random_bytes(4).hex()}"
    await member.run_blocking(path.mkdir)
    try:
        yield path
    finally:
        await member.run_blocking(shutil.rmtree, path, True)


def new_fetcher(member: Member, scratch: Path, whereabouts: Whereabouts) -> Fetcher:
    """A fetcher for one job of this member."""
    return Fetcher(
        owner=member.member,
        friends=member.friends,
        scratch=scratch,
        run_blocking=member.run_blocking,
        whereabouts=whereabouts,
    )


def remembered(member: Member) -> Whereabouts:
    """Where the catalog believes our shares to be; it is asked for each pack that is fetched."""
    return Whereabouts(member.catalog.placements)


class RestoreJob:
    """One restore. Use `run` once."""

    def __init__(
        self,
        member: Member,
        snapshot: SnapshotRow,
        target: str,
        paths: list[str],
        overwrite: str,
        emit: Emit,
        *,
        dry_run: bool = False,
        patience_s: float = 0.0,
    ) -> None:
        self._m, self._snapshot = member, snapshot
        self._patience_s = patience_s
        self._waiting: dict[NeedPack | NeedRange, list[str]] = {}
        self._target, self._paths, self._overwrite = target, paths, overwrite
        self._emit, self._dry_run = emit, dry_run
        self._lost: list[dict[str, str]] = []
        self._lost_count = 0
        self._now = Progress(0, 0, 0, 0)
        self._started = self._arrived = asyncio.get_running_loop().time()

    async def run(self) -> Event:
        """The whole restore; the event that ends it."""
        async with scratch_folder(self._m) as scratch:
            where = await self._m.run_blocking(remembered, self._m)
            self._fetcher = new_fetcher(self._m, scratch, where)
            engine = await self._m.start_engine(
                StartRestore(
                    master=self._m.master,
                    catalog=str(self._m.catalog_path),
                    snapshot=self._snapshot.id,
                    target=os.fsencode(self._target),
                    paths=[os.fsencode(path) for path in self._paths],
                    overwrite=self._overwrite,
                    scratch=str(scratch),
                    scratch_bytes_max=SCRATCH_BYTES_MAX,
                    workers=self._m.workers,
                    dry_run=self._dry_run,
                )
            )
            reporting = asyncio.create_task(self._report())
            try:
                return await self._attend(engine)
            finally:
                reporting.cancel()
                await asyncio.gather(reporting, return_exceptions=True)
                await engine.end()

    async def _attend(self, engine: Engine) -> Event:
        fetching: set[asyncio.Task[None]] = set()
        try:
            async for message in engine.messages():
                match message:
                    case NeedPack() | NeedRange():
                        task = asyncio.create_task(self._fetch(engine, message))
                        fetching.add(task)
                        task.add_done_callback(fetching.discard)
                    case Progress():
                        self._now = message
                    case Note(path, text):
                        self._emit(note(os.fsdecode(path), text))
                    case Lost(path, text):
                        self._lose(os.fsdecode(path), text)
                    case Failed(text):
                        raise Problem(
                            f"The restore had to stop: {text}.",
                            "What is back stays. When that is solved, repeat the command.",
                        )
                    case RestoreDone():
                        return self._done(message)
        finally:
            for task in fetching:
                task.cancel()
            await asyncio.gather(*fetching, return_exceptions=True)
        raise Problem("The restore ended unexpectedly.", "Try again.")

    async def _fetch(self, engine: Engine, need: NeedPack | NeedRange) -> None:
        try:
            pack = await self._m.run_blocking(self._m.catalog.pack, need.row)
            engine.send(await self._fetch_patiently(pack, need))
        except PackUnavailable as error:
            engine.send(LostPack(need.row, str(error)))
        except OSError as error:
            engine.send(LostPack(need.row, f"there is no room to put it: {error.strerror}"))
        except Exception:
            # The engine waits for an answer; a fault of ours must not leave it waiting for ever.
            log.exception("a pack could not be fetched")
            engine.send(LostPack(need.row, "Covey met a fault of its own"))

    async def _fetch_patiently(
        self, pack: PackRow, need: NeedPack | NeedRange
    ) -> HavePack | HaveRange:
        """Raises PackUnavailable when it cannot be had, and nothing else arrives for long."""
        while True:
            there = self._online()
            try:
                answer = await self._fetch_once(pack, need)
            except PackUnavailable:
                self._waiting[need] = self._fetcher.absent(pack, need.row)
                try:
                    if not await self._may_try_again(there):
                        raise
                finally:
                    del self._waiting[need]
            else:
                self._arrived = asyncio.get_running_loop().time()
                return answer

    async def _fetch_once(self, pack: PackRow, need: NeedPack | NeedRange) -> HavePack | HaveRange:
        if isinstance(need, NeedPack):
            return HavePack(need.row, await self._fetcher.fetch(pack, need.row))
        await self._fetcher.fetch_range(pack, need.row, need.offset, need.length)
        return HaveRange(need.row, need.offset, need.length)

    async def _may_try_again(self, there: set[MemberId]) -> bool:
        """Wait for other friends to be there than `there`; false when patience has ended."""
        loop = asyncio.get_running_loop()
        again = loop.time() + TRY_AGAIN_S
        while loop.time() < self._arrived + self._patience_s:
            if self._online() != there or loop.time() > again:
                return True
            await asyncio.sleep(LOOK_FOR_FRIENDS_S)
        return False

    def _online(self) -> set[MemberId]:
        return {friend.member for friend in self._m.friends.members().values() if friend.online}

    def _lose(self, path: str, text: str) -> None:
        self._lost_count += 1
        if len(self._lost) < LOST_NAMED_MAX:
            self._lost.append({"path": path, "text": text})
        self._emit(note(path, f"lost: {text}"))

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            self._emit(self._progress())

    def _progress(self) -> Event:
        now = self._now
        seconds = max(asyncio.get_running_loop().time() - self._started, 0.001)
        left = None
        if now.bytes and now.bytes_total:
            left = seconds * max(now.bytes_total - now.bytes, 0) / now.bytes
        stage = "wait" if self._waiting else "write" if now.bytes else "fetch"
        return progress(
            stage,
            files=now.files,
            files_total=now.files_total or None,
            bytes_done=now.bytes,
            bytes_total=now.bytes_total or None,
            shipped_bytes=self._fetcher.fetched_bytes,
            rate=self._fetcher.fetched_bytes / seconds,
            seconds_left=left,
            friends=self._fetcher.sources,
            waiting_for=sorted({name for names in self._waiting.values() for name in names}),
        )

    def _done(self, result: RestoreDone) -> Event:
        self._emit(self._progress())
        summary = {
            "files": result.files,
            "bytes": result.bytes,
            "same": result.same,
            "replaced": result.replaced,
            "kept": result.kept,
            "to_fetch_bytes": result.to_fetch,
            "dry_run": self._dry_run,
            "fetched_bytes": self._fetcher.fetched_bytes,
            "friends": dict(self._fetcher.sources),
            "lost": self._lost,
            "lost_count": self._lost_count,
            "notes": result.notes,
            "seconds": asyncio.get_running_loop().time() - self._started,
        }
        if self._lost_count:
            names = ", ".join(item["path"] for item in self._lost[:3])
            more = f" and {self._lost_count - 3:,} more" if self._lost_count > 3 else ""
            verb = "would be" if self._dry_run else "are"
            return done(
                ok=False,
                message=f"{result.files:,} files {verb} back; {self._lost_count:,} {verb} not: "
                f"{names}{more}.",
                next_step="Try again when more friends are online; what is back stays.",
                summary=summary,
            )
        message = would_do(result) if self._dry_run else did(result, self._target)
        return done(ok=True, message=message, summary=summary)


def did(result: RestoreDone, target: str) -> str:
    """What a restore without losses did, for a person."""
    place = "in their places" if target == "/" else f"in {target}"
    text = f"All {result.files:,} files are back {place}"
    if result.kept:
        text = f"{result.files:,} files are back {place}, {result.kept:,} were kept as they were"
    if result.same:
        text += f"; {result.same:,} of them were right already"
    return f"{text}."


def would_do(result: RestoreDone) -> str:
    """What a restore that was only tried would do, for a person."""
    new = result.files - result.same - result.replaced
    parts = [f"{new:,} files would be written new", f"{result.replaced:,} replaced"]
    parts += [f"{result.same:,} are right already", f"{result.kept:,} would be kept as they are"]
    size = f"{result.to_fetch / 1e6:,.1f} MB"
    return f"{', '.join(parts)}; about {size} would be fetched. Nothing was written."
