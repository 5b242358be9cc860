"""The server of a group: where to be, and where else if it is not there.

A group can move to another server (datachannel/moving.py). Then there are two addresses for a
while: the new one is tried first, and the one before stays a way back until the new one has let us
in. Who had to go back tries the new one again later. A group whose name has a domain in it asks the
domain anew when its server has been away for a while.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

from datachannel.joining import Servers, Unreachable
from peer.finding.order import LAN, NotFound, is_url
from signaling.messages import MoveNotice

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

    `save` keeps a place durably; `lan` has the server when the address is `lan`; `ask` asks the
    group's domain, and raises NotFound.
    """

    def __init__(
        self,
        place: Place,
        *,
        save: Callable[[Place], Awaitable[None]],
        lan: Servers,
        ask: Callable[[], Awaitable[str]] | None = None,
    ) -> None:
        self.place, self._save, self._lan, self._ask = place, save, lan, ask
        self._on_lan = ""
        self._saved = place
        self._failures = 0
        self._told = ""
        self._asked_at: float | None = None
        self._has_moved = asyncio.Event()

    async def address(self) -> str:
        """See Servers."""
        await self.keep()
        self._has_moved.clear()
        if self._failures >= ASK_AFTER_FAILURES:
            await self._ask_domain()
        known = [self.place.url, self.place.previous, self._told]
        others = [url for url in dict.fromkeys(known) if url]
        chosen = others[self._failures % len(others)]
        if chosen != LAN:
            return chosen
        self._on_lan = ""
        try:
            self._on_lan = await self._lan.address()
        except Unreachable:
            self._failures += 1
            raise
        return self._on_lan

    @property
    def url_now(self) -> str:
        """Where the group's server is now; `lan` while none is known on the local network."""
        return (self._on_lan or LAN) if self.place.url == LAN else self.place.url

    def _at(self, url: str) -> str:
        """The address by which `url` was found: `lan`, or itself."""
        return LAN if url == self._on_lan else url

    def joined(self, url: str) -> None:
        """See Servers."""
        self._failures = 0
        if self._at(url) == LAN:
            self._lan.joined(url)
        if self._at(url) == self.place.url:
            self.place = replace(self.place, previous="")
        elif url == self._told:
            self.place = replace(self.place, url=url, previous="")
        self._told = ""

    def failed(self, url: str) -> bool:
        """See Servers."""
        self._failures += 1
        is_lan = self._at(url) == LAN
        return (is_lan and self._lan.failed(url)) or bool(self.place.previous)

    async def better(self, url: str) -> None:
        """See Servers."""
        await self.keep()
        at = self._at(url)
        waits: list[Coroutine[Any, Any, object]] = [self._has_moved.wait()]
        if at == LAN:
            waits.append(self._lan.better(url))
        if at != self.place.url:
            waits.append(asyncio.sleep(TRY_NEW_EVERY_S))
        tasks = [asyncio.create_task(one) for one in waits]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def moved(self, url: str, notice: MoveNotice) -> None:
        """See Servers. Older news is none."""
        to = notice.url
        if notice.number <= self.place.moves or not (to == LAN or is_url(to)):
            return
        here = self._at(url)
        self.place = Place(to, "" if to == here else here, notice.number)
        self._failures = 0
        log.warning("the group has moved to another server")
        self._has_moved.set()

    def knows_all(self, url: str) -> bool:
        """See Servers."""
        return True

    async def go(self, url: str) -> None:
        """Be at this server from now on, whatever the group says until now."""
        self.place = replace(self.place, url=url, previous="")
        self._failures = 0
        self._has_moved.set()
        await self.keep()

    async def keep(self) -> None:
        """Have the place on disk."""
        if self.place != self._saved:
            place = self.place
            try:
                await self._save(place)
            except OSError as error:
                log.error("where the group is cannot be kept now: %s", error)
                return
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
