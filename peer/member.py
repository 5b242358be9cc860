"""What every job of a member needs, in one place. Put together by `peer.assembly` or `netsim`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec

from chunking.keys import MemberKeys
from chunking.root import RootRecord, open_root
from peer.backup.messages import StartBackup
from peer.backup.tagged import Notes
from peer.catalog import Catalog
from peer.duty.holder import Duties
from peer.ports import Friends, RandomBytes, RunBlocking, WallClock
from peer.restore.messages import StartRestore
from peer.service import Event
from peer.space.book import StatementBook
from peer.state import write_atomic
from signaling.messages import MemberId

SPOOL_BYTES_MAX = 1 << 30
"""Disk for shares on their way, and for friends who are asleep."""
SCRATCH_BYTES_MAX = 1 << 30
"""Disk for packs during a restore."""

Emit = Callable[[Event], None]


class Engine(Protocol):
    """An engine under way (`peer.engine.EngineProcess`, or the simulator's)."""

    def send(self, message: msgspec.Struct) -> None:
        """Tell the engine something."""
        ...

    def messages(self) -> AsyncIterator[Any]:
        """What the engine says, until it ends."""
        ...

    async def end(self) -> None:
        """See it out."""
        ...


def goes_on() -> str:
    """Nothing keeps this member from publishing: for one without other computers."""
    return ""


def no_tags(_: Catalog) -> Notes:
    """Tags are nobody's wish: for a member without a person."""
    return []


@dataclass(slots=True)
class Member:
    """This member, as the jobs see it."""

    home: Path
    master: bytes = field(repr=False)
    keys: MemberKeys
    member: MemberId
    name: str
    offer_bytes: int
    catalog: Catalog
    catalog_path: Path
    spool: Path
    root_file: Path
    friends: Friends
    run_blocking: RunBlocking
    wall_clock: WallClock
    random_bytes: RandomBytes
    start_engine: Callable[[StartBackup | StartRestore], Awaitable[Engine]]
    workers: int
    spool_bytes_max: int = SPOOL_BYTES_MAX
    tags: Callable[[Catalog], Notes] = no_tags
    """Makes marks of what the person tagged, and tells what needs a look. It blocks."""
    stopped: Callable[[], str] = goes_on
    """Why nothing may be published, as a sentence: another computer is this member now."""
    duties: Duties | None = None
    """What owners who may be gone ask of this member; None where it acts for nobody."""
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)
    book: StatementBook = field(init=False, repr=False)
    """The usage statements of the group; they lie in `home`."""

    def __post_init__(self) -> None:
        self.book = StatementBook(self.home / "statements", self.member)

    def read_root(self) -> RootRecord | None:
        """Our newest root record, or None before the first. Raises FormatError, OSError."""
        try:
            data = self.root_file.read_bytes()
        except FileNotFoundError:
            return None
        return open_root(self.keys, data)

    def write_root(self, data: bytes) -> None:
        """Keep our newest root record, durably."""
        write_atomic(self.root_file, data)

    def friend_name(self, member: MemberId) -> str:
        """How a friend is called, as far as is known."""
        friend = self.friends.members().get(member)
        return friend.card.name if friend is not None else f"a friend ({member.hex()[:8]})"
