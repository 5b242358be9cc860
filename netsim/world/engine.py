"""An engine without a process: a thread that runs only while the loop stands still.

The engine's code blocks where it waits for the agent (for room in the spool, for a range from a
friend), so it needs a stack of its own. The two take turns, strictly: the same seed gives the same
course, and no lock of either is ever waited for by the other.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

from peer.backup.messages import PackMade, StartBackup, Stop
from peer.backup.pool import inline_pool
from peer.backup.run import BackupRun
from peer.restore.messages import StartRestore
from peer.restore.run import RestoreRun

log = logging.getLogger("covey.sim")

Pause = Callable[[], float]
"""Seconds on the loop's clock for which the loop has its turn after each pack."""


class Killed(BaseException):
    """The computer is off: no `except Exception` may catch it."""


class TurnEngine:
    """Implements `peer.member.Engine`. With `pause`, packs are shipped while others are made."""

    def __init__(
        self,
        chance: random.Random,
        pause: Pause | None = None,
        deadly: tuple[type[BaseException], ...] = (Killed,),
    ) -> None:
        """What is `deadly` ends the engine without a word, as the death of its process does."""
        self._chance, self._pause, self._deadly = chance, pause, deadly
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
        if self._pause is not None and not (self._waits or self._ended or self._dead):
            self._loop.call_later(self._pause(), self._let_run)

    def _give_turn(self) -> None:
        self._our_turn.release()
        self._its_turn.acquire()
        if self._dead:
            raise Killed

    def _run(self, message: StartBackup | StartRestore) -> None:
        self._its_turn.acquire()
        try:
            if isinstance(message, StartBackup):
                some_bytes = self._chance.randbytes
                pool = partial(inline_pool, message.master, message.recipe, some_bytes)
                BackupRun(message, self, pool, some_bytes).run()
            else:
                RestoreRun(message, self).run()
        except self._deadly:
            pass
        except Exception:
            log.exception("the engine ended")
        self._ended = True
        self._our_turn.release()

    # What the engine calls, in its turn. `send` is told apart by who has the turn.

    def send(self, message: object) -> None:
        """Tell the other side."""
        if threading.current_thread() is self._thread:
            self._to_agent.append(message)
            if self._pause is not None and isinstance(message, PackMade):
                self._give_turn()
            return
        self._to_engine.append(message)
        if self._waits:
            self._let_run()

    def poll(self, *, wait: bool) -> list[Any]:
        """What the agent has said."""
        while wait and not self._to_engine:
            self._waits = True
            self._give_turn()
            self._waits = False
        found = list(self._to_engine)
        self._to_engine.clear()
        return found

    # What the agent calls.

    @property
    def ended(self) -> bool:
        """Whether its work is over, one way or the other."""
        return self._ended

    async def messages(self) -> AsyncIterator[Any]:
        """What the engine says, until it ends."""
        while True:
            while self._to_agent:
                yield self._to_agent.popleft()
            if self._ended:
                return
            self._news.clear()
            await self._news.wait()

    async def end(self) -> None:
        """See it out."""
        self._to_engine.append(Stop())
        while not self._ended:
            self._let_run()
        self._thread.join()

    def kill(self) -> None:
        """Have its thread end, wherever it waits."""
        self._dead = True
        while not self._ended:
            self._let_run()
        self._thread.join()
