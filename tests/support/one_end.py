"""One end of a link as a program, for tests in which each end has a network of its own.

    python -m tests.support.one_end aiortc|libdatachannel offerer|answerer maps|plain

Tells its description as a line of hex, hears the other end's in the same way (the answerer hears
first), then sends a frame and says whether the other's came.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec

from datachannel.engine import Engine
from datachannel.errors import Unavailable
from datachannel.mapping import Mapper, MappingEngine
from datachannel.signals import Description
from peer.finding.mdns import own_address
from peer.finding.routers import find_router
from signaling.messages import IceServer, MemberId

CONNECT_S = 12.0
LOOK_S = 10.0


def engine_called(name: str) -> Engine:
    if name == "aiortc":
        from datachannel.webrtc import AiortcEngine

        return AiortcEngine()
    from datachannel.libdatachannel import LibdatachannelEngine

    return LibdatachannelEngine()


def say(text: str) -> None:
    print(text, flush=True)


async def hear() -> Description:
    line = await asyncio.to_thread(sys.stdin.readline)
    return msgspec.msgpack.decode(bytes.fromhex(line), type=Description)


async def main(engine_name: str, part: str, router: str) -> None:
    mapper = Mapper(lambda: find_router(own_address))
    running = asyncio.create_task(mapper.run()) if router == "maps" else None
    async with asyncio.timeout(LOOK_S):
        while running is not None and not mapper.inside:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.05)
    engine = MappingEngine(engine_called(engine_name), mapper)
    # No server answers there: only what the router opens can help.
    nowhere = (IceServer(("stun:11.0.0.1:3478",)),)
    attempt = engine.attempt(MemberId(b"1" * 32), offerer=part == "offerer", ice_servers=nowhere)
    offer = await hear() if part == "answerer" else None
    described = await attempt.local_description(offer)
    say(msgspec.msgpack.encode(described).hex())
    remote = offer or await hear()
    try:
        async with asyncio.timeout(CONNECT_S):
            link = await attempt.connect(remote)
            link.send(b"hello")
            say("connected" if await link.receive() == b"hello" else "odd")
            await asyncio.sleep(0.5)
    except (Unavailable, TimeoutError):
        say("no path")
    await attempt.close()
    if running is not None:
        running.cancel()
        await asyncio.wait([running])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
