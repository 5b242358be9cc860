"""One connection to the server that has joined: opening it, joining, hearing and saying messages.

Whatever the server does, opening, joining and closing take seconds at most, and what comes is
bounded in size. Redirects are not followed.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp

from datachannel.credentials import Credentials
from datachannel.joining import Silent, Unreachable, refusal_of, signed_join, websocket_address
from signaling.messages import (
    SERVER_MESSAGE_BYTES_MAX,
    VERSION,
    Challenge,
    Failed,
    FromClient,
    FromServer,
    Joined,
    MessageError,
    decode_from_server,
    encode,
)

CONNECT_TIMEOUT_S = 15.0
JOIN_TIMEOUT_S = 15.0
SEND_TIMEOUT_S = 15.0
CLOSE_TIMEOUT_S = 2.0
HEARTBEAT_S = 20.0

Socket = aiohttp.ClientWebSocketResponse


@asynccontextmanager
async def connected(
    url: str, credentials: Credentials, card: bytes, create: bool
) -> AsyncIterator[tuple[Socket, Joined]]:
    """A connection that has joined. Raises JoinRefused, Unreachable."""
    address, server_name = websocket_address(url)
    stay = aiohttp.TraceConfig()
    stay.on_request_redirect.append(_stay_here)
    async with aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(), trace_configs=[stay]
    ) as session:
        socket = await _open_socket(session, address, server_name)
        try:
            yield socket, await _join(socket, credentials, card, server_name, create)
        finally:
            await close(socket)


async def _stay_here(*_: object) -> None:
    """A server must not send us about, least of all to what listens at home."""
    raise aiohttp.ClientError("redirected")


async def _open_socket(session: aiohttp.ClientSession, address: str, server_name: str) -> Socket:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            return await session.ws_connect(
                address,
                headers={"Host": server_name},  # exactly what the signatures cover
                heartbeat=HEARTBEAT_S,
                max_msg_size=SERVER_MESSAGE_BYTES_MAX,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT_S),
            )
    except aiohttp.WSServerHandshakeError as error:
        why = "is busy" if error.status == 503 else "is no signaling server"
        raise Unreachable(f"{server_name} {why}") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        refused = getattr(error, "errno", None) == errno.ECONNREFUSED
        silent = isinstance(error, OSError) and not refused
        kind = Silent if silent else Unreachable
        raise kind(f"no connection to {server_name}") from error


async def _join(
    socket: Socket,
    credentials: Credentials,
    card: bytes,
    server_name: str,
    create: bool,
) -> Joined:
    try:
        async with asyncio.timeout(JOIN_TIMEOUT_S):
            challenge = await receive(socket)
            if isinstance(challenge, Failed):
                raise refusal_of(challenge)
            if not isinstance(challenge, Challenge) or challenge.version != VERSION:
                raise Unreachable(f"{server_name} speaks another language than this program")
            await send(socket, signed_join(credentials, card, server_name, challenge, create))
            welcome = await receive(socket)
    except TimeoutError as error:
        raise Unreachable(f"{server_name} does not answer") from error
    if isinstance(welcome, Failed):
        raise refusal_of(welcome)
    if not isinstance(welcome, Joined):
        raise Unreachable("the server speaks out of turn")
    return welcome


async def receive(socket: Socket) -> FromServer:
    """The next message. Raises Unreachable when there is none, or one that is none."""
    try:
        message = await socket.receive()
    except (aiohttp.ClientError, OSError) as error:
        raise Unreachable("the connection to the server broke") from error
    if message.type is not aiohttp.WSMsgType.BINARY:
        raise Unreachable("the server has closed the connection")
    try:
        return decode_from_server(message.data)
    except MessageError as error:
        raise Unreachable("the server sent something that is no message") from error


async def close(socket: Socket) -> None:
    """End the connection. aiohttp alone waits as long as the server goes on talking."""
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await socket.close()


async def send(socket: Socket, message: FromClient) -> None:
    """Say something. Raises Unreachable."""
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await socket.send_bytes(encode(message))
    except (aiohttp.ClientError, OSError, RuntimeError) as error:
        raise Unreachable("the connection to the server broke") from error
