"""The two ends of one measured connection, each a process of its own.

    python -m bench.link_ends KIND send|receive OWN_ADDRESS SECONDS [spare]

What the ends must know of each other goes over their standard input and output, a line each; what
was measured goes to the standard error as one line of JSON, after a warm-up. They go on until they
are killed. `KINDS` says what can be measured. With `spare`, ours leave the line to others.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable

import msgspec
import uvloop
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from datachannel.bandwidth import Limits
from datachannel.engine import Engine
from datachannel.link import PeerSession, Stream
from datachannel.messages import Continue, Put, Request, Stored
from datachannel.requests import put_share, receive_body
from datachannel.signals import Description
from datachannel.throttle import Throttle
from datachannel.webrtc import AiortcEngine
from peer.politeness import Traffic
from signaling.messages import MemberId

FRAME = bytes(60 * 1024)
SHARE_BYTES = 64 << 20
WARM_UP_S = 1.0
ALICE, BOB = MemberId(b"A" * 32), MemberId(b"B" * 32)


class Meter:
    """Counts what came, and measures once it has been coming for a while."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.bytes = 0
        self._last_at = 0.0
        self.longest_gap_s = 0.0

    def count(self, size: int) -> None:
        """So much came just now."""
        now = time.perf_counter()
        if self.bytes:
            self.longest_gap_s = max(self.longest_gap_s, now - self._last_at)
        self._last_at = now
        self.bytes += size

    async def measure(self) -> None:
        """Warm up, measure, say it."""
        while not self.bytes:  # noqa: ASYNC110 - counted in threads too, which have no event
            await asyncio.sleep(0.01)
        await asyncio.sleep(WARM_UP_S)
        self.longest_gap_s = 0.0
        before, begun, cpu = self.bytes, time.perf_counter(), time.process_time()
        await asyncio.sleep(self._seconds)
        self.count(0)  # a gap may be at the end
        took = time.perf_counter() - begun
        self.say(self.bytes - before, took, time.process_time() - cpu)

    def say(self, size: int, took: float, cpu_s: float) -> None:
        """One line of JSON for who started us."""
        found = {
            "mb_per_s": size / took / 1e6,
            "cpu_share": cpu_s / took,
            "longest_gap_s": self.longest_gap_s,
        }
        print(json.dumps(found), file=sys.stderr, flush=True)


def tell(what: object) -> None:
    """To the other end."""
    print(base64.b64encode(msgspec.msgpack.encode(what)).decode(), flush=True)


async def hear(kind: type[msgspec.Struct] | type[dict[str, str]]) -> object:
    """From the other end."""
    line = await asyncio.to_thread(sys.stdin.readline)
    return msgspec.msgpack.decode(base64.b64decode(line), type=kind)


def engine_of(kind: str) -> Engine:
    """Ours, by its name."""
    if kind == "aiortc":
        return AiortcEngine()
    from datachannel.libdatachannel import LibdatachannelEngine

    return LibdatachannelEngine()


def throttle() -> Throttle:
    """As this end was told to be."""
    return Throttle(Limits(spare="spare" in sys.argv[5:]), Traffic())


async def ours_send(engine: Engine, meter: Meter) -> None:
    """Two uploads of shares at a time, over our session."""
    limits = throttle()
    attempt = engine.attempt(BOB, offerer=True, ice_servers=())
    tell(await attempt.local_description())
    answer = await hear(Description)
    assert isinstance(answer, Description)
    link = await attempt.connect(answer)
    session = PeerSession(link, _refuse, initiator=True, throttle=limits)

    async def read(offset: int, size: int) -> bytes:
        return FRAME[:size]

    async def keep_sending() -> None:
        while True:
            await put_share(session, b"n" * 32, b"", SHARE_BYTES, read, progress=meter.count)

    work = (session.run(), limits.run(), keep_sending(), keep_sending(), meter.measure())
    await asyncio.gather(*work)


async def ours_receive(engine: Engine, meter: Meter) -> None:
    """Take uploads, and forget what came."""
    attempt = engine.attempt(ALICE, offerer=False, ice_servers=())
    offer = await hear(Description)
    assert isinstance(offer, Description)
    tell(await attempt.local_description(offer))

    async def take(remote: MemberId, request: Request, stream: Stream) -> None:
        assert isinstance(request, Put)
        await stream.send(Continue(0))
        async for piece in receive_body(stream, request.length):
            meter.count(len(piece))
        await stream.send(Stored())
        await stream.finish()

    session = PeerSession(await attempt.connect(offer), take, initiator=False)
    await asyncio.gather(session.run(), meter.measure())


async def _refuse(remote: MemberId, request: Request, stream: Stream) -> None:
    await stream.reset("bad_request")


async def stock_send(meter: Meter) -> None:
    """A bare aiortc channel, as its documentation shows it."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    channel = connection.createDataChannel("bench")
    opened = asyncio.Event()
    channel.on("open", opened.set)
    await connection.setLocalDescription(await connection.createOffer())
    tell({"sdp": connection.localDescription.sdp})
    answer = await hear(dict[str, str])
    assert isinstance(answer, dict)
    await connection.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
    await opened.wait()

    async def keep_sending() -> None:
        while True:
            while channel.bufferedAmount > 1 << 20:  # noqa: ASYNC110 - as its users do it
                await asyncio.sleep(0.001)
            channel.send(FRAME)
            meter.count(len(FRAME))

    await asyncio.gather(keep_sending(), meter.measure())


async def stock_receive(meter: Meter) -> None:
    """The other end of it."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))

    def take(channel: object) -> None:
        channel.on("message", lambda message: meter.count(len(message)))  # type: ignore[attr-defined]

    connection.on("datachannel", take)
    offer = await hear(dict[str, str])
    assert isinstance(offer, dict)
    await connection.setRemoteDescription(RTCSessionDescription(offer["sdp"], "offer"))
    await connection.setLocalDescription(await connection.createAnswer())
    tell({"sdp": connection.localDescription.sdp})
    await meter.measure()
    await asyncio.Event().wait()


