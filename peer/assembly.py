"""A member in the real world: the real clock, entropy, disk, server and WebRTC, put together.

One of the few files that may touch the system's clock and entropy, and the only one of `peer` that
knows WebRTC. Everything else is handed what it needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import secrets as system_secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from chunking.keys import MemberKeys
from datachannel.bandwidth import Limits
from datachannel.engines import BestEngine
from datachannel.errors import Unavailable
from datachannel.mapping import Mapper, MappingEngine
from datachannel.mesh import Mesh
from datachannel.rendezvous import Rendezvous
from datachannel.throttle import Throttle
from datachannel.watch import own_addresses, watch
from peer.backup.tagged import Notes, follow_tags, watch_tags
from peer.blocking import run_blocking
from peer.catalog import Catalog
from peer.doctor.examine import Insight, examine_member
from peer.doctor.paths import RouterTried
from peer.doctor.real import RealProbes
from peer.duty.holder import Duties
from peer.engine import EngineProcess
from peer.entering import card_of, credentials_of
from peer.finding.moving import move_group
from peer.finding.real import lan_address, servers_of
from peer.finding.routers import find_router, maps_ports, try_router
from peer.finding.servers import KnownServers, Place
from peer.finding.spare import SpareServers
from peer.group import GroupFriends
from peer.holding.requests import HoldingHandler
from peer.holding.store import ShareStore
from peer.installation import Installation
from peer.leaving import Leaving
from peer.limiting import Limiting
from peer.member import Emit, Engine, Member
from peer.nightly.keeper import Keeper
from peer.nightly.real import real_keeper
from peer.node import Identity, Node, local_time
from peer.offering import Offering
from peer.politeness import Traffic
from peer.service import Event, Problem
from peer.space.fairness import Fairness
from peer.state import Config, Secrets, StateError, StateFolder, drop_unfinished
from peer.upkeep.challenge import shown_bytes
from peer.upkeep.partings import Partings
from peer.upkeep.renew import open_catalog
from peer.upkeep.statements import keep_telling
from peer.upkeep.watching import watch_presence
from signaling.messages import MemberId, member_id_of

log = logging.getLogger("covey.peer")

BYTE_WORKERS = max(1, min(4, os.cpu_count() or 1))
EXPIRE_EVERY_S = 3600.0


def random_bytes(size: int) -> bytes:
    """`peer.ports.RandomBytes` from the operating system."""
    return os.urandom(size)  # noqa: TID251 - the composition root hands it out


def wall_s() -> float:
    """Seconds since 1970, as this computer believes."""
    return time.time()  # noqa: TID251 - the composition root hands it out


async def start_engine(message: Any) -> Engine:  # noqa: ANN401 - a StartBackup or StartRestore
    """Engines are processes here."""
    return await EngineProcess.start(message)


@dataclass(slots=True)
class Assembly:
    """A member at work."""

    node: Node
    member: Member
    group: GroupFriends
    engine: BestEngine
    keeper: Keeper
    leaving: Leaving


async def _expire_held(store: ShareStore) -> None:
    """Let go of what has been in the trash for long enough, now and then."""
    while True:
        await asyncio.sleep(EXPIRE_EVERY_S)
        await run_blocking(store.expire)


@contextlib.asynccontextmanager
async def assemble(state: StateFolder, config: Config, secrets: Secrets) -> AsyncIterator[Assembly]:
    """A member at work while the context lasts. The caller holds the state folder's lock."""

    async def keep(place: Place) -> None:
        if state.joined:  # a recovery writes its own at its end
            with contextlib.suppress(StateError):  # told at every start
                await run_blocking(partial(state.update_config, place=place))

    assembly: Assembly | None = None
    try:
        async with (
            servers_of(
                config.group,
                config.place,
                save=keep,
                data=state.home / "server",
                group_key=secrets.box_key,
                random_bytes=random_bytes,
                jitter=_jitter(),
            ) as (servers, spare),
            _assemble(state, config, secrets, servers, spare) as assembly,
        ):
            yield assembly
    finally:
        if assembly is not None and assembly.leaving.is_gone.is_set():
            await run_blocking(state.wipe)


def _jitter() -> random.Random:
    return random.Random(system_secrets.randbits(64))


