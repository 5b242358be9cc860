"""While the group's server is away: meet on the local network, and go back when it answers again.

The internet is down, or the server's computer is, and friends at home still have each other. Each
of them notices, looks for a server that a member of the group runs on the local network, or runs
one (lan_servers.py), and is there until the group's own server answers. What is known of friends
elsewhere stays; they count as away.

A server that restarts is waited for first. A member that has not been let in anywhere since it
began does not wait: somebody may want a restore.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from datachannel.joining import Servers, Unreachable
from signaling.messages import MoveNotice

AWAY_S = 10.0
"""A server that restarts is back by then."""
LOOK_BACK_S = 8.0
"""How often the group's own server is looked for. A look is one small request."""


class Main(Servers, Protocol):
    """The group's own servers (servers.KnownServers)."""

    @property
    def url_now(self) -> str: ...


class Spare(Servers, Protocol):
    """Servers that can be used while the others are away (lan_servers.LanServers)."""

    async def close(self) -> None: ...


class SpareServers:
    """Implements `datachannel.joining.Servers`. One task uses it."""

    def __init__(
        self, main: Main, spare: Spare, *, is_there: Callable[[str], Awaitable[bool]]
    ) -> None:
        self._main, self._spare, self._is_there = main, spare, is_there
        self._at_spare = ""
        self._is_spares_turn = False
        self._has_been_in = False
        self._away_since: float | None = None

    @property
    def is_near_only(self) -> bool:
        """Whether only friends on the local network are reached now."""
        return bool(self._at_spare)

    async def address(self) -> str:
        """See Servers."""
        self._at_spare = ""
        if self._is_spares_turn:
            self._is_spares_turn = False
            self._at_spare = await self._spare.address()
            return self._at_spare
        try:
            return await self._main.address()
        except Unreachable:
            self._note_failure()
            raise

    def joined(self, url: str) -> None:
        """See Servers."""
        self._has_been_in = True
        if url == self._at_spare:
            self._spare.joined(url)
            return
        self._away_since = None
        self._main.joined(url)

    def failed(self, url: str) -> bool:
        """See Servers."""
        if url == self._at_spare:
            self._at_spare = ""
            return self._spare.failed(url)
        self._note_failure()
        return self._main.failed(url)

    def moved(self, url: str, notice: MoveNotice) -> None:
        """See Servers."""
        self._main.moved(self._main.url_now if url == self._at_spare else url, notice)

    async def better(self, url: str) -> None:
        """See Servers."""
        if url != self._at_spare:
            await self._spare.close()
            await self._main.better(url)
            return
        waits: list[Coroutine[Any, Any, None]] = [
            self._spare.better(url),
            self._main.better(self._main.url_now),
            self._main_is_back(),
        ]
        tasks = [asyncio.create_task(one) for one in waits]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def knows_all(self, url: str) -> bool:
        """See Servers."""
        return url != self._at_spare

    async def _main_is_back(self) -> None:
        while True:
            await asyncio.sleep(LOOK_BACK_S)
            if await self._is_there(self._main.url_now):
                return

    def _note_failure(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._away_since is None:
            self._away_since = now
        self._is_spares_turn = not self._has_been_in or now - self._away_since >= AWAY_S
