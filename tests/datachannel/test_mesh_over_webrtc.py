"""Two members, real WebRTC, real sessions and requests; only the server is in memory."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Any

import pytest

from datachannel import messages
from datachannel.engine import Engine
from datachannel.errors import Refusal, Unavailable
from datachannel.mesh import Mesh
from datachannel.requests import put_share
from datachannel.webrtc import AiortcEngine
from signaling.messages import MemberId
from tests.support.members import counted_bytes, two_members
from tests.support.signal_hub import Hub

BLOCK_BYTES = 64 * 1024
MakeEngine = Callable[[], Engine]


def make_libdatachannel() -> Engine:
    from datachannel.libdatachannel import LibdatachannelEngine  # its package is optional

    return LibdatachannelEngine()


MATCHES: dict[str, tuple[MakeEngine, MakeEngine]] = {"aiortc": (AiortcEngine, AiortcEngine)}
if sys.version_info >= (3, 12):
    MATCHES |= {
        "libdatachannel": (make_libdatachannel, make_libdatachannel),
        "aiortc calls libdatachannel": (AiortcEngine, make_libdatachannel),
        "libdatachannel calls aiortc": (make_libdatachannel, AiortcEngine),
    }


@pytest.fixture(params=list(MATCHES))
def engines(request) -> list[Engine]:
    return [make() for make in MATCHES[request.param]]


class Holder:
    """Keeps what is put, and goes on where a put broke off."""

    def __init__(self) -> None:
        self.shares: dict[bytes, bytearray] = {}
        self.offsets: list[int] = []
        self.owners: set[MemberId] = set()
        self.cut_after_bytes: int | None = None
        self.cut = asyncio.Event()

    async def __call__(self, remote: MemberId, request: Any, stream: Any) -> None:
        if not isinstance(request, messages.Put):
            raise Refusal("bad_request")
        self.owners.add(remote)
        share = self.shares.setdefault(request.name, bytearray())
        del share[len(share) // BLOCK_BYTES * BLOCK_BYTES :]
        self.offsets.append(len(share))
        await stream.send(messages.Continue(len(share)))
        while (data := await stream.receive()) is not None:
            share += data
            if self.cut_after_bytes is not None and len(share) >= self.cut_after_bytes:
                self.cut_after_bytes = None
                self.cut.set()
        await stream.send(messages.Stored())


class Two:
    """Two running meshes that know each other."""

    def __init__(self, engines: list[Engine]) -> None:
        self.engines = engines

    async def __aenter__(self) -> Two:
        hub = Hub()
        self.holders: list[Holder] = []
        self.meshes: list[Mesh] = []
        self._running: list[asyncio.Task[None]] = []
        self.ids: list[MemberId] = []
        for number, credentials in enumerate(two_members()):
            holder = Holder()
            mesh = Mesh(
                credentials=credentials,
                rendezvous=hub.port(credentials),
                handler=holder,
                random_bytes=counted_bytes(str(number)),
                wall_clock=lambda: 1_800_000_000.0,
                engine=self.engines[number],
            )
            self.holders.append(holder)
            self.meshes.append(mesh)
            self.ids.append(credentials.member_id)
            self._running.append(asyncio.get_running_loop().create_task(mesh.run()))
        return self

    async def __aexit__(self, *_: object) -> None:
        for mesh, running in zip(self.meshes, self._running, strict=True):
            await mesh.close()
            await running
        left = asyncio.all_tasks() - {asyncio.current_task()}
        async with asyncio.timeout(5):
            await asyncio.gather(*left, return_exceptions=True)


async def test_two_members_that_dial_each_other_at_once_put_shares_both_ways(engines):
    async with Two(engines) as two:
        one, other = await asyncio.gather(
            two.meshes[0].session(two.ids[1]), two.meshes[1].session(two.ids[0])
        )
        payload = os.urandom(1_000_000)

        async def read(offset: int, size: int) -> bytes:
            return payload[offset : offset + size]

        await asyncio.gather(
            put_share(one, b"1" * 32, b"header", len(payload), read),
            put_share(other, b"2" * 32, b"header", len(payload), read),
        )
        assert two.holders[1].shares == {b"1" * 32: payload}
        assert two.holders[0].shares == {b"2" * 32: payload}
        assert [holder.owners for holder in two.holders] == [{two.ids[1]}, {two.ids[0]}]
        (info,) = two.meshes[0].links()
        assert (info.member, info.engine, info.state) == (two.ids[1], engines[0].name, "open")
        assert info.bytes_sent > 1_000_000
        assert info.rtt_s is not None or info.engine != "aiortc"  # else after the first heartbeat


@pytest.mark.parametrize("owner", [0, 1], ids=["the lower id", "the higher id"])
async def test_a_link_cut_in_the_middle_of_a_share_resumes_where_it_was(owner, engines):
    async with Two(engines) as two:
        mesh, friend = two.meshes[owner], two.ids[1 - owner]
        holder = two.holders[1 - owner]
        payload = os.urandom(4_000_000)
        holder.cut_after_bytes = 2_000_000
        sent_bytes = 0

        async def read(offset: int, size: int) -> bytes:
            nonlocal sent_bytes
            sent_bytes += size
            return payload[offset : offset + size]

        async def cut() -> None:
            await holder.cut.wait()
            # As if the network were gone: no goodbye of either end.
            for one in two.meshes:
                for known in list(one._open.values()):
                    await known.link.close()

        cutting = asyncio.get_running_loop().create_task(cut())
        with pytest.raises(Unavailable):
            await put_share(await mesh.session(friend), b"s" * 32, b"h", len(payload), read)
        await cutting
        await put_share(await mesh.session(friend), b"s" * 32, b"h", len(payload), read)
        assert holder.shares == {b"s" * 32: payload}
        assert holder.offsets[0] == 0
        assert holder.offsets[1] >= 2_000_000 - BLOCK_BYTES
        # Sent twice is at most what was on its way when the link went: a window and the queues.
        assert sent_bytes < len(payload) + 2 * 1024 * 1024
