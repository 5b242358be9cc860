"""The composition root: the real clock, entropy, disk, server and WebRTC, put together.

The only file of `peer` that knows WebRTC, and one of the few that may touch the system's clock and
entropy. Everything else is handed what it needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets as system_secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from chunking.keys import MemberKeys
from datachannel.bandwidth import Limits
from datachannel.engines import BestEngine
from datachannel.mapping import Mapper, MappingEngine
from datachannel.mesh import Mesh
from datachannel.rendezvous import Rendezvous
from datachannel.throttle import Throttle
from datachannel.watch import own_addresses, watch
from peer.api import serve_api
from peer.backup.tagged import Notes, follow_tags, watch_tags
from peer.blocking import run_blocking
from peer.catalog import Catalog
from peer.doctor.examine import Insight, examine_member, examine_outside
from peer.doctor.paths import RouterTried
from peer.doctor.real import RealProbes
from peer.engine import EngineProcess
from peer.entering import Joined, card_of, credentials_of, derive, join_somewhere
from peer.finding.moving import move_group
from peer.finding.order import LAN, NotFound
from peer.finding.real import find_for_joining, lan_address, servers_of
from peer.finding.routers import find_router, maps_ports, try_router
from peer.finding.servers import KnownServers, Place
from peer.finding.spare import SpareServers
from peer.group import GroupFriends
from peer.holding.requests import HoldingHandler
from peer.holding.store import ShareStore
from peer.jobs import run_job
from peer.limiting import Limiting
from peer.member import Emit, Engine, Member
from peer.nightly.keeper import Keeper
from peer.nightly.real import nights_come, real_keeper
from peer.node import Identity, Node, local_time
from peer.offering import Offering
from peer.politeness import Traffic
from peer.restore.recover import recover_member
from peer.service import Event, Service
from peer.state import AlreadyRunning, Config, Secrets, StateError, StateFolder, drop_unfinished
from peer.upkeep.renew import open_catalog
from peer.upkeep.watching import watch_presence
from peer.words import master_of, words_of
from signaling.messages import member_id_of

MASTER_BYTES = 32
BYTE_WORKERS = max(1, min(4, os.cpu_count() or 1))
DEFAULT_OFFER_BYTES = 10 * 10**9
EXPIRE_EVERY_S = 3600.0
LOCK_WAIT_S = 5.0
LOCK_RETRY_S = 0.1


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
    card = card_of(credentials, config.member_name, config.offer_bytes)
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
    mesh = Mesh(
        credentials=credentials,
        rendezvous=rendezvous,
        handler=HoldingHandler(store, run_blocking=run_blocking),
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

    friends = GroupFriends(rendezvous, mesh, servers, spare, move)
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
    )
    identity = Identity(config.group, config.member_name)
    probes = _probes(state)

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
        await rendezvous.update_card(card_of(credentials, config.member_name, offer_bytes))

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
    node = Node(member, friends, offering, identity, local_time, examine, limiting, keeper)
    tasks = [
        asyncio.create_task(friends.run()),
        asyncio.create_task(mesh.run()),
        asyncio.create_task(throttle.run()),
        asyncio.create_task(watch(own_addresses, wall_s, friends.check)),
        asyncio.create_task(_expire_held(store)),
        asyncio.create_task(watch_presence(member, friends)),
        asyncio.create_task(watch_tags(run_blocking, member)),
    ]
    if maps_ports():
        tasks.append(asyncio.create_task(mapper.run()))
    try:
        yield Assembly(node, member, friends, engine, keeper)
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


def _probes(state: StateFolder) -> RealProbes:
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


async def examine_alone(state: StateFolder, server: str | None) -> AsyncIterator[Event]:
    """The doctor before joining: at this server, or at one of the local network, if any."""
    urls = [server] if server else (await find_for_joining("", LAN))[1]

    async def work(emit: Emit) -> Event:
        probes, first = _probes(state), urls[0] if urls else None
        return await examine_outside(probes, first, emit, maps_ports=maps_ports())

    async for event in run_job(work):
        yield event


@contextlib.asynccontextmanager
async def open_service(state: StateFolder) -> AsyncIterator[Service]:
    """This member in this process, for one command. Raises AlreadyRunning, NotJoined."""
    with state.lock():
        async with assemble(state, state.config(), state.secrets()) as assembly:
            yield assembly.node


Beside = Callable[[Service], contextlib.AbstractAsyncContextManager[None]]
"""What runs beside the member for as long as it does: the pages of the window, say."""


@contextlib.asynccontextmanager
async def _nothing_beside(_: Service) -> AsyncIterator[None]:
    yield


@contextlib.asynccontextmanager
async def _locked(state: StateFolder) -> AsyncIterator[None]:
    """The folder's lock; waits a moment for a command that is just at work. AlreadyRunning."""
    deadline = asyncio.get_running_loop().time() + LOCK_WAIT_S
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(state.lock())
                break
            except AlreadyRunning:
                if asyncio.get_running_loop().time() > deadline:
                    raise
            await asyncio.sleep(LOCK_RETRY_S)
        yield


