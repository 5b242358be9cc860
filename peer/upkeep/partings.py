"""Friends who go: who is leaving hands over first, and who has said goodbye is known to all.

A goodbye is a member's last card (`datachannel.roster`). Who was away when it was said hears of it
from another friend: goodbyes are asked for now and then, and kept in the state folder. Each counts
until a card of a newer installation shows that the member is back.

What follows from a goodbye: the shares that the member kept for us count as lost, and what we keep
for it goes after 14 observed days, unless it comes back.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from datachannel.credentials import GOING
from datachannel.errors import Refusal, RemoteError, Unavailable
from datachannel.requests import get_farewells
from datachannel.roster import Farewell
from peer.catalog import Catalog
from peer.member import Member
from peer.ports import Friends
from peer.state import write_atomic
from peer.upkeep.absence import forget_absence
from signaling.messages import ID_BYTES, MemberId

log = logging.getLogger("covey.upkeep")

LOOK_EVERY_S = 2.0
ASK_EVERY_S = 6 * 3600.0
ASK_TIMEOUT_S = 30.0
AGAIN_S = 60.0
"""Until what a friend who leaves keeps is asked for once more, after that has failed."""

TakeFrom = Callable[[MemberId], Awaitable[bool]]
"""Takes elsewhere what a leaving friend keeps for us; False when it must be tried again."""


class Group(Friends, Protocol):
    """What is known of who has left."""

    @property
    def farewells(self) -> Mapping[MemberId, Farewell]: ...

    def bid_farewell(self, member: MemberId, sealed: bytes) -> bool: ...


class Store(Protocol):
    """What we keep for friends."""

    def say_goodbye(self, owner: MemberId) -> None: ...

    def see(self, owner: MemberId) -> None: ...


class Partings:
    """Sees friends off. `run` it beside the member."""

    def __init__(
        self,
        member: Member,
        group: Group,
        store: Store,
        take_from: TakeFrom,
        *,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._m, self._group, self._store = member, group, store
        self._take_from, self._look_every_s = take_from, look_every_s
        self._path = farewells_file(member.home)
        self._seen_off: set[MemberId] = set()
        self._handed: dict[MemberId, float] = {}

    async def run(self) -> None:
        """Until cancelled."""
        await self.remember()
        asked = float("-inf")
        loop = asyncio.get_running_loop()
        while True:
            try:
                await self.look()
                if self._group.reached and loop.time() - asked > ASK_EVERY_S:
                    asked = loop.time()
                    await self.ask_around()
                    await self._m.run_blocking(self._see_friends)
            except (OSError, sqlite3.Error) as error:
                log.error("who has left cannot be noted: %s", error)
            await asyncio.sleep(self._look_every_s)

    async def remember(self) -> None:
        """Know again whom we have seen off before."""
        for member, sealed in await self._m.run_blocking(read_farewells, self._path):
            if self._group.bid_farewell(member, sealed):
                self._seen_off.add(member)

    def to_tell(self) -> list[bytes]:
        """The goodbyes that are passed on."""
        return [bytes(member) + one.sealed for member, one in self._group.farewells.items()]

    async def look(self) -> None:
        """Do what has become due."""
        gone = set(self._group.farewells)
        if gone != self._seen_off:
            for member in sorted(gone - self._seen_off):
                await self._m.run_blocking(self._see_off, member)
            self._seen_off = gone
            await self._m.run_blocking(write_farewells, self._path, self.to_tell())
        now = asyncio.get_running_loop().time()
        friends = self._group.members()
        going = {m for m, f in friends.items() if f.card.leaving == GOING and f.online}
        self._handed = {m: at for m, at in self._handed.items() if m in going}
        for member in sorted(going):
            if self._handed.get(member, float("-inf")) <= now:
                over = await self._take_from(member)
                self._handed[member] = float("inf") if over else now + AGAIN_S

    async def ask_around(self) -> None:
        """Hear of goodbyes that were said while we were away."""
        online = sorted(m for m, friend in self._group.members().items() if friend.online)
        for told in await asyncio.gather(*(self._ask(friend) for friend in online)):
            for record in told:
                self._group.bid_farewell(MemberId(record[:ID_BYTES]), record[ID_BYTES:])

    async def _ask(self, friend: MemberId) -> list[bytes]:
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                return await get_farewells(await self._group.session(friend))
        except (Unavailable, Refusal, RemoteError, TimeoutError) as error:
            log.info("%s cannot be asked who has left: %s", friend.hex()[:8], error)
            return []

    def _see_off(self, member: MemberId) -> None:
        self._store.say_goodbye(member)
        forget_holder(self._m.catalog, member)

    def _see_friends(self) -> None:
        for member, friend in self._group.members().items():
            if friend.online:
                self._store.see(member)


def forget_holder(catalog: Catalog, holder: MemberId) -> int:
    """What somebody had of ours is lost; how many shares that are."""
    rows = [(pack, number) for pack, number, one in catalog.each_placement() if one == holder]
    if rows:
        catalog.forget_placements(rows)
    forget_absence(catalog, holder)
    return len(rows)


def farewells_file(home: Path) -> Path:
    """Where goodbyes are kept."""
    return home / "farewells"


def read_farewells(path: Path) -> list[tuple[MemberId, bytes]]:
    """Those that are kept: member and sealed card. What is damaged is heard again from friends."""
    try:
        records = msgspec.msgpack.decode(path.read_bytes(), type=list[bytes])
    except (OSError, msgspec.MsgspecError):
        return []
    return [(MemberId(one[:ID_BYTES]), one[ID_BYTES:]) for one in records]


def write_farewells(path: Path, records: list[bytes]) -> None:
    """Keep them, durably."""
    write_atomic(path, msgspec.msgpack.encode(records))
