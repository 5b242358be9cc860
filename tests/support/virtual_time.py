"""An event loop whose time passes only when nothing else is left to do.

Minutes take milliseconds, and the same test takes the same course each time. There is no real
input or output in it, and no threads: `inline` stands in for `peer.blocking.run_blocking`.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Deadlock(Exception):
    """Nothing can ever wake up again."""


class _Clock(selectors.SelectSelector):
    """Waiting means moving the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Deadlock
        self.now += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Begins at zero seconds."""

    def __init__(self) -> None:
        self._virtual = _Clock()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


def run_virtually(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, in no time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


async def inline(function: Callable[..., T], /, *args: Any) -> T:
    """Blocking work that takes no time."""
    return function(*args)
