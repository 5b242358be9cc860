"""One link over loopback between two processes: ours, and a bare aiortc data channel.

Both send frames of 60 KiB for a few seconds after a warm-up, uvloop in each process. The bare
channel is what aiortc's documentation shows: a peer connection, a channel, and a look at
`bufferedAmount`; nothing checks that it is not more than the other side can take.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection

import uvloop
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from datachannel.link import PeerSession, Stream
from datachannel.messages import Continue, Put, Request, Stored
from datachannel.requests import put_share, receive_body
from datachannel.webrtc import AiortcEngine
from signaling.messages import MemberId

FRAME = bytes(60 * 1024)
SHARE_BYTES = 64 << 20
SECONDS = 5.0
ALICE, BOB = MemberId(b"A" * 32), MemberId(b"B" * 32)


async def _exchange(pipe: Connection, mine: object) -> object:
    pipe.send(mine)
    return await asyncio.to_thread(pipe.recv)


async def _ours_send(pipe: Connection) -> float:
    attempt = AiortcEngine().attempt(BOB, offerer=True, ice_servers=())
    theirs = await _exchange(pipe, await attempt.local_description())
    link = await attempt.connect(theirs)  # type: ignore[arg-type]  # from our own pipe

    async def refuse(remote: MemberId, request: Request, stream: Stream) -> None:
        await stream.reset("bad_request")

    session = PeerSession(link, refuse, initiator=True)
    running = asyncio.create_task(session.run())
    sent = 0

    async def read(offset: int, size: int) -> bytes:
        return FRAME[:size]

    def moved(size: int) -> None:
        nonlocal sent
        sent += size

    async def keep_sending() -> None:
        while True:
            await put_share(session, b"n" * 32, b"", SHARE_BYTES, read, progress=moved)

    senders = [asyncio.create_task(keep_sending()) for _ in range(2)]
    rate = await _rate(lambda: sent)
    for task in (*senders, running):
        task.cancel()
    await asyncio.gather(*senders, running, return_exceptions=True)
    await attempt.close()
    return rate


async def _ours_receive(pipe: Connection) -> None:
    attempt = AiortcEngine().attempt(ALICE, offerer=False, ice_servers=())
    theirs = await asyncio.to_thread(pipe.recv)
    pipe.send(await attempt.local_description())
    link = await attempt.connect(theirs)

    async def take(remote: MemberId, request: Request, stream: Stream) -> None:
        assert isinstance(request, Put)
        await stream.send(Continue(0))
        async for _ in receive_body(stream, request.length):
            pass
        await stream.send(Stored())
        await stream.finish()

    await PeerSession(link, take, initiator=False).run()
    await attempt.close()


async def _bare_send(pipe: Connection) -> float:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    channel = connection.createDataChannel("bench")
    opened = asyncio.Event()
    channel.on("open", opened.set)
    await connection.setLocalDescription(await connection.createOffer())
    local = connection.localDescription
    answer = await _exchange(pipe, (local.sdp, local.type))
    await connection.setRemoteDescription(RTCSessionDescription(*answer))  # type: ignore[misc]
    await opened.wait()
    sent = 0

    async def keep_sending() -> None:
        nonlocal sent
        while True:
            while channel.bufferedAmount > 1 << 20:  # noqa: ASYNC110 - as its users do it
                await asyncio.sleep(0.001)
            channel.send(FRAME)
            sent += len(FRAME)

    sender = asyncio.create_task(keep_sending())
    rate = await _rate(lambda: sent - channel.bufferedAmount)
    sender.cancel()
    await connection.close()
    return rate


async def _bare_receive(pipe: Connection) -> None:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    closed = asyncio.Event()
    connection.on(
        "connectionstatechange",
        lambda: closed.set() if connection.connectionState in ("closed", "failed") else None,
    )
    offer = await asyncio.to_thread(pipe.recv)
    await connection.setRemoteDescription(RTCSessionDescription(*offer))
    await connection.setLocalDescription(await connection.createAnswer())
    local = connection.localDescription
    pipe.send((local.sdp, local.type))
    await closed.wait()
    await connection.close()


async def _rate(sent: Callable[[], int]) -> float:
    """MB/s after a second of warm-up."""
    await asyncio.sleep(1.0)
    before, begun = sent(), time.perf_counter()
    await asyncio.sleep(SECONDS)
    return (sent() - before) / (time.perf_counter() - begun) / 1e6


def _run_sender(
    work: Callable[[Connection], Awaitable[float]], pipe: Connection, result: Connection
) -> None:
    result.send(uvloop.run(work(pipe)))  # type: ignore[arg-type]  # a coroutine


def _run_receiver(work: Callable[[Connection], Awaitable[None]], pipe: Connection) -> None:
    uvloop.run(work(pipe))  # type: ignore[arg-type]  # a coroutine


def _once(
    send: Callable[[Connection], Awaitable[float]],
    receive: Callable[[Connection], Awaitable[None]],
) -> float:
    spawn = multiprocessing.get_context("spawn")
    near, far = spawn.Pipe()
    result, result_end = spawn.Pipe()
    sender = spawn.Process(target=_run_sender, args=(send, near, result_end))
    receiver = spawn.Process(target=_run_receiver, args=(receive, far))
    sender.start()
    receiver.start()
    try:
        if not result.poll(SECONDS + 60):
            raise RuntimeError("the link stands still")
        return float(result.recv())
    finally:
        for process in (sender, receiver):
            process.join(10)
            if process.is_alive():
                process.kill()
                process.join()


def measure(runs: int) -> dict[str, float]:
    """Median MB/s of our session over WebRTC, and of a bare aiortc channel."""
    rates: dict[str, list[float]] = {"covey link": [], "bare aiortc channel": []}
    for _ in range(runs):
        rates["covey link"].append(_once(_ours_send, _ours_receive))
        rates["bare aiortc channel"].append(_once(_bare_send, _bare_receive))
    return {name: statistics.median(found) for name, found in rates.items()}
