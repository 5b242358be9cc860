"""Friends who hold shares in memory and send them as fast as a test says, for virtual time.

Sessions and links are real ones in memory; what a friend has to send goes through its uplink, one
piece after the other, whoever asked for it. A friend may be slow, fall silent, lie, leave and come.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chunking import merkle
from chunking.formats import BLOCK_BYTES, PackId, ShareName
from chunking.share import Share, make_shares
from datachannel.errors import Unavailable
from datachannel.link import PeerSession, Stream
from datachannel.messages import Found, Get, Item, List, Listing, Refused, Request
from netsim.world.clock import run_here
from peer.restore.fetch import Fetcher
from peer.restore.whereabouts import Whereabouts
from signaling.messages import MemberId
from tests.support.memory_link import MemoryLink

OWNER = MemberId(b"o" * 32)
PIECE_BYTES = 16 << 10
FAST = 10e6


@dataclass(frozen=True)
class Card:
    name: str
    offer_bytes: int = 1 << 40


@dataclass(frozen=True)
class Pack:
    """A pack, and all its shares. Meets `peer.restore.fetch.PackSpec`."""

    id: PackId
    needed: int
    data: bytes
    made: tuple[Share, ...]

    @property
    def length(self) -> int:
        return len(self.data)

    @property
    def shares(self) -> tuple[ShareName, ...]:
        return tuple(share.name for share in self.made)


def a_pack(data: bytes, needed: int, total: int, number: int = 1) -> Pack:
    ident = PackId(number.to_bytes(32, "big"))
    shares = make_shares(data, ident, owner=OWNER, needed=needed, numbers=range(total))
    return Pack(ident, needed, data, tuple(shares))


@dataclass
class SlowFriend:
    """One friend. Its rate is in bytes a second."""

    member: MemberId
    card: Card
    rate: float = FAST
    latency_s: float = 0.02
    online: bool = True
    shares: dict[ShareName, Share] = field(default_factory=dict)
    spoil: Callable[[bytes], bytes] = lambda data: data
    spoil_proof: Callable[[tuple[bytes, ...]], tuple[bytes, ...]] = lambda proof: proof
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    links: list[MemoryLink] = field(default_factory=list)
    line: asyncio.Lock = field(default_factory=asyncio.Lock)  # one for all: the owner's own
    gets: int = 0
    sent_bytes: int = 0

    def __post_init__(self) -> None:
        self.answers.set()

    def leave(self) -> None:
        """Go, in the middle of whatever was under way."""
        self.online = False
        for link in self.links:
            link.cut()
        self.links.clear()

    async def answer(self, remote: MemberId, request: Request, stream: Stream) -> None:
        assert remote == OWNER
        await self.answers.wait()
        await asyncio.sleep(self.latency_s)
        match request:
            case Get(name, first, count):
                await self._give(stream, ShareName(name), first, count)
            case List(after):
                names = sorted(name for name in self.shares if name > after)
                await stream.send(Listing(tuple(Item(name, 1) for name in names), False))
        await stream.finish()

    async def _give(self, stream: Stream, name: ShareName, first: int, count: int) -> None:
        self.gets += 1
        share = self.shares.get(name)
        if share is None:
            await stream.send(Refused("not_found"))
            return
        leaves = merkle.leaf_hashes(share.payload)
        count = count or len(leaves) - first
        proof = self.spoil_proof(tuple(merkle.range_proof(leaves, first, count)))
        await stream.send(Found(share.header, len(share.payload), proof))
        data = self.spoil(share.payload[first * BLOCK_BYTES : (first + count) * BLOCK_BYTES])
        for at in range(0, len(data), PIECE_BYTES):
            piece = data[at : at + PIECE_BYTES]
            async with self.line:
                await self.answers.wait()
                await asyncio.sleep(len(piece) / self.rate)
            await stream.send_data(piece)
            self.sent_bytes += len(piece)


async def refuse(remote: MemberId, request: Request, stream: Stream) -> None:
    """The owner holds nothing here."""
    await stream.reset("bad_request")


class SlowFriends:
    """Implements `peer.ports.Friends`."""

    def __init__(self, count: int) -> None:
        ids = [MemberId(bytes([number + 1]) * 32) for number in range(count)]
        self.all = [SlowFriend(ident, Card(f"friend {n}")) for n, ident in enumerate(ids)]
        self._by_id = {friend.member: friend for friend in self.all}
        self._sessions: dict[MemberId, PeerSession] = {}
        self._tasks: list[asyncio.Task[None]] = []

    reached = True

    def members(self) -> dict[MemberId, SlowFriend]:
        return self._by_id

    async def session(self, member: MemberId) -> PeerSession:
        friend = self._by_id[member]
        if not friend.online:
            raise Unavailable("the friend is not online")
        session = self._sessions.get(member)
        if session is None or session.closed:
            near, far = MemoryLink(member), MemoryLink(OWNER)
            near.other, far.other = far, near
            friend.links.append(near)
            session = PeerSession(near, refuse, initiator=True)
            self._sessions[member] = session
            theirs = PeerSession(far, friend.answer, initiator=False)
            self._tasks += [asyncio.create_task(_until_end(one)) for one in (session, theirs)]
        return session

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _until_end(session: PeerSession) -> None:
    try:
        await session.run()
    except Exception:
        await session.close()


@dataclass
class World:
    """A fetcher and its friends. Row r of the catalog is `packs[r]`; friend i has share i of each,
    unless a test has moved it."""

    friends: SlowFriends
    fetcher: Fetcher
    packs: list[Pack]
    scratch: Path
    looked_up: list[int]

    def arrived(self, row: int, number: int) -> bytes:
        return (self.scratch / f"{row}.{number}").read_bytes()


@asynccontextmanager
async def slow_friends(scratch: Path, packs: list[Pack], count: int) -> AsyncIterator[World]:
    """Friends who hold all packs, and a fetcher whose catalog remembers that."""
    friends, looked_up = SlowFriends(count), list[int]()
    for pack in packs:
        for friend, share in zip(friends.all, pack.made, strict=True):
            friend.shares[share.name] = share

    def remember(row: int) -> dict[int, MemberId]:
        looked_up.append(row)
        return dict(enumerate(friends.members()))

    fetcher = Fetcher(
        owner=OWNER,
        friends=friends,
        scratch=scratch,
        run_blocking=run_here,
        whereabouts=Whereabouts(remember),
    )
    try:
        yield World(friends, fetcher, packs, scratch, looked_up)
    finally:
        await friends.close()