async def run_agent(
    state: StateFolder, beside: Beside = _nothing_beside, *, scheduled: bool = True
) -> None:
    """This member in the foreground, until cancelled. Raises AlreadyRunning, NotJoined, Problem.

    `beside` gets the service and runs for as long: the pages of the window, say. Unless
    `scheduled`, no night comes by itself.
    """
    async with (
        _locked(state),
        assemble(state, state.config(), state.secrets()) as assembly,
        beside(assembly.node),
        serve_api(assembly.node, state.api_file, random_bytes=random_bytes),
    ):
        await assembly.engine.fast()  # tried out now, so that no first link waits for it
        await assembly.keeper.run(assembly.node, scheduled=scheduled and nights_come())


async def join(
    state: StateFolder,
    *,
    group: str,
    password: str,
    space: int,
    name: str,
    server: str | None,
    create: bool,
) -> Joined:
    """Make a new member in an empty state folder.

    `server` is a URL, `lan`, or None to find it. Raises NotFound, JoinRefused, Unreachable,
    StateError.
    """
    remembered, urls = await find_for_joining(group, server)
    master = random_bytes(MASTER_BYTES)
    secrets = await derive(group, password, master)
    card = card_of(credentials_of(secrets), name, space)
    outcome = await join_somewhere(urls, secrets, card, random_bytes=random_bytes, create=create)
    moved = outcome.moved
    config = Config(
        group=group.strip(),
        server=remembered if moved is None else moved.url,
        previous_server="" if moved is None else remembered,
        moves=0 if moved is None else moved.number,
        member_name=name,
        offer_bytes=space,
        created_ns=time.time_ns(),
    )
    await run_blocking(state.create, config, secrets)
    return Joined(words_of(master), outcome.created)


async def recover(
    state: StateFolder,
    *,
    group: str,
    words: Sequence[str],
    password: str,
    server: str | None,
    name: str,
    space: int,
) -> AsyncIterator[Event]:
    """Make a lost member anew; `space` 0 gives as much as before. Raises as `join` does."""
    remembered, urls = await find_for_joining(group, server)
    if not urls:
        raise NotFound(
            "No server was found on the local network.",
            "Start the computer of a friend who is in the group, or name a server with --server.",
        )
    secrets = await derive(group, password, master_of(" ".join(words)))
    card = card_of(credentials_of(secrets), name, space)
    await join_somewhere(urls, secrets, card, random_bytes=random_bytes, create=False)
    config = Config(
        group=group.strip(),
        server=remembered,
        member_name=name,
        offer_bytes=space,
        created_ns=time.time_ns(),
        spare=False,  # a person waits for it
    )

    async def work(emit: Emit) -> Event:
        with state.lock():
            await run_blocking(_forget_unfinished, state)
            async with assemble(state, config, secrets) as assembly:
                recovered = await recover_member(assembly.member, emit)
            before = recovered.record.settings.get("offer_bytes", DEFAULT_OFFER_BYTES)
            offer = space or (before if isinstance(before, int) else DEFAULT_OFFER_BYTES)
            final = Config(
                group=config.group,
                server=remembered,
                member_name=name,
                offer_bytes=offer,
                created_ns=config.created_ns,
            )
            await run_blocking(state.create, final, secrets)
            return recovered.event

    async for event in run_job(work):
        yield event


def _forget_unfinished(state: StateFolder) -> None:
    """What a recovery that was interrupted left; there is no member here yet."""
    assert not state.joined
    for path in (state.catalog, *state.home.glob("catalog.sqlite-*")):
        path.unlink(missing_ok=True)
