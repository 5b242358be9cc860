"""Tasks of which one's trouble is not the others', and which all end together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import ParamSpec

from datachannel.errors import LinkClosed, Unavailable

_log = logging.getLogger("covey.datachannel")
_P = ParamSpec("_P")


class Tasks:
    """The children of one `run`, which may start more of them at any time."""

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> bool:
        """Whether tasks can be started."""
        return self._group is not None

    async def run(self, main: Awaitable[None]) -> None:
        """Wait for `main`, then cancel what was spawned and wait for it. Once."""
        try:
            async with asyncio.TaskGroup() as self._group:
                try:
                    await main
                finally:
                    for task in list(self._tasks):
                        task.cancel()
        finally:
            self._group = None

    def spawn(
        self, work: Callable[_P, Awaitable[None]], *args: _P.args, **kwargs: _P.kwargs
    ) -> asyncio.Task[None]:
        """Run `work` as a child. What it raises is logged and ends nothing else."""
        assert self._group is not None, "only while running"
        # A function and not a coroutine: cancelled before it began, it must not be left unawaited.
        task = self._group.create_task(_guarded(work, *args, **kwargs))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _guarded(
    work: Callable[_P, Awaitable[None]], *args: _P.args, **kwargs: _P.kwargs
) -> None:
    try:
        await work(*args, **kwargs)
    except (Unavailable, LinkClosed):
        pass  # the world's fault; whoever waited was told
    except Exception:
        _log.exception("a link's task failed")
