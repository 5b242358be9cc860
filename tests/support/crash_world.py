"""A member that can die at any storage call and start again, with its friends, in one process.

Everything runs in turns, so that the N-th storage call is the same one each time: the engine is a
thread that runs only while the loop stands still and the other way round, blocking work is done on
the spot, and the loop's clock jumps ahead whenever there is nothing to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable
from functools import partial
from pathlib import Path
from typing import TypeVar

from datachannel.link import PeerSession
from netsim.world.clock import run_here
from netsim.world.engine import Killed, TurnEngine
from peer.backup.marks import add_marks
from peer.backup.messages import StartBackup
from peer.catalog import Catalog
from peer.holding.requests import HoldingHandler
from peer.holding.store import ShareStore
from peer.member import Member
from peer.restore.messages import StartRestore
from peer.state import drop_unfinished
from signaling.messages import MemberId
from tests.support.faults import Stopped
from tests.support.memory_link import MemoryLink
from tests.support.small_group import MASTER, Holder, SmallGroup, refuse_all

T = TypeVar("T")
PATIENCE_S = 6 * 3600.0
"""On the loop's clock; longer than anything may wait for anybody."""
DAY_NS = 86_400 * 10**9
FIRST_NS = 1_700_000_000 * 10**9


class NeverEnds(AssertionError):
    """A night or a restore waits for something that does not come."""


# --- a member and its friends ---------------------------------------------------------------------


class CrashGroup(SmallGroup):
    """A group on a folder that may have been used before. `seed` makes all that is random."""

    def __init__(self, folder: Path, friends: int, *, seed: str, now_ns: int) -> None:
        self._chance = random.Random(seed)
        self.now_ns = now_ns
        self.engines: list[TurnEngine] = []
        self.cut_after: dict[MemberId, int] = {}
        super().__init__(folder, friends)

    def add_friend(self, number: int, limit_bytes: int = 1 << 30) -> Holder:
        holder = super().add_friend(number, limit_bytes)
        holder.handler = HoldingHandler(holder.store, run_blocking=run_here)
        return holder

    def reopen(self, holder: Holder) -> None:
        """A friend that died starts again, on what its folder holds."""
        holder.store = ShareStore(
            holder.folder,
            limit_bytes=1 << 30,
            wall_s=lambda: 1.0,
            monotonic_s=lambda: 1.0,
            free_bytes_min=0,
        )
        holder.handler = HoldingHandler(holder.store, run_blocking=run_here)

    def _make_member(self) -> Member:
        home = self.folder / "owner"
        (home / "spool").mkdir(parents=True, exist_ok=True)
        drop_unfinished(home)  # as `peer.assembly` does
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
            run_blocking=run_here,
            wall_clock=lambda: self.now_ns,
            random_bytes=self.random_bytes,
            start_engine=self._start_engine,
            workers=0,
        )

    def random_bytes(self, size: int) -> bytes:
        return self._chance.randbytes(size)

    async def _start_engine(self, message: StartBackup | StartRestore) -> TurnEngine:
        chance = random.Random(self._chance.random())
        pause = partial(chance.choice, (0.0, 0.001, 0.2))
        engine = TurnEngine(chance, pause, deadly=(Killed, Stopped))
        self.engines.append(engine)
        engine.start(message)
        return engine

    def _connect(self, holder: Holder) -> PeerSession:
        near, far = MemoryLink(holder.member), MemoryLink(self.owner)
        near.other, far.other = far, near
        near.cut_after_bytes = self.cut_after.pop(holder.member, None)
        holder.links.append(near)
        mine = PeerSession(near, refuse_all, initiator=True)
        theirs = PeerSession(far, holder.handler, initiator=False)
        self._sessions[holder.member] = mine
        self._tasks += [asyncio.create_task(_until_end(one)) for one in (mine, theirs)]
        return mine

    def mark(self, folder: Path) -> None:
        """Mark a folder, once."""
        add_marks(self.member.catalog, [str(folder)])

    def cut_links(self) -> None:
        """All links of the member break."""
        for holder in self.holders.values():
            for link in holder.links:
                link.cut()

    async def until(self, work: Awaitable[T], dead: asyncio.Event) -> T | None:
        """Do this; None when the member dies meanwhile, and then nothing of it goes on."""
        task = asyncio.ensure_future(work)
        dying = asyncio.create_task(dead.wait())
        await asyncio.wait([task, dying], timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        dying.cancel()
        if not task.done() and not dead.is_set():
            task.cancel()
            raise NeverEnds
        if not dead.is_set():
            return await task
        self.cut_links()
        for engine in self.engines:
            engine.kill()
        task.cancel()
        with contextlib.suppress(BaseException):
            await task
        return None

    async def close(self) -> None:
        self.cut_links()
        for engine in self.engines:
            engine.kill()
        await super().close()


async def _until_end(session: PeerSession) -> None:
    """A session's life; whatever ends it, at either end, ends its link only."""
    try:
        await session.run()
    except asyncio.CancelledError:
        raise
    except BaseException:
        await session.close()
