"""The signaling server: sockets in, messages out. `rooms` decides, `limits` says how much.

Nothing is written to the log that tells who talks to whom: no ids, no addresses, no names.
What changes is told to the store, in order; it remembers it, and tells other instances.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import itertools
import logging
import os
import random
import re
from collections import Counter
from collections.abc import Callable

from aiohttp import WSCloseCode, WSMsgType, web
from nacl.bindings import crypto_sign_open
from nacl.exceptions import CryptoError

from signaling.config import ServerConfig
from signaling.connection import Backlog, Connection
from signaling.limits import address_key
from signaling.messages import (
    MESSAGE_BYTES_MAX,
    NONCE_BYTES,
    VERSION,
    Challenge,
    Failed,
    FromServer,
    Join,
    MessageError,
    decode_from_client,
    encode,
)
from signaling.notices import Entered, Found, Group, Heard, Notice
from signaling.rooms import Outgoing, Rooms
from signaling.stores import Store, StoreError

log = logging.getLogger("covey.signaling")

PATH = "/v1/ws"
BUSY_S = 30.0
HOST = re.compile(r"[a-z0-9.:\[\]_-]{1,255}")


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether an Ed25519 signature is good."""
    try:
        crypto_sign_open(signature + message, public_key)
    except (CryptoError, ValueError):
        return False
    return True


