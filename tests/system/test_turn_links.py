"""Two members that no direct path connects meet through a real coturn."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aioice.ice import TransportPolicy
from aiortc import RTCIceServer

from datachannel import messages
from datachannel.aiortc_fixes import FIXED_PARTS, SteadyIceGatherer, steady_connection
from datachannel.calls import SETTLED_S
from datachannel.engine import Engine
from datachannel.errors import Refusal, Unavailable
from datachannel.joining import OneServer
from datachannel.mesh import Mesh
from datachannel.rendezvous import Rendezvous
from datachannel.requests import put_share
from datachannel.signals import Description
from datachannel.webrtc import AiortcEngine
from signaling.messages import MemberId
from signaling.turn import Relays, TurnConfig
from tests.support.members import card_of, counted_bytes, two_members
from tests.support.raw_client import metric, running_server
from tests.support.turn_server import TurnServer, turn_server

pytestmark = [pytest.mark.system, pytest.mark.slow]

NAME = b"1" * 32


@pytest.fixture(scope="module")
def coturn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TurnServer]:
    """Allows what deploy/coturn.conf refuses: all of this internet is one computer."""
    folder = tmp_path_factory.mktemp("coturn")
    with turn_server(folder, "--allow-loopback-peers", "--allowed-peer-ip=127.0.0.1") as server:
        yield server


class RelayedGatherer(SteadyIceGatherer):
    """Has no address of its own: a relay is all that it can offer and use."""

    def __init__(self, iceServers: list[RTCIceServer]) -> None:  # noqa: N803 - aiortc's name
        super().__init__(iceServers=iceServers)
        self._connection = steady_connection(iceServers, TransportPolicy.RELAY)


def libdatachannel() -> Engine:
    from datachannel.libdatachannel import LibdatachannelEngine  # its package is optional

    return LibdatachannelEngine()


ENGINES: list[Callable[[], Engine]] = [AiortcEngine]
if sys.version_info >= (3, 12):
    ENGINES.append(libdatachannel)


def an_engine() -> AiortcEngine:
    return AiortcEngine(replace(FIXED_PARTS, gatherer=RelayedGatherer))


class Shelf:
    """Takes shares."""

    def __init__(self) -> None:
        self.shares: dict[bytes, bytes] = {}

    async def __call__(self, remote: MemberId, request: Any, stream: Any) -> None:
        if not isinstance(request, messages.Put):
            raise Refusal("bad_request")
        await stream.send(messages.Continue(0))
        share = bytearray()
        while (data := await stream.receive()) is not None:
            share += data
        self.shares[request.name] = bytes(share)
        await stream.send(messages.Stored())


@asynccontextmanager
async def two_meshes(url: str) -> AsyncIterator[tuple[list[Mesh], list[Shelf], list[MemberId]]]:
    shelves, meshes, running, ids = [], [], [], []
    for number, credentials in enumerate(two_members()):
        rendezvous = Rendezvous(
            servers=OneServer(url),
            credentials=credentials,
            card=card_of(credentials),
            create=True,
            random_bytes=counted_bytes(f"rendezvous {number}"),
            jitter=random.Random(number),
        )
        shelves.append(Shelf())
        meshes.append(
            Mesh(
                credentials=credentials,
                rendezvous=rendezvous,
                handler=shelves[-1],
                random_bytes=counted_bytes(f"mesh {number}"),
                wall_clock=lambda: 1_800_000_000.0,
                engine=an_engine(),
            )
        )
        ids.append(credentials.member_id)
        running += [asyncio.create_task(one) for one in (rendezvous.run(), meshes[-1].run())]
        await rendezvous.joined()
    try:
        yield meshes, shelves, ids
    finally:
        for mesh in meshes:
            await mesh.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_two_members_whose_only_path_is_the_relay_put_a_share(
    coturn: TurnServer, transport: str, tmp_path: Path
):
    turn = TurnConfig((f"turn:127.0.0.1:{coturn.port}?transport={transport}",), coturn.secret)
    async with (
        asyncio.timeout(60),
        running_server(tmp_path, turn=turn) as url,
        two_meshes(url) as (meshes, shelves, ids),
    ):
        session = await meshes[0].session(ids[1])
        payload = os.urandom(2_000_000)

        async def read(offset: int, size: int) -> bytes:
            return payload[offset : offset + size]

        await put_share(session, NAME, b"header", len(payload), read)
        assert shelves[1].shares == {NAME: payload}
        await asyncio.sleep(SETTLED_S + 1.0)
        assert await metric(url, "link_outcomes_total", outcome="relay") == 1  # the caller reports
        assert await metric(url, "turn_grants_total") == 2


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("number", range(4))  # passwords with + and / in them, too
async def test_every_engine_takes_a_members_credentials(
    coturn: TurnServer, engine: Callable[[], Engine], number: int
):
    turn = TurnConfig((coturn.url,), coturn.secret)
    member = MemberId(bytes([number]) * 32)
    given = Relays((), turn, time.time).grant(b"g" * 32, member)
    attempt = engine().attempt(member, offerer=True, ice_servers=given.servers)
    async with asyncio.timeout(20):
        described = await attempt.local_description()
        await attempt.close()
    assert "relay" in {one.kind for one in described.candidates}


@pytest.mark.parametrize("engine", ENGINES)
async def test_every_engine_knows_that_its_path_goes_through_the_relay(
    coturn: TurnServer, engine: Callable[[], Engine]
):
    turn = TurnConfig((coturn.url,), coturn.secret)
    ids = [MemberId(bytes([number]) * 32) for number in (1, 2)]
    one_engine = engine()
    ends = [
        one_engine.attempt(
            member,
            offerer=number == 0,
            ice_servers=Relays((), turn, time.time).grant(b"g" * 32, member).servers,
        )
        for number, member in enumerate(ids)
    ]
    async with asyncio.timeout(30):
        offer = only_relays(await ends[0].local_description())
        answer = only_relays(await ends[1].local_description(offer))
        links = await asyncio.gather(ends[0].connect(answer), ends[1].connect(offer))
        try:
            # On one computer libjuice's other end may send directly what comes back relayed.
            assert True in [link.is_relayed for link in links]
        finally:
            await asyncio.gather(*(one.close() for one in ends))


def only_relays(description: Description) -> Description:
    relays = tuple(one for one in description.candidates if one.kind == "relay")
    return msgspec.structs.replace(description, candidates=relays)


async def test_without_good_credentials_there_is_no_path(coturn: TurnServer, tmp_path: Path):
    turn = TurnConfig((coturn.url,), "not the secret of this coturn")
    async with (
        asyncio.timeout(60),
        running_server(tmp_path, turn=turn) as url,
        two_meshes(url) as (meshes, _, ids),
    ):
        with pytest.raises(Unavailable):
            await meshes[0].session(ids[1], timeout_s=10.0)
