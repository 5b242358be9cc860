"""Packets on their way between the socket and SCTP: whole, in order, and without detours."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aioice import stun
from hypothesis import given
from hypothesis import strategies as st

from datachannel import aiortc_fixes, aiortc_fixes_socket
from datachannel.aiortc_fixes_socket import (
    SEGMENTS_MAX,
    DemultiplexingProtocol,
    ManyPackets,
    alike_until,
    bind,
)
from datachannel.errors import LinkClosed
from datachannel.webrtc import AiortcEngine
from tests.support.link_pairs import connected

HERE = "127.0.0.1"


class Ear(asyncio.DatagramProtocol):
    """Hears packets and errors."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.errors: list[Exception] = []
        self.lost = 0
        self._news = asyncio.Event()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.packets.append(data)
        self._news.set()

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost += 1
        self._news.set()

    async def heard(self, count: int) -> list[bytes]:
        async with asyncio.timeout(5):
            while len(self.packets) < count:
                self._news.clear()
                await self._news.wait()
        return self.packets


class Moody:
    """A socket that fails as it is told, then works."""

    def __init__(self, sock: socket.socket, *moods: OSError) -> None:
        self._sock = sock
        self._moods = list(moods)
        self.calls: list[str] = []

    def fileno(self) -> int:
        return self._sock.fileno()

    def _do(self, name: str, *arguments: Any) -> Any:
        self.calls.append(name)
        if self._moods:
            raise self._moods.pop(0)
        return getattr(self._sock, name)(*arguments)

    def sendto(self, *arguments: Any) -> Any:
        return self._do("sendto", *arguments)

    def sendmsg(self, *arguments: Any) -> Any:
        return self._do("sendmsg", *arguments)

    def close(self) -> None:
        self._sock.close()


@asynccontextmanager
async def two_sockets() -> AsyncIterator[tuple[ManyPackets, Ear, tuple[str, int]]]:
    """One to send with, the ear at another one, and where that is."""
    ear = Ear()
    near, far = await bind(HERE, Ear()), await bind(HERE, ear)
    assert isinstance(near, ManyPackets)
    try:
        yield near, ear, far.get_extra_info("sockname")
    finally:
        near.close()
        far.close()
        await asyncio.sleep(0)


def numbered(*sizes: int) -> list[bytes]:
    return [number.to_bytes(2, "big") + bytes(size) for number, size in enumerate(sizes)]


MIXED = numbered(*[1200] * 90, 40, 40, 1200, 7, *[1200] * 3, 1, 2, 3, *[30] * 100, 1400, 1200, 9)


@pytest.mark.parametrize("cuts", [True, False], ids=["cut by the kernel", "one by one"])
async def test_packets_of_all_sizes_arrive_whole_and_in_order(cuts):
    async with two_sockets() as (near, ear, far):
        near.cuts_messages = near.cuts_messages and cuts
        near.send_many(MIXED, far)
        assert await ear.heard(len(MIXED)) == MIXED


async def test_a_plain_socket_hears_every_packet_of_a_batch_alone():
    async with two_sockets() as (near, _, _):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            plain.bind((HERE, 0))
            plain.settimeout(5)
            near.send_many(MIXED[:60], plain.getsockname())
            assert [plain.recv(2000) for _ in range(60)] == MIXED[:60]


async def test_packets_of_a_plain_socket_are_heard():
    async with two_sockets() as (_, ear, far):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            for packet in MIXED[:60]:
                plain.sendto(packet, far)
            assert await ear.heard(60) == MIXED[:60]


@given(sizes=st.lists(st.sampled_from([1, 5, 1200]), max_size=150))
def test_what_is_handed_to_the_kernel_at_once_can_be_cut_apart_again(sizes):
    packets = [bytes(size) for size in sizes]
    start, parts = 0, 0
    while start < len(packets):
        end = alike_until(packets, start)
        part = sizes[start:end]
        assert start < end <= start + SEGMENTS_MAX + 1
        assert set(part[:-1]) <= {part[0]}
        assert part[-1] <= part[0]
        start, parts = end, parts + 1
    assert parts <= len(packets)


@pytest.mark.parametrize("code", [errno.EIO, errno.EINVAL])
async def test_a_device_that_cannot_cut_gets_the_packets_one_by_one(code):
    async with two_sockets() as (near, ear, far):
        near.cuts_messages = True
        moody = near._sock = Moody(near._sock, OSError(code, "cannot"))  # type: ignore[assignment]
        near.send_many(MIXED[:5], far)
        near.send_many(MIXED[5:10], far)
        assert await ear.heard(10) == MIXED[:10]
        assert moody.calls == ["sendmsg"] + ["sendto"] * 10


@pytest.mark.parametrize("cuts", [True, False])
async def test_what_the_socket_does_not_take_waits_and_keeps_its_order(cuts):
    async with two_sockets() as (near, ear, far):
        near.cuts_messages = near.cuts_messages and cuts
        near._sock = Moody(near._sock, *[BlockingIOError()] * 3)  # type: ignore[assignment]
        near.send_many(MIXED[:50], far)
        near.sendto(MIXED[50], far)
        assert await ear.heard(51) == MIXED[:51]
        assert near._waiting_bytes == 0


async def test_no_more_waits_than_a_bound(monkeypatch):
    monkeypatch.setattr(aiortc_fixes_socket, "WAITING_BYTES_MAX", 12_100)
    async with two_sockets() as (near, ear, far):
        near._sock = Moody(near._sock, BlockingIOError())  # type: ignore[assignment]
        near.send_many(MIXED[:50], far)
        assert await ear.heard(10) == MIXED[:10]
        await asyncio.sleep(0.05)
        assert len(ear.packets) == 10