class Server:
    """One server process."""

    def __init__(
        self, config: ServerConfig, store: Store, random_bytes: Callable[[int], bytes]
    ) -> None:
        self._config, self._store, self._random_bytes = config, store, random_bytes
        self._limits = config.limits
        self._names = tuple(name.lower() for name in config.names)
        self._rooms = Rooms(verify, limits=config.limits, ice_servers=config.ice_servers)
        self._numbers = itertools.count(1)
        self._sockets: dict[int, web.WebSocketResponse] = {}
        self._connections: dict[int, Connection] = {}
        self._transports: set[asyncio.Transport] = set()
        self._backlog = Backlog()
        self._per_address: Counter[str] = Counter()
        self._counters: Counter[str] = Counter()

    def application(self) -> web.Application:
        """The aiohttp application. It closes the store at its end."""
        app = web.Application(client_max_size=1024)
        app.router.add_get(PATH, self._serve)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/metrics", self._metrics)
        app.on_startup.append(self._start)
        app.on_shutdown.append(self._shut_down)
        app.on_cleanup.append(self._clean_up)
        return app

    # --- life -------------------------------------------------------------------------------

    async def _start(self, _: web.Application) -> None:
        await self._store.open(self)

    async def _shut_down(self, _: web.Application) -> None:
        closing = [
            socket.close(code=WSCloseCode.GOING_AWAY) for socket in list(self._sockets.values())
        ]
        try:
            async with asyncio.timeout(2 * self._limits.close_timeout_s):
                await asyncio.gather(*closing, return_exceptions=True)
        except TimeoutError:  # aiohttp waits without end for who does not read
            for connection in list(self._connections.values()):
                connection.abort()

    async def drop_loiterers(self, runner: web.AppRunner) -> None:
        """Until cancelled: end TCP connections that never become a WebSocket."""
        seen: dict[asyncio.BaseTransport, float] = {}
        while True:
            await asyncio.sleep(self._limits.request_timeout_s / 2)
            now = _now()
            handlers = runner.server.connections if runner.server is not None else []
            there = {h.transport for h in handlers if h.transport is not None} - self._transports
            seen = {transport: seen.get(transport, now) for transport in there}
            for transport, since in seen.items():
                if now - since >= self._limits.request_timeout_s:
                    transport.close()

    async def _clean_up(self, _: web.Application) -> None:
        await self._store.close()

    # --- what the store says ----------------------------------------------------------------

    def heard(self, heard: Heard) -> None:
        """Something that other instances did."""
        self._send(self._rooms.heard(heard))
        self._tell()

    def everything(self) -> list[tuple[Group, list[Notice]]]:
        """All groups with members here, and who of them is here."""
        return self._rooms.everything()

    # --- a connection -----------------------------------------------------------------------

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        host = request.headers.get("Host", "").lower()
        names = self._names or ((host,) if HOST.fullmatch(host) else ())
        if not names:
            return web.Response(status=400)
        address = self._address_of(request)
        key = address_key(address)
        wait = self._wait_of(key, address)
        if wait:
            self._counters["connections_refused"] += 1
            return web.Response(status=503, headers={"Retry-After": str(int(wait) + 1)})
        limits = self._limits
        socket = web.WebSocketResponse(
            timeout=limits.close_timeout_s,
            heartbeat=limits.heartbeat_s,
            max_msg_size=MESSAGE_BYTES_MAX,
            compress=False,
        )
        await socket.prepare(request)
        transport = request.transport
        if transport is None:
            return socket  # it has gone already
        connection = Connection(
            next(self._numbers),
            socket,
            abort=transport.abort,
            backlog=self._backlog,
            limits=limits,
        )
        self._sockets[connection.number] = socket
        self._transports.add(transport)
        self._connections[connection.number] = connection
        self._per_address[key] += 1
        self._counters["connections"] += 1
        sending = asyncio.create_task(connection.send_waiting())
        try:
            await self._converse(connection, socket, names, address)
        finally:
            self._send(self._rooms.disconnected(connection.number))
            self._tell()
            del self._sockets[connection.number]
            self._transports.discard(transport)
            del self._connections[connection.number]
            self._per_address[key] -= 1
            if not self._per_address[key]:
                del self._per_address[key]
            self._counters["slow_readers_dropped"] += connection.is_slow
            connection.close()
            await sending
        return socket

    def _address_of(self, request: web.Request) -> str:
        address = request.remote or ""
        if address in self._config.proxies:
            said = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
            with contextlib.suppress(ValueError):
                return str(ipaddress.ip_address(said))
        return address

    def _wait_of(self, key: str, address: str) -> float:
        limits = self._limits
        if len(self._connections) >= limits.connections_max:
            return BUSY_S
        if self._per_address[key] >= limits.connections_per_address_max:
            return BUSY_S
        return self._rooms.connect(address, now=_now())

    async def _converse(
        self,
        connection: Connection,
        socket: web.WebSocketResponse,
        names: tuple[str, ...],
        address: str,
    ) -> None:
        nonce = self._random_bytes(NONCE_BYTES)
        self._queue(connection, Challenge(VERSION, names[0], nonce))
        if not await self._join(connection, socket, names, nonce, address):
            return
        while (data := await _receive(socket, None)) is not None:
            try:
                message = decode_from_client(data)
            except MessageError:
                self._queue(connection, Failed("bad_message", "this is no message"))
                return
            if connection.is_closing or not self._rooms.is_joined(connection.number):
                return  # refused, or replaced meanwhile
            self._counters["messages"] += 1
            self._send(self._rooms.handle(connection.number, message, now=_now()))
            self._tell()
            if connection.is_closing or not self._rooms.is_joined(connection.number):
                return  # refused, or it has left
            await asyncio.sleep(0)  # a burst must not keep others from getting theirs

    async def _join(
        self,
        connection: Connection,
        socket: web.WebSocketResponse,
        names: tuple[str, ...],
        nonce: bytes,
        address: str,
    ) -> bool:
        data = await _receive(socket, self._limits.join_timeout_s)
        if data is None:
            return False
        try:
            join = decode_from_client(data)
        except MessageError:
            join = None
        if not isinstance(join, Join):
            self._queue(connection, Failed("bad_message", "join first"))
            return False
        number = connection.number
        try:
            found = await self._find(join.name_id)
        except StoreError as error:
            log.error("a group cannot be looked up now: %s", error)
            return False
        connection.hold()
        self._send(
            self._rooms.join(
                number,
                join,
                found,
                takes_groups=self._store.takes_groups,
                takes_members=self._store.takes_members,
                server_names=names,
                nonce=nonce,
                address=address,
                now=_now(),
            )
        )
        try:
            await self._record()
        except StoreError as error:
            log.error("a member cannot be remembered now: %s", error)
            connection.abort()
            return False
        connection.release()
        joined = self._rooms.is_joined(number)
        self._counters["joins"] += joined
        return joined

    async def _find(self, name_id: bytes) -> Found:
        if self._rooms.is_open(name_id):
            return Found(None)
        return await self._store.find(name_id)

    async def _record(self) -> None:
        """Tell the store, and wait until it has registered who is new. Raises StoreError."""
        for notice in self._rooms.take_notices():
            if isinstance(notice, Entered) and notice.is_news:
                await self._store.record(notice)
            else:
                self._store.tell(notice)

    # --- sending ----------------------------------------------------------------------------

    def _send(self, out: Outgoing) -> None:
        for number, message in out:
            connection = self._connections.get(number)
            if connection is not None:
                self._queue(connection, message)

    def _queue(self, connection: Connection, message: FromServer) -> None:
        is_last = isinstance(message, Failed)
        if isinstance(message, Failed):
            self._counters[f"failed_{message.code}"] += 1
        connection.queue(encode(message), last=is_last)

    def _tell(self) -> None:
        for notice in self._rooms.take_notices():
            self._store.tell(notice)

    # --- pages ------------------------------------------------------------------------------

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _metrics(self, _: web.Request) -> web.Response:
        open_groups, online = self._rooms.counts()
        gauges = {
            "groups": self._store.groups,
            "groups_open": open_groups,
            "members_online": online,
            "connections": len(self._connections),
            "bytes_waiting": self._backlog.size,
        }
        lines = []
        for name, value in gauges.items():
            lines += [f"# TYPE covey_{name} gauge", f"covey_{name} {value}"]
        for name, value in sorted(self._counters.items()):
            lines += [f"# TYPE covey_{name}_total counter", f"covey_{name}_total {value}"]
        return web.Response(text="\n".join(lines) + "\n")


