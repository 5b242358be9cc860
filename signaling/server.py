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
import re
from collections import Counter
from collections.abc import Callable

from aiohttp import WSMsgType, web
from nacl.bindings import crypto_sign_open
from nacl.exceptions import CryptoError

from signaling import wellknown
from signaling.config import ServerConfig
from signaling.connection import Backlog, Connection
from signaling.door import Door
from signaling.limits import Bucket, address_key
from signaling.logs import Refusals
from signaling.messages import (
    MESSAGE_BYTES_MAX,
    NONCE_BYTES,
    VERSION,
    Absent,
    Challenge,
    Failed,
    FromServer,
    IceServers,
    Join,
    Joined,
    MessageError,
    Report,
    Signal,
    decode_from_client,
    encode,
)
from signaling.metrics import CONTENT_TYPE_LATEST, Metrics
from signaling.notices import Entered, Found, Group, Heard, Notice
from signaling.presence import Outgoing
from signaling.rooms import Rooms
from signaling.stores import Store, StoreError
from signaling.turn import Relays
from signaling.wellknown import WELL_KNOWN_PATH

log = logging.getLogger("covey.signaling")

PATH = "/v1/ws"
BUSY_S = 30.0
CONTROLS = (1.0, 30)
"""Pings and pongs of a client, a second and at once."""
RETURN_S_MIN = 1.0
RETURNS_PER_S = 400.0
"""When the server ends, members are asked to come back spread over as long as that takes."""
UNREMARKABLE = frozenset({"restarting", "replaced"})
"""Refusals that are no line in the log."""
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
        self,
        config: ServerConfig,
        store: Store,
        random_bytes: Callable[[int], bytes],
        wall_s: Callable[[], float],
    ) -> None:
        self._config, self._store, self._random_bytes = config, store, random_bytes
        self._limits = config.limits
        self._names = tuple(name.lower() for name in config.names)
        self._proxies = [ipaddress.ip_network(one, strict=False) for one in config.proxies]
        relays = Relays(config.ice_servers, config.turn, wall_s)
        self._rooms = Rooms(
            verify, limits=config.limits, grant=relays.grant, is_shared=store.is_shared
        )
        self._numbers = itertools.count(1)
        self._connections: dict[int, Connection] = {}
        self.door = Door(config.limits, is_proxy=self._is_proxy)
        self._backlog = Backlog()
        self.connections_ended = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._per_address: Counter[str] = Counter()
        self._refusals = Refusals(random_bytes, now=0.0)
        self.metrics = Metrics()
        self.door.turned_away = self.metrics.turned_away.labels("waiting").inc
        self._count_what_is_there()

    @property
    def connections_open(self) -> int:
        """WebSockets."""
        return len(self._connections)

    def application(self) -> web.Application:
        """The aiohttp application. It closes the store at its end."""
        app = web.Application(client_max_size=1024)
        app.router.add_get(PATH, self._serve)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get(WELL_KNOWN_PATH, self._well_known)
        app.on_startup.append(self._start)
        app.on_shutdown.append(self._shut_down)
        app.on_cleanup.append(self._clean_up)
        return app

    def numbers(self) -> web.Application:
        """What is not for strangers: the metrics, for a port of their own."""
        app = web.Application(client_max_size=1024)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        return app

    # --- life -------------------------------------------------------------------------------

    async def _start(self, _: web.Application) -> None:
        await self._store.open(self)

    async def _shut_down(self, _: web.Application) -> None:
        """Ask everybody to come back later, each at a time of its own."""
        spread_s = RETURN_S_MIN + len(self._connections) / RETURNS_PER_S
        for connection in list(self._connections.values()):
            chance = int.from_bytes(self._random_bytes(4), "big") / 2**32
            later_s = RETURN_S_MIN + chance * (spread_s - RETURN_S_MIN)
            self._queue(connection, Failed("restarting", "come back later", later_s))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2 * self._limits.close_timeout_s):
                await self._empty.wait()
        for connection in list(self._connections.values()):
            connection.abort()

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
        names = self._names_of(request)
        if not names:
            return web.Response(status=400)
        address = self._address_of(request)
        key = address_key(address)
        wait, reason = self._wait_of(key, address)
        if wait:
            self.metrics.turned_away.labels(reason).inc()
            self._refusals.write(address, reason, now=_now())
            return web.Response(status=503, headers={"Retry-After": str(int(wait) + 1)})
        limits = self._limits
        socket = web.WebSocketResponse(
            timeout=limits.close_timeout_s,
            heartbeat=limits.heartbeat_s,
            max_msg_size=MESSAGE_BYTES_MAX,
            compress=False,
            autoping=False,  # a ping is counted as a message
        )
        await socket.prepare(request)
        transport = request.transport
        if transport is None:
            return socket  # it has gone already
        connection = Connection(
            next(self._numbers),
            socket,
            address=address,
            abort=transport.abort,
            backlog=self._backlog,
            limits=limits,
        )
        self.door.enter(transport)
        self._connections[connection.number] = connection
        self._per_address[key] += 1
        self.metrics.connections.inc()
        self._empty.clear()
        try:
            await self._converse(connection, socket, names, address)
        finally:
            self._send(self._rooms.disconnected(connection.number))
            self._tell()
            self.door.leave()
            del self._connections[connection.number]
            self.connections_ended += 1
            self._per_address[key] -= 1
            if not self._per_address[key]:
                del self._per_address[key]
            self.metrics.slow_readers.inc(connection.is_slow)
            connection.close()
            await connection.ended()
            if not self._connections:
                self._empty.set()
        return socket

    def _names_of(self, request: web.Request) -> tuple[str, ...]:
        """What this server may be called; none when that makes no sense."""
        host = request.headers.get("Host", "").lower()
        return self._names or ((host,) if HOST.fullmatch(host) else ())

    def _address_of(self, request: web.Request) -> str:
        address = request.remote or ""
        if self._is_proxy(address):
            said = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
            with contextlib.suppress(ValueError):
                return str(ipaddress.ip_address(said))
        return address

    def _is_proxy(self, address: str) -> bool:
        with contextlib.suppress(ValueError):
            ip = ipaddress.ip_address(address)
            if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
                ip = ip.ipv4_mapped
            return any(ip in network for network in self._proxies)
        return False

    def _wait_of(self, key: str, address: str) -> tuple[float, str]:
        limits = self._limits
        if len(self._connections) >= limits.connections_max:
            return BUSY_S, "server_full"
        if self._per_address[key] >= limits.connections_per_address_max:
            return BUSY_S, "address_full"
        return self._rooms.connect(address, now=_now()), "address_rate"

    async def _converse(
        self,
        connection: Connection,
        socket: web.WebSocketResponse,
        names: tuple[str, ...],
        address: str,
    ) -> None:
        nonce = self._random_bytes(NONCE_BYTES)
        self._queue(connection, Challenge(VERSION, names[0], nonce))
        controls = Bucket(CONTROLS, now=_now())
        if not await self._join(connection, socket, controls, names, nonce, address):
            return
        while (data := await _receive(socket, controls, None)) is not None:
            try:
                message = decode_from_client(data)
            except MessageError:
                self._queue(connection, Failed("bad_message", "this is no message"))
                return
            if connection.is_closing or not self._rooms.is_joined(connection.number):
                return  # refused, or replaced meanwhile
            self.metrics.messages.labels(type(message).__name__.lower()).inc()
            if isinstance(message, Report):
                self.metrics.outcomes.labels(message.outcome).inc()
            self._send(self._rooms.handle(connection.number, message, now=_now()))
            self._tell()
            if connection.is_closing or not self._rooms.is_joined(connection.number):
                return  # refused, or it has left
            await asyncio.sleep(0)  # a burst must not keep others from getting theirs

    async def _join(
        self,
        connection: Connection,
        socket: web.WebSocketResponse,
        controls: Bucket,
        names: tuple[str, ...],
        nonce: bytes,
        address: str,
    ) -> bool:
        data = await _receive(socket, controls, self._limits.join_timeout_s)
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
        self.metrics.joins.inc(joined)
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
        match message:
            case Failed(code):
                self.metrics.refusals.labels(code).inc()
                if code not in UNREMARKABLE:
                    self._refusals.write(connection.address, code, now=_now())
                connection.queue(encode(message), last=True)
                return
            case Joined() | IceServers():
                self.metrics.turn_grants.inc(self._config.turn is not None)
            case Signal():
                self.metrics.signals.labels("passed").inc()
            case Absent():
                self.metrics.signals.labels("absent").inc()
            case Joined(ice_lifetime_s=lifetime_s) | IceServers(lifetime_s=lifetime_s):
                self.metrics.turn_grants.inc(lifetime_s > 0)
            case _:
                pass
        connection.queue(encode(message))

    def _tell(self) -> None:
        for notice in self._rooms.take_notices():
            self._store.tell(notice)

    # --- pages ------------------------------------------------------------------------------

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        is_ready = self._store.is_ready
        return web.Response(text="ok\n" if is_ready else "no\n", status=200 if is_ready else 503)

    async def _well_known(self, request: web.Request) -> web.Response:
        scheme = request.scheme
        if self._is_proxy(request.remote or ""):
            scheme = request.headers.get("X-Forwarded-Proto", scheme)
        names = self._names_of(request)
        if not names or scheme not in ("http", "https"):
            return web.Response(status=400)
        body = wellknown.page(f"{scheme}://{names[0]}")
        return web.Response(body=body, content_type="application/json")

    async def _metrics(self, _: web.Request) -> web.Response:
        page = self.metrics.page()
        return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE_LATEST})

    def _count_what_is_there(self) -> None:
        store, gauge = self._store, self.metrics.gauge
        gauge("connections", "open WebSockets", lambda: len(self._connections))
        gauge("members_online", "members here", lambda: self._rooms.counts()[1])
        gauge("groups_open", "groups with members here", lambda: self._rooms.counts()[0])
        gauge("groups", "groups in the registry, at the last look", lambda: store.groups)
        gauge("bytes_waiting", "for readers that are slower", lambda: self._backlog.size)
        gauge("store_ready", "whether the registry can be used", lambda: store.is_ready)
        gauge("store_failures", "what could not be remembered at once", lambda: store.failures)


async def _receive(
    socket: web.WebSocketResponse, controls: Bucket, timeout_s: float | None
) -> bytes | None:
    """The next frame; None at the end of the connection, or for a frame that is not binary.

    Pings are answered here, and they are counted like pongs: too many are the end, too.
    """
    try:
        async with asyncio.timeout(timeout_s):
            while (message := await socket.receive()).type in (WSMsgType.PING, WSMsgType.PONG):
                if controls.take(now=_now()):
                    return None
                if message.type is WSMsgType.PING:
                    await socket.pong(message.data)
    except (TimeoutError, ConnectionError):
        return None
    if message.type is WSMsgType.BINARY:
        data: bytes = message.data
        return data
    return None


def _now() -> float:
    return asyncio.get_running_loop().time()
