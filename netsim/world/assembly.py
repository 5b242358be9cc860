"""A member put together in the simulated world: what `peer.assembly` does in the real one.

The one file here that knows how a member's parts are made; everything in it is the real thing but
clock, chance, friends and engine.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from chunking.keys import MemberKeys
from datachannel.credentials import MemberCard
from datachannel.messages import Delete, Put, Request
from datachannel.streams import Stream
from datachannel.throttle import Throttle
from netsim.world.clock import WallClock, run_here
from netsim.world.disk import Disk, FaultyStore
from netsim.world.engine import TurnEngine
from netsim.world.friends import Server, SimGroup
from netsim.world.tasks import Tasks
from peer.backup.messages import StartBackup
from peer.duty.holder import Duties
from peer.holding.requests import HoldingHandler
from peer.limiting import Limiting
from peer.member import Emit, Member
from peer.node import Identity, Node
from peer.offering import Offering
from peer.restore.messages import StartRestore
from peer.service import Answer, Event, Problem
from peer.space.fairness import Fairness
from peer.state import drop_unfinished
from peer.upkeep.partings import Partings
from peer.upkeep.renew import open_catalog
from peer.upkeep.watching import watch_presence
from signaling.messages import MemberId, member_id_of

EXPIRE_EVERY_S = 3600.0
SPOOL_BYTES_MAX = 64 << 20
PARTINGS_EVERY_S = 1800.0
"""In reality every two seconds; a day would be mostly that."""


@dataclass(slots=True)
class Parts:
    """A member at work."""

    node: Node
    member: Member
    group: SimGroup
    store: FaultyStore
    handler: HoldingHandler
    engines: list[TurnEngine]


class OwnNights:
    """`peer.node.Nights` of a computer whose nights the world begins."""

    def facts(self) -> Answer:
        return {}

    def activity(self) -> Answer:
        return {}

    async def pause(self, until: str) -> Answer:
        return {}

    def schedule(self) -> Answer:
        return {}

    async def set_schedule(self, by_itself: bool) -> Answer:
        return {}

    @asynccontextmanager
    async def night(self, friends: int) -> Any:  # noqa: ANN401 - an async context of an Emit
        yield lambda event: None

    async def step_aside(self) -> bool:
        return False


async def _nothing(*_: object) -> None:
    """What a simulated computer has nothing to do for."""


async def _no_doctor(emit: Emit) -> Event:
    raise Problem("There is no network to examine here.")


async def _expire(store: FaultyStore) -> None:
    while True:
        await asyncio.sleep(EXPIRE_EVERY_S)
        store.expire()


def put_together(
    *,
    name: str,
    master: bytes,
    offer_bytes: int,
    disk: Disk,
    clock: WallClock,
    chance: random.Random,
    server: Server,
    tasks: Tasks,
    touched: Callable[[MemberId, MemberId], None],
) -> Parts:
    """Start a computer: its member joins the group and serves its friends from now on.

    `touched` hears of each request that may have changed what is held for an owner (holder, owner).
    """
    drop_unfinished(disk.home)
    keys = MemberKeys.from_master(master)
    own = member_id_of(keys.identity_public_key)
    loop = asyncio.get_running_loop()
    store = FaultyStore(disk, limit_bytes=offer_bytes, wall_s=clock.s, monotonic_s=loop.time)
    handler = HoldingHandler(store, run_blocking=run_here)
    handler.duties = Duties(
        store, disk.home / "leases", members=lambda: group.members(), monotonic_s=loop.time
    )

    async def serve(remote: MemberId, request: Request, stream: Stream) -> None:
        try:
            await handler(remote, request, stream)
        finally:
            if isinstance(request, Put | Delete):
                touched(own, remote)

    card = MemberCard(keys.identity_public_key, name, offer_bytes, "simulated")
    group = SimGroup(server, card, serve, tasks)
    engines: list[TurnEngine] = []

    async def start_engine(message: StartBackup | StartRestore) -> TurnEngine:
        engines[:] = [engine for engine in engines if not engine.ended]
        engine = TurnEngine(random.Random(chance.random()))
        engines.append(engine)
        engine.start(message)
        return engine

    member = Member(
        home=disk.home,
        master=master,
        keys=keys,
        member=own,
        name=name,
        offer_bytes=offer_bytes,
        catalog=open_catalog(disk.home / "catalog.sqlite", keys, disk.home / "root"),
        catalog_path=disk.home / "catalog.sqlite",
        spool=disk.home / "spool",
        root_file=disk.home / "root",
        friends=group,
        run_blocking=run_here,
        wall_clock=clock.ns,
        random_bytes=chance.randbytes,
        start_engine=start_engine,
        workers=0,
        spool_bytes_max=SPOOL_BYTES_MAX,
        duties=handler.duties,
    )

    def offers() -> Mapping[MemberId, int]:
        return {one: friend.card.offer_bytes for one, friend in group.members().items()}

    handler.fairness = Fairness(own, member.book, store, offers=offers, monotonic_s=loop.time)

    async def announce(offer_bytes: int) -> None:
        group.announce(offer_bytes)

    offering = Offering(member, store, keep=lambda offer_bytes: None, announce=announce)
    node = Node(
        member,
        group,
        offering,
        Identity("the group", name),
        str,
        _no_doctor,
        Limiting(Throttle(), _nothing),
        OwnNights(),
    )

    async def take_from(leaver: MemberId) -> bool:
        return True  # nobody takes leave of a simulated group

    partings = Partings(member, group, store, take_from, look_every_s=PARTINGS_EVERY_S)
    handler.farewells = partings.to_tell
    tasks.spawn(partings.run())
    tasks.spawn(watch_presence(member, group))
    tasks.spawn(_expire(store))
    return Parts(node, member, group, store, handler, engines)