async def test_an_error_of_one_packet_is_told_and_the_others_go_out():
    async with two_sockets() as (near, ear, far):
        near.cuts_messages = False
        unreachable = OSError(errno.ENETUNREACH, "no way")
        near._sock = Moody(near._sock, unreachable)  # type: ignore[assignment]
        near.send_many(MIXED[:3], far)
        assert await ear.heard(2) == MIXED[1:3]
        assert near._protocol.errors == [unreachable]  # type: ignore[attr-defined]


async def test_a_closed_socket_sends_nothing_and_says_once_that_it_is_gone():
    async with two_sockets() as (near, ear, far):
        near.close()
        near.close()
        near.sendto(b"late", far)
        near.send_many(MIXED[:3], far)
        await asyncio.sleep(0.05)
        assert near.is_closing()
        assert near._protocol.lost == 1  # type: ignore[attr-defined]
        assert ear.packets == []


async def test_stun_is_told_from_data_by_its_first_byte():
    class Connection:
        def __init__(self) -> None:
            self.data: list[bytes] = []
            self.requests: list[stun.Message] = []

        def data_received(self, data: bytes, component: int) -> None:
            self.data.append(data)

        def request_received(self, message: stun.Message, addr: object, protocol: object) -> None:
            self.requests.append(message)

    connection = Connection()
    protocol = DemultiplexingProtocol(connection)  # type: ignore[arg-type]
    protocol.local_candidate = aiortc_fixes.Candidate("f", 1, "udp", 1, HERE, 4000, "host")
    request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    for packet in (b"\x17data", bytes(request), b"\x16hello", b"", b"\x80rtp"):
        protocol.datagram_received(packet, (HERE, 4000))
    assert connection.data == [b"\x17data", b"\x16hello", b"", b"\x80rtp"]
    assert [message.transaction_id for message in connection.requests] == [request.transaction_id]


# Through DTLS


async def test_no_task_is_made_for_a_packet():
    async with connected(AiortcEngine()) as pair:
        loop, made = asyncio.get_running_loop(), 0

        def count(loop: asyncio.AbstractEventLoop, coroutine: Any, **more: Any) -> Any:
            nonlocal made
            made += 1
            return asyncio.Task(coroutine, loop=loop, **more)

        loop.set_task_factory(count)
        for _ in range(20):
            pair.anna.send(bytes(60_000))  # 52 packets
        for _ in range(20):
            await pair.ben.receive()
        loop.set_task_factory(None)
        assert made <= 25  # one for each message, as aiortc makes


async def test_a_link_works_over_sockets_that_take_one_packet_at_a_time(monkeypatch):
    """As on Windows, and as through a relay."""
    monkeypatch.setattr(aiortc_fixes_socket.sys, "platform", "win32")
    async with connected(AiortcEngine()) as pair:
        monkeypatch.undo()
        frames = [bytes([number]) * 60_000 for number in range(50)]
        for frame in frames:
            pair.anna.send(frame)
        async with asyncio.timeout(20):
            assert [await pair.ben.receive() for _ in frames] == frames


async def test_several_records_in_one_datagram_are_all_taken():
    async with connected(AiortcEngine()) as pair:
        sent: list[bytes] = []
        pair.annas._dtls._send_records = sent.extend
        for number in range(3):
            pair.anna.send(bytes([number]) * 100)
        await asyncio.sleep(0.05)
        del pair.annas._dtls._send_records
        assert len(sent) >= 3
        pair.bens._dtls._take(b"".join(sent))
        async with asyncio.timeout(5):
            assert [await pair.ben.receive() for _ in range(3)] == [
                bytes([number]) * 100 for number in range(3)
            ]


async def test_forged_and_cut_datagrams_do_no_harm():
    async with connected(AiortcEngine()) as pair:
        header = b"\x17\xfe\xfd\0\1\0\0\0\0\0\0\0\5"
        for junk in (b"\x17", header, header + b"12345", header + bytes(200), b"\x15" + bytes(12)):
            pair.bens._dtls._take(junk)
        pair.anna.send(b"still here")
        async with asyncio.timeout(5):
            assert await pair.ben.receive() == b"still here"


async def test_nothing_is_sent_or_taken_after_the_end():
    async with connected(AiortcEngine()) as pair:
        await pair.anna.close()
        with pytest.raises(ConnectionError):
            pair.annas._dtls.send_packets([b"late"])
        pair.annas._dtls._take(b"\x17" + bytes(30))
        with contextlib.suppress(LinkClosed):
            await pair.ben.receive()


STOCK = {
    "ours calls stock": (aiortc_fixes.FIXED_PARTS, aiortc_fixes.STOCK_PARTS),
    "stock calls ours": (aiortc_fixes.STOCK_PARTS, aiortc_fixes.FIXED_PARTS),
}


@pytest.mark.slow
@pytest.mark.parametrize("match", STOCK)
async def test_much_crosses_between_our_parts_and_the_stock_ones(match):
    annas, bens = (AiortcEngine(parts) for parts in STOCK[match])
    async with connected(annas, bens) as pair, asyncio.timeout(30):
        frames = [bytes([number]) * 60_000 for number in range(100)]

        async def talk(link: Any) -> None:
            for frame in frames:
                link.send(frame)
                await link.drained()

        async def listen(link: Any) -> None:
            assert [await link.receive() for _ in frames] == frames

        await asyncio.gather(talk(pair.anna), listen(pair.ben))
        await asyncio.gather(talk(pair.ben), listen(pair.anna))
