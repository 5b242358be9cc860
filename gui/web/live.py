"""What pages hear without asking: how everything is, and what happens in long work.

The state is looked at anew twice a second while somebody listens, and told when it has changed. A
page that reads too slowly loses the oldest events of jobs, never the newest state.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

log = logging.getLogger("covey.gui")

LOOK_EVERY_S = 0.5
QUIET_EVERY_S = 15.0
"""A line is sent at least so often, so that both ends notice when the other is gone."""
WAITING_MAX = 2_000
"""Events that a slow page may be behind."""
LISTENERS_MAX = 64

State = dict[str, Any]


class Listener:
    """One page's open stream."""

    def __init__(self) -> None:
        self._events: deque[bytes] = deque(maxlen=WAITING_MAX)
        self._state: bytes | None = None
        self._wake = asyncio.Event()

    def hear_state(self, data: bytes) -> None:
        """The newest state; one that was not sent yet is forgotten."""
        self._state = data
        self._wake.set()

    def hear(self, data: bytes) -> None:
        """An event of a job."""
        self._events.append(data)
        self._wake.set()

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """What to send, for ever."""
        while True:
            try:
                async with asyncio.timeout(QUIET_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                yield b":\n\n"
                continue
            self._wake.clear()
            while self._events:
                yield self._events.popleft()
            if self._state is not None:
                state, self._state = self._state, None
                yield state


class Live:
    """All listeners. `look` gives the state now."""

    def __init__(self, look: Callable[[], Awaitable[State]]) -> None:
        self._look = look
        self._listeners: set[Listener] = set()
        self._told = b""
        self._looked = asyncio.Lock()

    def add(self) -> Listener:
        """A new listener, who hears the state at the next look; the caller removes it."""
        listener = Listener()
        if len(self._listeners) >= LISTENERS_MAX:
            raise RuntimeError("too many pages are open")
        self._listeners.add(listener)
        return listener

    def remove(self, listener: Listener) -> None:
        """It hears nothing any more."""
        self._listeners.discard(listener)

    def tell_job(self, job: str, event: dict[str, Any]) -> None:
        """An event of a job, to all."""
        data = _event("job", {**event, "job": job})
        for listener in self._listeners:
            listener.hear(data)

    async def tell_state(self, only: Listener | None = None) -> None:
        """Look, and tell everybody if something changed; `only` is told in any case.

        A look that fails is logged, and the next one tells.
        """
        async with self._looked:
            try:
                data = _event("state", await self._look())
            except Exception:
                log.exception("the state cannot be told")
                return
        if only is not None:
            only.hear_state(data)
        if data != self._told:
            self._told = data
            for listener in self._listeners:
                listener.hear_state(data)

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if self._listeners:
                await self.tell_state()


def _event(name: str, value: object) -> bytes:
    # Paths with bytes that are not UTF-8 travel as escaped lone surrogates, as in peer/api.py.
    return f"event: {name}\ndata: {json.dumps(value)}\n\n".encode()
