"""A member and its friends in one process: real stores, real sessions, links in memory.

What is replaced is the network (links in memory instead of WebRTC) and the engine's process (a
thread). Faults are put between a friend's store and its link by wrapping the friend's handler.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from chunking.keys import MemberKeys
from datachannel.errors import Unavailable
from datachannel.link import Handler, PeerSession
from peer.backup.marks import add_marks
from peer.backup.messages import Failed, NightReady, StartBackup, Stop
from peer.backup.night import Night
from peer.backup.pool import inline_pool
from peer.backup.run import BackupRun
from peer.blocking import run_blocking
from peer.catalog import Catalog
from peer.holding.requests import HoldingHandler
from peer.holding.store import ShareStore
from peer.member import Member
from peer.restore.job import RestoreJob
from peer.restore.messages import RestoreDone, StartRestore
from peer.restore.run import RestoreRun
from peer.service import Event
from signaling.messages import MemberId, member_id_of
from tests.support.memory_link import MemoryLink

MASTER = b"m" * 32
END = object()


@dataclass
class Card:
    """What a friend tells of itself."""

    name: str
    offer_bytes: int = 1 << 30
    leaving: int = 0


@dataclass
class Holder:
    """A friend: its store on disk, and what it answers with."""

    member: MemberId
    card: Card
    store: ShareStore
    handler: Handler
    folder: Path
    online: bool = True
    links: list[MemoryLink] = field(default_factory=list)

    def share_files(self) -> list[Path]:
        """The files of whole shares, in order."""
        return sorted(path for path in self.folder.glob("*/shares/*/*") if path.is_file())


async def refuse_all(remote: MemberId, request: object, stream: Any) -> None:
    """The owner holds nothing for anyone here."""
    await stream.reset("bad_request")


class SmallGroup:
    """Implements `peer.ports.Friends` for the one owner in it."""

    def __init__(self, folder: Path, friends: int, *, limit_bytes: int = 1 << 30) -> None:
        self.folder = folder
        self.keys = MemberKeys.from_master(MASTER)
        self.owner = member_id_of(self.keys.identity_public_key)
        self.holders: dict[MemberId, Holder] = {}
        self._sessions: dict[MemberId, PeerSession] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._entropy = itertools.count(1)
        self.member = self._make_member()
        for number in range(friends):
            self.add_friend(number, limit_bytes)

    def add_friend(self, number: int, limit_bytes: int = 1 << 30) -> Holder:
        """One more friend, with an empty disk."""
        member = MemberId(bytes([number + 1]) * 32)
        folder = self.folder / f"friend {number}"
        store = ShareStore(
            folder,
            limit_bytes=limit_bytes,
            wall_s=lambda: 1.0,
            monotonic_s=lambda: 1.0,
            free_bytes_min=0,
        )
        handler = HoldingHandler(store, run_blocking=run_blocking)
        self.holders[member] = Holder(member, Card(f"friend {number}"), store, handler, folder)
        return self.holders[member]

    def _make_member(self) -> Member:
        home = self.folder / "owner"
        (home / "spool").mkdir(parents=True)
        return Member(
            home=home,
            master=MASTER,
            keys=self.keys,
            member=self.owner,
            name="owner",
            offer_bytes=1 << 30,
            catalog=Catalog(home / "catalog.sqlite"),
            catalog_path=home / "catalog.sqlite",
            spool=home / "spool",
            root_file=home / "root",
            friends=self,
            run_blocking=run_blocking,
            wall_clock=lambda: next(self._entropy) * 10**15,
            random_bytes=self.random_bytes,
            start_engine=ThreadEngine.start,
            workers=0,
        )

    def random_bytes(self, size: int) -> bytes:
        return next(self._entropy).to_bytes(size, "little")

    # --- Friends ----------------------------------------------------------------------------

    reached = True

    def members(self) -> dict[MemberId, Holder]:
        return self.holders

    async def session(self, member: MemberId) -> PeerSession:
        holder = self.holders[member]
        if not holder.online:
            raise Unavailable("the friend is not online")
        session = self._sessions.get(member)
        if session is None or session.closed:
            session = self._connect(holder)
        return session

    def _connect(self, holder: Holder) -> PeerSession:
        near, far = MemoryLink(holder.member), MemoryLink(self.owner)
        near.other, far.other = far, near
        holder.links.append(near)
        mine = PeerSession(near, refuse_all, initiator=True)
        theirs = PeerSession(far, holder.handler, initiator=False)
        self._sessions[holder.member] = mine
        self._tasks += [asyncio.create_task(_until_end(one)) for one in (mine, theirs)]
        return mine

    # --- what the owner does ----------------------------------------------------------------

    async def backup(self, *marks: Path) -> Event:
        """One night."""
        if marks:
            add_marks(self.member.catalog, [str(mark) for mark in marks])
        return await Night(self.member, lambda event: None).run()

    async def restore(
        self, target: Path, events: list[Event] | None = None, *, paths: Sequence[Path] = ()
    ) -> Event:
        """The newest snapshot, or some paths of it."""
        row = self.member.catalog.snapshots()[-1]
        emit = (lambda event: None) if events is None else events.append
        wanted = [str(path) for path in paths]
        return await RestoreJob(self.member, row, str(target), wanted, "always", emit).run()

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.member.catalog.close()


@asynccontextmanager
async def small_group(
    folder: Path, friends: int, *, timeout_s: float = 60, **how: Any
) -> AsyncIterator[SmallGroup]:
    """A group that ends with the test."""
    group = SmallGroup(folder, friends, **how)
    try:
        async with asyncio.timeout(timeout_s):
            yield group
    finally:
        await group.close()


async def _until_end(session: PeerSession) -> None:
    """A session's life; a member of the group that breaks the protocol ends its link only."""
    try:
        await session.run()
    except Exception:
        await session.close()


