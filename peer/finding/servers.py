"""The server of a group whose address is known: where to be, and where else if it is not there.

A group can move to another server (datachannel/moving.py). Then there are two addresses for a
while: the new one is tried first, and the one before stays a way back until the new one has let us
in. Who had to go back tries the new one again later. A group whose name has a domain in it asks the
domain anew when its server has been away for a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from peer.finding.order import NotFound

TRY_NEW_EVERY_S = 600.0
"""At the server before, how long until the new one is tried again."""
ASK_AFTER_FAILURES = 4
ASK_EVERY_S = 900.0

log = logging.getLogger("covey.finding")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a group is. `previous` is empty, or the server from which it moved to `url` with the
    notice of this number (`moves`), as long as `url` has not let us in."""

    url: str
    previous: str = ""
    moves: int = 0


class KnownServers:
    """Implements `datachannel.joining.Servers`. One task uses it.

    `save` keeps a place durably; `ask` asks the group's domain, and raises NotFound.
    """

    def __init__(
        self,
        place: Place,
        *,
        save: Callable[[Place], Awaitable[None]],
        ask: Callable[[], Awaitable[str]] | None = None,
    ) -> None:
        self.place, self._save, self._ask = place, save, ask
        self._saved = place
        self._failures = 0
        self._told = ""
        self._asked_at: float | None = None
        self._has_moved = asyncio.Event()

    async def address(self) -> str:
        """See Servers."""
        await self._keep()
        self._has_moved.clear()
        if self._failures >= ASK_AFTER_FAILURES:
            await self._ask_domain()
        known = [self.place.url, self.place.previous, self._told]
        others = [url for url in dict.fromkeys(known) if url]
        return others[self._failures % len(others)]

    def joined(self, url: str) -> None:
        """See Servers."""
        self._failures = 0
        if url == self.place.url:
            self.place = replace(self.place, previous="")
        elif url == self._told:
            self.place = replace(self.place, url=url, previous="")
        self._told = ""

    def failed(self, url: str) -> bool:
        """See Servers."""
        self._failures += 1
        return bool(self.place.previous)

    async def better(self, url: str) -> None:
        """See Servers."""
        await self._keep()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TRY_NEW_EVERY_S if url != self.place.url else None):
                await self._has_moved.wait()

    def moved(self, url: str, to: str, number: int) -> None:
        """The group says, at the server `url`, that it is at `to` now. Older news is none."""
        if number <= self.place.moves:
            return
        previous = "" if to == url else url
        self.place = Place(to, previous, number)
        self._failures = 0
        log.warning("the group has moved to another server")
        self._has_moved.set()

    async def _keep(self) -> None:
        if self.place != self._saved:
            place = self.place
            await self._save(place)
            self._saved = place

    async def _ask_domain(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._ask is None or (self._asked_at is not None and now - self._asked_at < ASK_EVERY_S):
            return
        self._asked_at = now
        try:
            self._told = await self._ask()
        except NotFound as error:
            log.info("%s", error)