async def bare_send(meter: Meter) -> None:
    """libdatachannel by its package's own interface."""
    from aiolibdatachannel import DataChannelOptions, PeerConnection, RTCConfiguration

    connection = PeerConnection(RTCConfiguration())
    options = DataChannelOptions(negotiated=True, stream_id=0)
    channel = await connection.create_data_channel("bench", options)
    tell({"sdp": (await connection.create_offer()).sdp})
    answer = await hear(dict[str, str])
    assert isinstance(answer, dict)
    await connection.set_remote_description(answer["sdp"], "answer")
    await channel.wait_open()

    async def keep_sending() -> None:
        while True:
            while channel.buffered_amount > 4 << 20:  # noqa: ASYNC110 - its own waiting hangs
                await asyncio.sleep(0.001)
            await channel.send(FRAME, wait_for_drain=False)
            meter.count(len(FRAME))

    await asyncio.gather(keep_sending(), meter.measure())


async def bare_receive(meter: Meter) -> None:
    """The other end of it."""
    from aiolibdatachannel import DataChannelOptions, PeerConnection, RTCConfiguration

    connection = PeerConnection(RTCConfiguration())
    options = DataChannelOptions(negotiated=True, stream_id=0)
    channel = await connection.create_data_channel("bench", options)
    offer = await hear(dict[str, str])
    assert isinstance(offer, dict)
    await connection.set_remote_description(offer["sdp"], "offer")
    tell({"sdp": (await connection.create_answer()).sdp})

    async def keep_receiving() -> None:
        while True:
            meter.count(len(await channel.recv()))

    await asyncio.gather(keep_receiving(), meter.measure())


async def tls_send(meter: Meter, address: str) -> None:
    """One TCP stream with TLS, blocking: what a file transfer between servers would be."""
    place = await hear(dict[str, str])
    assert isinstance(place, dict)
    context = ssl.create_default_context(cadata=place["certificate"])
    context.check_hostname = False

    def keep_sending() -> None:
        with (
            socket.create_connection((place["address"], int(place["port"]))) as plain,
            context.wrap_socket(plain) as stream,
        ):
            while True:
                stream.sendall(FRAME)
                meter.count(len(FRAME))

    await asyncio.gather(asyncio.to_thread(keep_sending), meter.measure())


async def tls_receive(meter: Meter, address: str) -> None:
    """The other end of it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate = _certify(context)
    listener = socket.create_server((address, 0))
    tell({"address": address, "port": str(listener.getsockname()[1]), "certificate": certificate})

    def keep_receiving() -> None:
        plain, _ = listener.accept()
        buffer = bytearray(64 * 1024)
        with context.wrap_socket(plain, server_side=True) as stream:
            while size := stream.recv_into(buffer):
                meter.count(size)

    await asyncio.gather(asyncio.to_thread(keep_receiving), meter.measure())


def _certify(context: ssl.SSLContext) -> str:
    """Give it a fresh certificate, of the kind that DTLS uses; returns it as PEM."""
    from aiortc import RTCCertificate
    from cryptography.hazmat.primitives import serialization

    made = RTCCertificate.generateCertificate()
    certificate = made._cert.public_bytes(serialization.Encoding.PEM)
    key = made._key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(key + certificate)
        file.flush()
        context.load_cert_chain(file.name)
    return certificate.decode()


KINDS: dict[str, tuple[bool, Callable[..., Awaitable[None]], Callable[..., Awaitable[None]]]] = {
    "covey libdatachannel": (
        True,
        lambda meter, _: ours_send(engine_of("libdatachannel"), meter),
        lambda meter, _: ours_receive(engine_of("libdatachannel"), meter),
    ),
    "covey aiortc": (
        True,
        lambda meter, _: ours_send(engine_of("aiortc"), meter),
        lambda meter, _: ours_receive(engine_of("aiortc"), meter),
    ),
    "stock aiortc": (
        False,
        lambda meter, _: stock_send(meter),
        lambda meter, _: stock_receive(meter),
    ),
    "stock aiortc, uvloop": (
        True,
        lambda meter, _: stock_send(meter),
        lambda meter, _: stock_receive(meter),
    ),
    "bare libdatachannel": (
        True,
        lambda meter, _: bare_send(meter),
        lambda meter, _: bare_receive(meter),
    ),
    "TCP with TLS": (False, tls_send, tls_receive),
}
"""Name: whether uvloop runs it, the sender, the receiver."""


def main() -> None:
    """Be one end."""
    kind, part, address, seconds = sys.argv[1:5]
    quick, send, receive = KINDS[kind]
    work = (send if part == "send" else receive)(Meter(float(seconds)), address)
    run = uvloop.run if quick else asyncio.run
    run(work)  # type: ignore[arg-type]  # they are coroutines
    os._exit(0)


if __name__ == "__main__":
    main()
