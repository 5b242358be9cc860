"""A real server in this process, and a client that says exactly what a test wants it to say."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from datachannel.credentials import Credentials, seal_card
from signaling.config import ServerConfig
from signaling.main import serve
from signaling.messages import (
    VERSION,
    Challenge,
    Failed,
    FromClient,
    FromServer,
    Join,
    Joined,
    decode_from_server,
    encode,
    join_transcript,
)
from tests.support.members import card_of, counted_bytes

TIMEOUT_S = 10.0
_random_bytes = counted_bytes("raw client")
_metrics: dict[str, str] = {}


@asynccontextmanager
async def running_server(data: Path, **settings: Any) -> AsyncIterator[str]:
    """The URL of a server that runs while the context lasts."""
    settings.setdefault("metrics", ("127.0.0.1", free_port()))
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(ServerConfig(data=data, **settings), ready=url.set_result))
    try:
        await asyncio.wait([task, url], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        _metrics[await url] = "http://{}:{}/metrics".format(*settings["metrics"])
        yield await url
    finally:
        task.cancel()
        await asyncio.wait([task])


def free_port() -> int:
    """A port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def address_of(url: str) -> tuple[str, int]:
    """(host, port) of a server's URL."""
    host, _, port = url.removeprefix("http://").partition(":")
    return host, int(port)


async def metric(url: str, name: str, **labels: str) -> float:
    """A number of the metrics of the server with this URL; 0 when it was never counted."""
    shown = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
    line = f"covey_{name}{{{shown}}} " if shown else f"covey_{name} "
    async with aiohttp.ClientSession() as session, session.get(_metrics[url]) as answer:
        page = await answer.text()
    return next((float(one.split()[-1]) for one in page.splitlines() if one.startswith(line)), 0)


def signed_join(
    credentials: Credentials,
    server_name: str,
    nonce: bytes,
    *,
    create: bool = False,
    card: bytes | None = None,
) -> Join:
    """A Join as an honest member signs it."""
    if card is None:
        card = seal_card(credentials, card_of(credentials), _random_bytes(24))
    transcript = join_transcript(
        server_name=server_name,
        nonce=nonce,
        name_id=credentials.name_id,
        group_key=credentials.group_public_key,
        identity_key=credentials.identity_public_key,
        create=create,
        card=card,
    )
    return Join(
        version=VERSION,
        name_id=credentials.name_id,
        group_key=credentials.group_public_key,
        identity_key=credentials.identity_public_key,
        create=create,
        card=card,
        group_signature=credentials.sign_as_group(transcript),
        identity_signature=credentials.sign_as_member(transcript),
    )


class RawClient:
    """One WebSocket to a server, after its Challenge."""

    def __init__(
        self, socket: aiohttp.ClientWebSocketResponse, challenge: Challenge, name: str
    ) -> None:
        self.socket, self.challenge, self.name = socket, challenge, name

    async def say(self, message: FromClient | bytes) -> None:
        await self.socket.send_bytes(message if isinstance(message, bytes) else encode(message))

    async def frame(self) -> aiohttp.WSMessage:
        async with asyncio.timeout(TIMEOUT_S):
            return await self.socket.receive()

    async def hear(self) -> FromServer:
        """The next message of the server."""
        message = await self.frame()
        assert message.type is aiohttp.WSMsgType.BINARY, f"the server closed: {message}"
        return decode_from_server(message.data)

    async def is_closed(self) -> bool:
        """Whether the server ends the connection now, without a further message."""
        return (await self.frame()).type is not aiohttp.WSMsgType.BINARY

    def join_of(
        self, credentials: Credentials, *, create: bool = False, card: bytes | None = None
    ) -> Join:
        return signed_join(credentials, self.name, self.challenge.nonce, create=create, card=card)

    async def join(
        self, credentials: Credentials, *, create: bool = False, card: bytes | None = None
    ) -> Joined | Failed:
        await self.say(self.join_of(credentials, create=create, card=card))
        answer = await self.hear()
        assert isinstance(answer, Joined | Failed), answer
        return answer


def altered(join: Join, **changes: Any) -> Join:
    """The same with other fields, and the old signatures."""
    fields = {name: getattr(join, name) for name in join.__struct_fields__}
    return Join(**(fields | changes))


@asynccontextmanager
async def raw_client(
    url: str, headers: dict[str, str] | None = None, *, address: str = "127.0.0.1"
) -> AsyncIterator[RawClient]:
    """Connected from this address and challenged, not joined."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=(address, 0))) as session,
        session.ws_connect(url.replace("http", "ws", 1) + "/v1/ws", headers=headers) as socket,
    ):
        async with asyncio.timeout(TIMEOUT_S):
            challenge = decode_from_server((await socket.receive()).data)
        assert isinstance(challenge, Challenge)
        yield RawClient(socket, challenge, (headers or {}).get("Host", url.removeprefix("http://")))


@asynccontextmanager
async def member(url: str, credentials: Credentials, **changes: Any) -> AsyncIterator[RawClient]:
    """A client that has joined, with the answer to its Join read."""
    async with raw_client(url) as client:
        answer = await client.join(credentials, **changes)
        assert isinstance(answer, Joined), answer
        yield client
