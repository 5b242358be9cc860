"""A member that can die at any storage call and start again, with its friends, in one process.

Everything runs in turns, so that the N-th storage call is the same one each time: the engine is a
thread that runs only while the loop stands still and the other way round, blocking work is done on
the spot, and the loop's clock jumps ahead whenever there is nothing to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import selectors
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from datachannel.link import PeerSession
from peer.backup.marks import add_marks
from peer.backup.messages import PackMade, StartBackup, Stop
from peer.backup.pool import inline_pool
from peer.backup.run import BackupRun
from peer.catalog import Catalog
from peer.holding.requests import HoldingHandler
from peer.holding.store import ShareStore
from peer.member import Member
from peer.restore.messages import StartRestore
from peer.restore.run import RestoreRun
from peer.state import drop_unfinished
from signaling.messages import MemberId
from tests.support.faults import Stopped
from tests.support.memory_link import MemoryLink
from tests.support.small_group import MASTER, Holder, SmallGroup, refuse_all

log = logging.getLogger("covey.tests")

T = TypeVar("T")
PATIENCE_S = 6 * 3600.0
"""On the loop's clock; longer than anything may wait for anybody."""
DAY_NS = 86_400 * 10**9
FIRST_NS = 1_700_000_000 * 10**9


class NeverEnds(AssertionError):
    """A night or a restore waits for something that does not come."""


# --- a loop whose clock jumps ---------------------------------------------------------------------


class _Jumping(selectors.SelectSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("everybody waits for everybody")
        self.now += max(timeout, 0.0)
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    """Its time passes only when nothing is left to do, and then at once."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run_at_once(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on a loop whose clock jumps."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(main)


async def run_here(function: Callable[..., T], /, *args: Any) -> T:
    """A `peer.ports.RunBlocking` without threads."""
    return function(*args)


# --- an engine that runs while the loop stands still ---------------------------------------------


class TurnEngine:
    """Implements `peer.member.Engine` by a thread that takes turns with the loop.

    After each pack the loop has its turn for a while, so that packs are shipped meanwhile.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._loop = asyncio.get_running_loop()
        self._to_agent: deque[object] = deque()
        self._to_engine: deque[object] = deque()
        self._news = asyncio.Event()
        self._its_turn, self._our_turn = threading.Semaphore(0), threading.Semaphore(0)
        self._waits = self._ended = self._dead = False
        self._thread: threading.Thread

    def start(self, message: StartBackup | StartRestore) -> None:
        """Let it run until it waits for something."""
        self._thread = threading.Thread(target=self._run, args=(message,), daemon=True)
        self._thread.start()
        self._let_run()

    def _let_run(self) -> None:
        if self._ended:
            return
        self._its_turn.release()
        self._our_turn.acquire()
        self._news.set()
        if not self._waits and not self._ended and not self._dead:
            self._loop.call_later(self._chance.choice((0.0, 0.001, 0.2)), self._let_run)

    def _give_turn(self) -> None:
        self._our_turn.release()
        self._its_turn.acquire()
        if self._dead:
            raise Stopped

    def _run(self, message: StartBackup | StartRestore) -> None:
        self._its_turn.acquire()
        try:
            if isinstance(message, StartBackup):
                some_bytes = self._chance.randbytes
                pool = partial(inline_pool, message.master, message.recipe, some_bytes)
                BackupRun(message, self, pool, some_bytes).run()
            else:
                RestoreRun(message, self).run()
        except Stopped:
            pass
        except Exception:
            log.exception("the engine ended")
        self._ended = True
        self._our_turn.release()

    # What the engine calls, in its turn. `send` is told apart by who has the turn.

    def send(self, message: object) -> None:
        if threading.current_thread() is self._thread:
            self._to_agent.append(message)
            if isinstance(message, PackMade):
                self._give_turn()
            return
        self._to_engine.append(message)
        if self._waits:
            self._let_run()

    def poll(self, *, wait: bool) -> list[Any]:
        while wait and not self._to_engine:
            self._waits = True
            self._give_turn()
            self._waits = False
        found = list(self._to_engine)
        self._to_engine.clear()
        return found

    # What the agent calls.

    async def messages(self) -> AsyncIterator[Any]:
        while True:
            while self._to_agent:
                yield self._to_agent.popleft()
            if self._ended:
                return
            self._news.clear()
            await self._news.wait()

    async def end(self) -> None:
        self._to_engine.append(Stop())
        while not self._ended:
            self._let_run()

    def kill(self) -> None:
        """Have its thread end, wherever it waits."""
        self._dead = True
        while not self._ended:
            self._let_run()
        self._thread.join()


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
        engine = TurnEngine(random.Random(self._chance.random()))
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
