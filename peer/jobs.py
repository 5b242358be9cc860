"""Long work as a task, and its events as an iterator that anyone can close.

The work itself runs in a task of its own, so that closing the iterator cancels it cleanly and a
slow reader never holds it up: of progress only the newest is kept, all else waits in order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

from peer.member import Emit
from peer.service import Event

EVENTS_WAITING_MAX = 4096
"""Notes beyond these are dropped; their number is in the summary."""

Work = Callable[[Emit], Awaitable[Event]]


async def run_job(work: Work) -> AsyncIterator[Event]:
    """The events of `work`, the last of which is what it returns. Raises what it raises."""
    waiting: deque[Event] = deque()
    wake = asyncio.Event()

    def emit(event: Event) -> None:
        if event["event"] == "progress" and waiting and waiting[-1]["event"] == "progress":
            waiting.pop()
        if len(waiting) < EVENTS_WAITING_MAX:
            waiting.append(event)
        wake.set()

    async def body() -> Event:
        try:
            return await work(emit)
        finally:
            wake.set()

    task = asyncio.create_task(body())
    try:
        while not task.done() or waiting:
            while waiting:
                yield waiting.popleft()
            if not task.done():
                wake.clear()
                await wake.wait()
        yield task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