class ThreadEngine:
    """Implements `peer.member.Engine` by a thread of this process."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._to_agent: asyncio.Queue[object] = asyncio.Queue()
        self._to_engine: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @classmethod
    async def start(cls, message: StartBackup | StartRestore) -> ThreadEngine:
        engine = cls()
        engine._thread = threading.Thread(target=engine._run, args=(message,))
        engine._thread.start()
        return engine

    def _run(self, message: StartBackup | StartRestore) -> None:
        # Another beginning each night: packs that are written anew are never the same packs again.
        entropy = itertools.count(getattr(message, "time_ns", 10**9))

        def random_bytes(size: int) -> bytes:
            return next(entropy).to_bytes(size, "little")

        try:
            if isinstance(message, StartBackup):
                pool = partial(inline_pool, message.master, message.recipe, random_bytes)
                BackupRun(message, self._Side(self), pool, random_bytes).run()
            else:
                RestoreRun(message, self._Side(self)).run()
        finally:
            self._loop.call_soon_threadsafe(self._to_agent.put_nowait, END)

    @dataclass
    class _Side:
        """The engine's end."""

        engine: ThreadEngine

        def send(self, message: object) -> None:
            loop = self.engine._loop
            loop.call_soon_threadsafe(self.engine._to_agent.put_nowait, message)

        def poll(self, *, wait: bool) -> list[Any]:
            messages = []
            if wait:
                messages.append(self.engine._to_engine.get())
            while not self.engine._to_engine.empty():
                messages.append(self.engine._to_engine.get())
            return messages

    def send(self, message: object) -> None:
        self._to_engine.put(message)

    async def messages(self) -> AsyncIterator[Any]:
        while (message := await self._to_agent.get()) is not END:
            yield message
            if isinstance(message, NightReady | Failed | RestoreDone):
                return

    async def end(self) -> None:
        self._to_engine.put(Stop())
        assert self._thread is not None
        await asyncio.to_thread(self._thread.join)
