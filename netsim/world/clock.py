"""Time and chance of a simulated world: both come from one seed and from nothing else.

The loop's clock passes only when nothing is left to do, and then at once to the next moment at
which something is. There is no input or output in it, and no thread runs beside it.

Tasks are numbered in the order in which they are made. asyncio keeps tasks in sets, whose order
would otherwise depend on where in memory they lie, and with it who is cancelled first.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

FIRST_NS = 1_767_225_600 * 10**9
"""When every world begins: 2026-01-01, a Thursday, at 0:00 UTC."""
RESOLUTION_S = 1e-6
"""What lies less than this ahead is due."""
_NS = 10**9


class Deadlock(Exception):
    """Everybody waits for everybody: nothing can ever wake up again."""


class _JumpingClock(selectors.SelectSelector):
    """Waiting means moving the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Deadlock
        self.now += max(timeout, 0.0)
        return []


class _NumberedTask(asyncio.Task[Any]):
    """A task whose place in a set does not depend on its address."""

    def __init__(self, number: int, work: Any, **options: Any) -> None:  # noqa: ANN401
        self._number = number  # asyncio puts the task into a set at once
        super().__init__(work, **options)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class JumpingLoop(asyncio.SelectorEventLoop):
    """Begins at zero seconds."""

    def __init__(self) -> None:
        self._jumping = _JumpingClock()
        super().__init__(self._jumping)
        # asyncio takes timers up to this far ahead as due. Its own value is lost in the rounding
        # of times after some months, and it would wait for ever for a timer that is due now.
        self._clock_resolution = RESOLUTION_S
        self._made = 0
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._jumping.now

    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Any,  # noqa: ANN401 - any coroutine
        /,
        **options: Any,  # noqa: ANN401 - whatever the Python at hand passes on
    ) -> asyncio.Task[Any]:
        self._made += 1
        return _NumberedTask(self._made, work, loop=loop, **options)


def run_at_once(work: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on a loop whose clock jumps. Raises Deadlock."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(work)


async def run_here(function: Callable[..., T], /, *args: Any) -> T:  # noqa: ANN401
    """A `peer.ports.RunBlocking` without threads: blocking work takes no time."""
    return function(*args)


def chance_of(seed: int, *purpose: object) -> random.Random:
    """A source of chance for one purpose, so that what one draws changes nothing for others."""
    return random.Random(f"{seed} {' '.join(map(str, purpose))}")


class WallClock:
    """What one computer believes the time to be: it drifts, and it may be set wrong."""

    def __init__(self, drift: float = 0.0) -> None:
        """`drift` is how much faster than time it runs: 1e-5 is nearly a second a day."""
        self._rate, self._offset_s = 1 + drift, 0.0
        self._now = asyncio.get_running_loop().time

    def ns(self) -> int:
        """A `peer.ports.WallClock`."""
        return FIRST_NS + round((self._now() * self._rate + self._offset_s) * _NS)

    def s(self) -> float:
        """The same in seconds."""
        return self.ns() / _NS

    def jump(self, seconds: float) -> None:
        """Be set so much later, or earlier."""
        self._offset_s += seconds
