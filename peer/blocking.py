"""Blocking work in threads: the real `peer.ports.RunBlocking`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def run_blocking(function: Callable[..., T], /, *args: Any) -> T:  # noqa: ANN401
    """Run a function in a thread, to its end.

    A cancelled call, however often it is cancelled, still waits for its function: what that works
    on (an open file, a put) must not be taken away from under it.
    """
    task = asyncio.create_task(asyncio.to_thread(function, *args))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # seen; the cancellation is what counts
        raise