@contextlib.asynccontextmanager
async def _assemble(
    state: StateFolder,
    config: Config,
    secrets: Secrets,
    servers: KnownServers,
    spare: SpareServers,
) -> AsyncIterator[Assembly]:
    await run_blocking(drop_unfinished, state.home)
    credentials = credentials_of(secrets)
    keys = MemberKeys.from_master(secrets.master)
    store = await run_blocking(
        lambda: ShareStore(
            state.held,
            limit_bytes=config.offer_bytes,
            wall_s=wall_s,
            monotonic_s=time.monotonic,  # noqa: TID251 - used in threads, which have no loop
        )
    )
    installation = config.installation.begun(time.time_ns())

    async def keep_installation(installation: Installation) -> None:
        if state.joined:  # a recovery writes its own at its end
            try:
                await run_blocking(partial(state.update_config, installation=installation))
            except (OSError, StateError) as error:  # a full disk must not keep friends from theirs
                log.warning("which installation this is cannot be noted: %s", error)

    await keep_installation(installation)
    card = card_of(credentials, config.member_name, config.offer_bytes, installation)
    rendezvous = Rendezvous(
        servers=spare,
        credentials=credentials,
        card=card,
        create=True,  # a server that lost its memory learns the group anew from its members
        random_bytes=random_bytes,
        jitter=_jitter(),
    )
    engine = BestEngine()
    mapper = Mapper(partial(find_router, lan_address), lan_address)
    throttle = Throttle(config.limits, Traffic())
    handler = HoldingHandler(store, run_blocking=run_blocking)
    handler.duties = Duties(
        store,
        state.home / "leases",
        members=rendezvous.members,
        monotonic_s=time.monotonic,  # noqa: TID251 - used in threads, which have no loop
    )
    mesh = Mesh(
        credentials=credentials,
        rendezvous=rendezvous,
        handler=handler,
        random_bytes=random_bytes,
        wall_clock=wall_s,
        throttle=throttle,
        engine=MappingEngine(engine, mapper),
    )

    async def move(url: str, *, alone: bool) -> None:
        await move_group(
            url,
            alone=alone,
            rendezvous=rendezvous,
            servers=servers,
            credentials=credentials,
            card=card,
            now=wall_s(),
            random_bytes=random_bytes,
        )

    friends = GroupFriends(rendezvous, mesh, servers, spare, move, installation, keep_installation)
    catalog = await run_blocking(open_catalog, state.catalog, keys, state.root_file)
    member = Member(
        home=state.home,
        master=secrets.master,
        keys=keys,
        member=member_id_of(keys.identity_public_key),
        name=config.member_name,
        offer_bytes=config.offer_bytes,
        catalog=catalog,
        catalog_path=state.catalog,
        spool=state.spool,
        root_file=state.root_file,
        friends=friends,
        run_blocking=run_blocking,
        wall_clock=time.time_ns,
        random_bytes=random_bytes,
        start_engine=start_engine,
        workers=BYTE_WORKERS,
        tags=partial(_tags, state.home),
        stopped=friends.stopped,
        duties=handler.duties,
    )
    handler.fairness = Fairness(
        member.member,
        member.book,
        store,
        offers=lambda: {one: f.card.offer_bytes for one, f in friends.members().items()},
        monotonic_s=time.monotonic,  # noqa: TID251 - used in threads, which have no loop
    )
    identity = Identity(config.group, config.member_name)
    probes = probes_of(state)

    async def examine(emit: Emit) -> Event:
        insight = Insight(
            server=servers.url_now,
            connected=rendezvous.connected,
            near_only=friends.near_only,
            refusal=friends.problem,
            ice_servers=rendezvous.ice_servers,
            friends=list(rendezvous.members().values()),
            links=mesh.links,
            call=mesh.session,
            offer_bytes=config.offer_bytes,
            used_bytes=store.used_bytes,
            maps_ports=maps_ports(),
        )
        return await examine_member(probes, insight, emit)

    async def keep_limits(limits: Limits) -> None:
        await run_blocking(partial(state.update_config, limits=limits))

    limiting = Limiting(throttle, keep_limits)

    async def announce(offer_bytes: int) -> None:
        name = config.member_name
        await rendezvous.update_card(card_of(credentials, name, offer_bytes, installation))

    offering = Offering(
        member,
        store,
        keep=lambda offer_bytes: state.update_config(offer_bytes=offer_bytes),
        announce=announce,
    )

    async def keep_nights(wanted: bool) -> None:
        await run_blocking(partial(state.update_config, nights=wanted))

    keeper = await real_keeper(
        state.home,
        member.member,
        config.created_ns,
        friends.links,
        time.time_ns,
        run_blocking,
        keep_nights,
        wanted=config.nights,
    )

    async def announce_leaving(leaving: int) -> None:
        card = card_of(credentials, config.member_name, store.limit_bytes, installation, leaving)
        handler.handed_over.clear()
        await rendezvous.update_card(card)

    leaving = Leaving(
        friends,
        store,
        run_blocking,
        announce=announce_leaving,
        leave=rendezvous.leave,
        forget=partial(run_blocking, state.forget),
        handed_over=handler.handed_over,
    )
    node = Node(member, friends, offering, identity, local_time, examine, limiting, keeper, leaving)

    async def take_from(leaver: MemberId) -> bool:
        try:
            async for event in node.take_from(leaver):
                if event["event"] == "done":
                    log.info("%s", event["message"])
        except (Problem, Unavailable) as error:
            log.info("what a friend who leaves keeps is not taken yet: %s", error)
            return False
        return True

    partings = Partings(member, friends, store, take_from)
    handler.farewells = partings.to_tell
    tasks = [
        asyncio.create_task(friends.run()),
        asyncio.create_task(mesh.run()),
        asyncio.create_task(throttle.run()),
        asyncio.create_task(watch(own_addresses, wall_s, friends.check)),
        asyncio.create_task(_expire_held(store)),
        asyncio.create_task(watch_presence(member, friends)),
        asyncio.create_task(partings.run()),
        asyncio.create_task(watch_tags(run_blocking, member)),
        asyncio.create_task(keep_telling(member, offering, partial(shown_bytes, member))),
    ]
    if maps_ports():
        tasks.append(asyncio.create_task(mapper.run()))
    try:
        yield Assembly(node, member, friends, engine, keeper, leaving)
    finally:
        await mesh.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        member.catalog.close()  # a rebuild may have put another one in its place
        store.close()


def _tags(home: Path, catalog: Catalog) -> Notes:
    person = Path("~").expanduser()
    return follow_tags(catalog, person, home, time.monotonic)  # noqa: TID251 - used in a thread


def probes_of(state: StateFolder) -> RealProbes:
    """What the doctor feels with."""
    return RealProbes(
        state.home,
        wall_s=wall_s,
        monotonic_s=time.monotonic,  # noqa: TID251 - used in a thread, which has no loop
        random_bytes=random_bytes,
        run_blocking=run_blocking,
        ask_router=_ask_router,
    )


async def _ask_router() -> RouterTried | None:
    tried = await try_router(lan_address)
    return None if tried is None else RouterTried(*tried)
