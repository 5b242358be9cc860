"""A server that says what a test wants, to whoever connects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import WSMsgType, web

from signaling.messages import (
    VERSION,
    Challenge,
    FromClient,
    FromServer,
    Joined,
    Presence,
    decode_from_client,
    encode,
)

Frame = FromServer | bytes | str


class Visit:
    """One connection of a client."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self.socket = socket

    async def say(self, *frames: Frame) -> None:
        for frame in frames:
            if isinstance(frame, str):
                await self.socket.send_str(frame)
            else:
                await self.socket.send_bytes(frame if isinstance(frame, bytes) else encode(frame))

    async def hear(self) -> FromClient:
        async with asyncio.timeout(10):
            message = await self.socket.receive()
        assert message.type is WSMsgType.BINARY, message
        return decode_from_client(message.data)

    async def let_in(self, *members: Presence) -> None:
        await self.say(Challenge(VERSION, "any name", bytes(32)))
        await self.hear()
        await self.say(Joined(members, (), False))

    async def stay(self) -> None:
        """Until the client goes."""
        async for _ in self.socket:
            pass


@asynccontextmanager
async def lying_server(behave: Callable[[Visit], Awaitable[None]]) -> AsyncIterator[str]:
    """The URL of a server that does this with each connection, then closes it."""

    async def serve(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(timeout=0.5)
        await socket.prepare(request)
        try:
            await behave(Visit(socket))
        except ConnectionError:
            pass  # the client had enough
        finally:
            await socket.close()
        return socket

    app = web.Application()
    app.router.add_get("/v1/ws", serve)
    async with running_app(app) as url:
        yield url


@asynccontextmanager
async def running_app(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield "http://{}:{}".format(*runner.addresses[0])
    finally:
        await runner.cleanup()
