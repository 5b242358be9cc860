"""The composition root, as commands use it: begin a member, be it, look at it.

How a member is put together is in `peer.assembly`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial

from peer.api import serve_api
from peer.assembly import assemble, probes_of, random_bytes
from peer.blocking import run_blocking
from peer.doctor.examine import examine_outside
from peer.entering import Joined, card_of, credentials_of, derive, join_somewhere
from peer.finding.order import LAN, NotFound
from peer.finding.real import find_for_joining
from peer.finding.routers import maps_ports
from peer.installation import Installation, new_installation
from peer.jobs import run_job
from peer.leaving import Leaving
from peer.member import Emit
from peer.nightly.real import nights_come
from peer.restore.recover import recover_member
from peer.service import Event, Service
from peer.state import AlreadyRunning, Config, StateFolder
from peer.words import master_of, words_of

MASTER_BYTES = 32
DEFAULT_OFFER_BYTES = 10 * 10**9
LOCK_WAIT_S = 5.0
LOCK_RETRY_S = 0.1
TELL_S = 0.5
"""For whoever asked to leave to hear that it is done, before the agent ends."""


async def examine_alone(state: StateFolder, server: str | None) -> AsyncIterator[Event]:
    """The doctor before joining: at this server, or at one of the local network, if any."""
    urls = [server] if server else (await find_for_joining("", LAN))[1]

    async def work(emit: Emit) -> Event:
        probes, first = probes_of(state), urls[0] if urls else None
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


@contextlib.asynccontextmanager
async def _taking_over(state: StateFolder, wanted: bool) -> AsyncIterator[None]:
    if wanted:
        installation = state.config().installation.taking_over(time.time_ns())
        await run_blocking(partial(state.update_config, installation=installation))
    yield


async def run_agent(
    state: StateFolder,
    beside: Beside = _nothing_beside,
    *,
    scheduled: bool = True,
    take_over: bool = False,
) -> None:
    """This member in the foreground, until cancelled. Raises AlreadyRunning, NotJoined, Problem.

    `beside` gets the service and runs for as long: the pages of the window, say. Unless
    `scheduled`, no night comes by itself. With `take_over` other computers with the same recovery
    words stop.
    """
    async with (
        _locked(state),
        _taking_over(state, take_over),
        assemble(state, state.config(), state.secrets()) as assembly,
        beside(assembly.node),
        serve_api(assembly.node, state.api_file, random_bytes=random_bytes),
    ):
        await assembly.engine.fast()  # tried out now, so that no first link waits for it
        nights = assembly.keeper.run(assembly.node, scheduled=scheduled and nights_come())
        await _until_gone(asyncio.create_task(nights), assembly.leaving)


async def _until_gone(nights: asyncio.Task[None], leaving: Leaving) -> None:
    """Until the agent is cancelled, or the member has left its group and nothing is left to do."""
    gone = asyncio.create_task(leaving.is_gone.wait())
    try:
        await asyncio.wait([nights, gone], return_when=asyncio.FIRST_COMPLETED)
        if nights.done():
            nights.result()
        else:
            await asyncio.sleep(TELL_S)
    finally:
        for task in (nights, gone):
            task.cancel()
        await asyncio.gather(nights, gone, return_exceptions=True)


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
    installation = new_installation(time.time_ns())
    card = card_of(credentials_of(secrets), name, space, installation)
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
        installed=installation.number,
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
    card = card_of(credentials_of(secrets), name, space, Installation(0))
    found = await join_somewhere(urls, secrets, card, random_bytes=random_bytes, create=False)
    # Newer than the lost computer, so that this one goes on, should that one come up again.
    before = 0 if found.twin is None else found.twin.installed
    installation = new_installation(time.time_ns(), before)
    config = Config(
        group=group.strip(),
        server=remembered,
        member_name=name,
        offer_bytes=space,
        created_ns=time.time_ns(),
        installed=installation.number,
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
                installed=installation.number,
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
