"""Holds the byte work back by stopping its processes for most of each second.

A low priority alone does not do: the scheduler shares fairly between sessions, whatever their
priorities are within. Engine and workers are stopped and continued together; the agent's own
process, with its links and the API, is never stopped. A process that is stopped while it writes to
the catalog delays the agent's next write by less than a second, which it waits for in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Protocol

PERIOD_S = 1.0


class Worker(Protocol):
    """A process that can be stopped (psutil.Process)."""

    def suspend(self) -> None: ...
    def resume(self) -> None: ...


class Throttle:
    """Lets the processes of `workers()` run for a part of the time.

    `errors` are what stopping one raises that has just ended.
    """

    def __init__(
        self, workers: Callable[[], Sequence[Worker]], errors: tuple[type[Exception], ...]
    ) -> None:
        self._workers, self._errors = workers, errors
        self._pace = 1.0
        self._changed = asyncio.Event()

    def set_pace(self, pace: float) -> None:
        """The part of the time, 0 to 1."""
        if pace != self._pace:
            self._pace = pace
            self._changed.set()

    async def run(self) -> None:
        """Until cancelled; then everything runs again."""
        try:
            while True:
                self._changed.clear()
                if self._pace >= 1:
                    self._let_go()
                    await self._changed.wait()
                    continue
                if self._pace > 0:
                    self._let_go()
                    await self._sleep(PERIOD_S * self._pace)
                self._stop()
                await self._sleep(PERIOD_S * (1 - self._pace))
        finally:
            self._let_go()

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    def _stop(self) -> None:
        for worker in self._workers():
            with contextlib.suppress(*self._errors):
                worker.suspend()

    def _let_go(self) -> None:
        for worker in self._workers():
            with contextlib.suppress(*self._errors):
                worker.resume()
