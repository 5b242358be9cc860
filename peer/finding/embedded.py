"""The signaling server that a member's agent runs itself, when its local network has none.

It is the same server as `covey serve`, for a few groups, listening at this computer's address in
the local network only, and announced there. What it remembers lies in the member's folder; losing
it is nothing, since members make their groups anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from peer.finding.lan import LanServer
from peer.finding.mdns import LocalNetwork
from peer.ports import RandomBytes
from signaling.config import Limits, ServerConfig
from signaling.main import serve

LIMITS = Limits(connections_max=1_000, connections_per_address_max=200, groups_max=200)
"""A home, a school, a small firm."""
NAME_BYTES = 8
THERE_TIMEOUT_S = 3.0


@asynccontextmanager
async def embedded_server(
    network: LocalNetwork, data: Path, random_bytes: RandomBytes
) -> AsyncIterator[LanServer]:
    """A server while the context lasts. Raises NoLan, StoreError, OSError."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    config = ServerConfig(data=data, host=network.address, limits=LIMITS)
    serving = asyncio.create_task(serve(config, ready=ready.set_result))
    try:
        serving.add_done_callback(lambda _: ready.cancel())
        try:
            url = await ready
        except asyncio.CancelledError:
            if serving.done():
                serving.result()
            raise
        name = f"covey-{random_bytes(NAME_BYTES).hex()}"
        async with network.announced(name, urlsplit(url).port or 0, standing=False):
            yield LanServer(name, url, standing=False)
    finally:
        serving.cancel()
        await asyncio.wait([serving])


async def is_there(url: str) -> bool:
    """Whether a server answers at this address."""
    try:
        async with (
            asyncio.timeout(THERE_TIMEOUT_S),
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(f"{url}/healthz", allow_redirects=False) as answer,
        ):
            return answer.status == 200
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False
