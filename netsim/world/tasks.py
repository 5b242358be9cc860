"""The tasks of one simulated computer, which end together when it is switched off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from datachannel.errors import LinkClosed, Unavailable

T = TypeVar("T")


class Tasks:
    """`blame` hears of what a task raised that is neither the network's fault nor the end."""

    def __init__(self, blame: Callable[[BaseException], None]) -> None:
        self._blame = blame
        self._tasks: dict[asyncio.Task[Any], None] = {}

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Have this done beside the rest."""
        task: asyncio.Task[T] = asyncio.get_running_loop().create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not isinstance(error, Unavailable | LinkClosed):
            self._blame(error)

    async def stop(self) -> None:
        """Cancel all of them, and wait until they are over."""
        while self._tasks:
            tasks = [task for task in self._tasks if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
