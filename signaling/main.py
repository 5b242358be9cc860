"""The server's composition root: it alone knows the real store, chance and ports."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import replace

from aiohttp import web

from signaling.config import ServerConfig
from signaling.server import Server
from signaling.stores import Store

GARBAGE = (50_000, 50, 1_000)
"""A full look for garbage takes half a second with 20,000 members, and signals wait meanwhile: it
comes after so many connections have ended (or all that are open, if those are more), and not by
itself."""
GARBAGE_CONNECTIONS = 5_000
GARBAGE_LOOK_S = 60.0
FILES_SPARE = 64
"""For the database, the log, listening, and who is told that the server is full."""
BACKLOG = 4096
"""TCP connections that wait to be accepted, when all members come back at once."""


def open_store(config: ServerConfig) -> Store:
    """The store that the configuration asks for. May take a while. Raises StoreError."""
    if config.store is None:
        from signaling.stores.file import TinyDbStore

        return TinyDbStore(config.data, config.limits)
    from signaling.stores.shared import RedisStore

    return RedisStore(
        config.store,
        config.limits,
        random_bytes=os.urandom,  # noqa: TID251 - the composition root
        jitter=random.Random(),
    )


def fitted(config: ServerConfig) -> ServerConfig:
    """The same with no more connections than this process may have files."""
    if sys.platform == "win32":
        return config
    import resource

    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return config
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    connections_max = min(config.limits.connections_max, max(1, files - FILES_SPARE))
    return replace(config, limits=replace(config.limits, connections_max=connections_max))


async def collect_garbage(server: Server) -> None:
    """Until cancelled: look for garbage when there may be much, in a process that is a server."""
    gc.set_threshold(*GARBAGE)
    ended = server.connections_ended
    while True:
        await asyncio.sleep(GARBAGE_LOOK_S)
        if server.connections_ended - ended >= max(GARBAGE_CONNECTIONS, server.connections_open):
            gc.collect()
            ended = server.connections_ended


async def serve(
    config: ServerConfig, *, ready: Callable[[str], None], is_alone: bool = False
) -> None:
    """Run a server until cancelled; `ready` hears its URL. Raises StoreError, OSError.

    `is_alone` when the process does nothing else.
    """
    config = fitted(config)
    store = await asyncio.to_thread(open_store, config)
    server = Server(config, store, os.urandom, time.time)  # noqa: TID251 - the composition root
    runner = web.AppRunner(
        server.application(), access_log=None, keepalive_timeout=5.0, shutdown_timeout=5.0
    )
    numbers = web.AppRunner(server.numbers(), access_log=None, shutdown_timeout=1.0)
    listening: asyncio.Server | None = None
    try:
        await runner.setup()
        if config.metrics is not None:
            await numbers.setup()
            await web.TCPSite(numbers, *config.metrics).start()
        assert runner.server is not None
        loop = asyncio.get_running_loop()
        listening = await loop.create_server(
            server.door.guard(runner.server), config.host, config.port, backlog=BACKLOG
        )
        host, port = listening.sockets[0].getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        ready(f"http://{shown}:{port}")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.door.watch())
            if is_alone:
                tasks.create_task(collect_garbage(server))
    finally:
        if listening is not None:
            listening.close()
        await runner.cleanup()
        await numbers.cleanup()