async def _receive(socket: web.WebSocketResponse, timeout_s: float | None) -> bytes | None:
    """The next frame; None at the end of the connection, or for a frame that is not binary."""
    try:
        async with asyncio.timeout(timeout_s):
            message = await socket.receive()
    except TimeoutError:
        return None
    if message.type is WSMsgType.BINARY:
        data: bytes = message.data
        return data
    return None


def _now() -> float:
    return asyncio.get_running_loop().time()


def open_store(config: ServerConfig) -> Store:
    """The store that the configuration asks for. May take a while. Raises StoreError."""
    if config.store is None:
        from signaling.stores.file import TinyDbStore

        return TinyDbStore(config.data, config.limits)
    from signaling.stores.shared import RedisStore

    return RedisStore(
        config.store,
        config.limits,
        random_bytes=os.urandom,  # noqa: TID251 - the server's composition root
        jitter=random.Random(),
    )


async def serve(config: ServerConfig, *, ready: Callable[[str], None]) -> None:
    """Run a server until cancelled; `ready` hears its URL. Raises StoreError, OSError."""
    store = await asyncio.to_thread(open_store, config)
    server = Server(config, store, os.urandom)  # noqa: TID251 - the server's composition root
    runner = web.AppRunner(
        server.application(), access_log=None, keepalive_timeout=5.0, shutdown_timeout=5.0
    )
    try:
        await runner.setup()
        await web.TCPSite(runner, config.host, config.port).start()
        host, port = runner.addresses[0][:2]
        shown = f"[{host}]" if ":" in host else host
        ready(f"http://{shown}:{port}")
        await server.drop_loiterers(runner)
    finally:
        await runner.cleanup()
