"""Friends of an owner whose computer is gone: real stores, handlers and sessions over memory links.

The owner is nothing but its keys, some packs whose shares lie with friends, and a signed duty. Days
pass when a test says so.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chunking.duty import sign_duty
from chunking.formats import PackId, PackRef
from chunking.keys import MemberKeys
from chunking.pack import pack_id_of
from chunking.share import Share, make_shares
from datachannel.errors import Unavailable
from datachannel.link import PeerSession
from netsim.world.clock import run_here
from peer.duty.deputy import Acted, act_for_absent
from peer.duty.holder import Duties
from peer.holding.requests import HoldingHandler
from peer.holding.store import ShareStore
from peer.upkeep.absence import note_absences
from signaling.messages import MemberId, member_id_of
from tests.support.memory_link import MemoryLink

GRACE_DAYS = 14
NEEDED = 2
DAY_S = 86_400.0


@dataclass
class Card:
    name: str
    offer_bytes: int = 1 << 30
    leaving: int = 0


@dataclass(eq=False)
class Friend:
    """One of them: `member` and `friends` are what a deputy sees of itself, and of the others."""

    world: World
    member: MemberId
    card: Card
    store: ShareStore
    duties: Duties
    handler: HoldingHandler
    online: bool = True
    sessions: dict[MemberId, PeerSession] = field(default_factory=dict)
    notes: dict[str, bytes] = field(default_factory=dict)
    run_blocking = staticmethod(run_here)

    @property
    def friends(self) -> Friend:
        return self

    def members(self) -> dict[MemberId, Friend]:
        return {m: friend for m, friend in self.world.friends.items() if m != self.member}

    async def session(self, member: MemberId) -> PeerSession:
        other = self.world.friends[member]
        if not other.online:
            raise Unavailable("the friend is not online")
        if member not in self.sessions or self.sessions[member].closed:
            self.sessions[member] = self.world.connect(self, other)
        return self.sessions[member]

    @property
    def catalog(self) -> Friend:
        """The sliver of it that is used: small values by name."""
        return self

    def get_meta(self, key: str) -> bytes | None:
        return self.notes.get(key)

    def set_meta(self, key: str, value: bytes) -> None:
        self.notes[key] = value

    def look_around(self) -> None:
        """What is noted every quarter of an hour of who is there."""
        others = self.members()
        online = [member for member, friend in others.items() if friend.online]
        note_absences(self, 1e9 + self.world.now_s, online, others)

    async def act(self) -> Acted:
        """What a night does for absent owners."""
        return await act_for_absent(self, self.duties)

    def names(self) -> set[bytes]:
        """What it keeps for the owner."""
        return {name for name, _ in self.store.list_after(self.world.owner, b"", 1000)[0]}

    def put(self, share: Share) -> None:
        self.duties.put_own(self.world.owner, share)


class World:
    """`packs` packs of as many shares as there are friends at the beginning, one for each."""

    def __init__(self, folder: Path, friends: int, packs: int) -> None:
        self.folder, self.now_s = folder, 0.0
        self.keys = MemberKeys.from_master(b"absent owner".ljust(32))
        self.owner = member_id_of(self.keys.identity_public_key)
        self.friends: dict[MemberId, Friend] = {}
        self.tasks: list[asyncio.Task[None]] = []
        for number in range(friends):
            self.add_friend(number)
        self.shares = [self._a_pack(number, friends) for number in range(packs)]

    @property
    def everybody(self) -> list[Friend]:
        return list(self.friends.values())

    def add_friend(self, number: int) -> Friend:
        member = MemberId(bytes([number + 1]) * 32)
        store = ShareStore(
            self.folder / f"friend {number}",
            limit_bytes=1 << 30,
            wall_s=lambda: 1e9 + self.now_s,
            monotonic_s=lambda: self.now_s,
            free_bytes_min=0,
        )
        duties = Duties(
            store,
            self.folder / f"leases {number}",
            members=lambda: {*self.friends, self.owner},
            monotonic_s=lambda: self.now_s,
        )
        handler = HoldingHandler(store, run_blocking=run_here)
        handler.duties = duties
        friend = Friend(self, member, Card(f"friend {number}"), store, duties, handler)
        self.friends[member] = friend
        return friend

    def _a_pack(self, seed: int, total: int) -> list[Share]:
        data = random.Random(seed).randbytes(150_000 + seed)
        ident = pack_id_of(data)
        shares = make_shares(data, ident, owner=self.owner, needed=NEEDED, numbers=range(total))
        for friend, share in zip(self.everybody, shares, strict=True):
            friend.put(share)
        return shares

    def refs(self) -> list[PackRef]:
        refs = []
        for number, shares in enumerate(self.shares):
            ident = PackId(shares[0].header[48:80])
            names = b"".join(share.name for share in shares)
            refs.append(PackRef(ident, NEEDED, 150_000 + number, names))
        return sorted(refs, key=lambda ref: ref.pack)

    def duty(self, counter: int = 1, deputies: Sequence[Friend] | None = None) -> bytes:
        """What the owner signed before it was gone."""
        named = self.everybody if deputies is None else deputies
        members = [friend.member for friend in named]
        return sign_duty(self.keys, counter, 1, GRACE_DAYS, members, self.refs())

    def give_duty(self, record: bytes, friends: Sequence[Friend] | None = None) -> None:
        for friend in self.everybody if friends is None else friends:
            friend.duties.put(record)

    def pass_days(self, days: float) -> None:
        """Everybody who is online was on all the time."""
        self.now_s += days * DAY_S

    def look_around(self, hours: int) -> None:
        """So many hours pass, in which everybody notes who is there."""
        for _ in range(4 * hours):
            self.now_s += DAY_S / 96
            for friend in self.everybody:
                friend.look_around()

    def connect(self, one: Friend, other: Friend) -> PeerSession:
        near, far = MemoryLink(other.member), MemoryLink(one.member)
        near.other, far.other = far, near
        mine = PeerSession(near, one.handler, initiator=True)
        theirs = PeerSession(far, other.handler, initiator=False)
        self.tasks += [asyncio.create_task(_until_end(session)) for session in (mine, theirs)]
        return mine

    def lose(self, friend: Friend) -> None:
        """Its computer is gone for good, and everybody knows."""
        del self.friends[friend.member]
        friend.online = False

    def everything(self) -> set[bytes]:
        """The names of all shares that any friend keeps for the owner."""
        return set[bytes]().union(*(friend.names() for friend in self.everybody))

    def all_names(self) -> set[bytes]:
        return {share.name for shares in self.shares for share in shares}


async def _until_end(session: PeerSession) -> None:
    try:
        await session.run()
    except Exception:
        await session.close()


@asynccontextmanager
async def absent_owner(folder: Path, friends: int, packs: int = 2) -> AsyncIterator[World]:
    """A world that ends with the test."""
    world = World(folder, friends, packs)
    try:
        async with asyncio.timeout(60):
            yield world
    finally:
        for friend in world.everybody:
            for session in friend.sessions.values():
                await session.close()
        for task in world.tasks:
            task.cancel()
        await asyncio.gather(*world.tasks, return_exceptions=True)
