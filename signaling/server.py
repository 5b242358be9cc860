"""The signaling server: sockets in, messages out. `rooms` decides, `limits` says how much.

Nothing is written to the log that tells who talks to whom: no ids, no addresses, no names.
Changes are remembered by one task that writes in a thread, all that came up meanwhile together.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator

from aiohttp import web
from nacl.bindings import crypto_sign_open
from nacl.exceptions import CryptoError

from signaling.config import ServerConfig
from signaling.connection import Backlog, Connection
from signaling.limits import Bucket, Gate, client_address
from signaling.messages import (
    MESSAGE_BYTES_MAX,
    NONCE_BYTES,
    VERSION,
    Challenge,
    Failed,
    Join,
    MessageError,
    UpdateCard,
    decode_from_client,
    member_id_of,
)
from signaling.rooms import Group, Outgoing, Rooms
from signaling.store import Store, StoreError, TinyDbStore

log = logging.getLogger("covey.signaling")

PATH = "/v1/ws"
SAVE_RETRY_S = 5.0
SAVE_REST_FACTOR = 3.0
"""A large database takes long to write; the disk rests this many times as long as that took."""
_HOST = re.compile(r"[a-z0-9.:\[\]_-]{1,255}")


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
        groups: dict[bytes, Group],
        store: Store,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._config, self._store, self._random_bytes = config, store, random_bytes
        self._limits = limits = config.limits
        self._rooms = Rooms(
            groups,
            verify,
            groups_max=limits.groups_max,
            cards_bytes_max=limits.cards_bytes_max,
            ice_servers=config.ice_servers,
        )
        self._gate = Gate(limits)
        self._backlog = Backlog()
        self._numbers = itertools.count(1)
        self._connections: dict[int, Connection] = {}
        self._per_address: Counter[str] = Counter()
        self._changed = asyncio.Event()
        self._counters: Counter[str] = Counter()

    def application(self) -> web.Application:
        """The aiohttp application. `keep` runs beside it."""
        app = web.Application(client_max_size=1024)
        app.router.add_get(PATH, self._serve)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/metrics", self._metrics)
        app.on_shutdown.append(self._end_connections)
        return app

    # --- what is remembered -----------------------------------------------------------------

    async def save_changes(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._changed.wait()
            self._changed.clear()
            began = loop.time()
            if await self.save():
                await asyncio.sleep((loop.time() - began) * SAVE_REST_FACTOR)
            else:
                await asyncio.sleep(SAVE_RETRY_S)
                self._changed.set()

    async def save(self) -> bool:
        """Remember all changes until now. False when it did not work, so try again."""
        dirty = list(self._rooms.dirty.values())
        self._rooms.dirty.clear()
        if not dirty:
            return True
        copies = [Group(g.name_id, g.group_key, dict(g.members)) for g in dirty]
        writing = asyncio.create_task(asyncio.to_thread(self._store.save, copies))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait([writing])  # never two writers
            if writing.exception() is not None:
                self._not_saved(dirty)
            raise
        except StoreError as error:
            log.error("changes cannot be remembered now: %s", error)
            self._counters["saves_failed"] += 1
            self._not_saved(dirty)
            return False
        return True

    def _not_saved(self, groups: list[Group]) -> None:
        for group in groups:
            self._rooms.dirty.setdefault(group.name_id, group)

    # --- a connection -----------------------------------------------------------------------

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        address = client_address(request.remote or "", request.headers.get("X-Forwarded-For", ""))
        wait = self._wait_to_connect(address)
        if wait:
            self._counters["connections_refused"] += 1
            return web.Response(status=503, headers={"Retry-After": str(int(wait) + 1)})
        host = request.headers.get("Host", "").lower()
        names = self._config.names or (host,)
        if not _HOST.fullmatch(names[0]):
            return web.Response(status=400, text="the Host header names no host\n")
        socket = web.WebSocketResponse(
            timeout=self._limits.close_timeout_s,
            heartbeat=self._limits.heartbeat_s,
            max_msg_size=MESSAGE_BYTES_MAX,
            compress=False,
        )
        await socket.prepare(request)
        transport = request.transport
        if not isinstance(transport, asyncio.WriteTransport):
            return socket  # it has gone already
        connection = Connection(
            next(self._numbers), socket, address, transport, self._limits, self._backlog
        )
        with self._counted(connection):
            sending = asyncio.create_task(connection.send_queued())
            try:
                await self._converse(connection, names)
            finally:
                self._send(self._rooms.disconnected(connection.number))
                connection.end()
                await self._finish(connection, sending)
        return socket

    def _wait_to_connect(self, address: str) -> float:
        limits = self._limits
        if (
            len(self._connections) >= limits.connections_max
            or self._per_address[address] >= limits.connections_per_address_max
        ):
            return 30.0
        return self._gate.connect(address, now=_now())

    @contextlib.contextmanager
    def _counted(self, connection: Connection) -> Iterator[None]:
        self._connections[connection.number] = connection
        self._per_address[connection.address] += 1
        self._counters["connections"] += 1
        try:
            yield
        finally:
            del self._connections[connection.number]
            self._per_address[connection.address] -= 1
            if not self._per_address[connection.address]:
                del self._per_address[connection.address]
            if connection.dropped:
                self._counters["slow_readers_dropped"] += 1

    async def _finish(self, connection: Connection, sending: asyncio.Task[None]) -> None:
        """What waits is sent, but not for long."""
        try:
            async with asyncio.timeout(self._limits.send_timeout_s):
                await sending
        except TimeoutError:
            connection.abort()
        finally:
            sending.cancel()

    async def _converse(self, connection: Connection, names: tuple[str, ...]) -> None:
        nonce = self._random_bytes(NONCE_BYTES)
        connection.queue(Challenge(VERSION, names[0], nonce))
        if not await self._join(connection, names, nonce):
            return
        messages = Bucket(self._limits.messages_per_connection)
        cards = Bucket(self._limits.cards_per_connection)
        while (data := await connection.receive()) is not None:
            if messages.take(now=_now()):
                connection.queue(Failed("rate_limited", "too many messages", 5.0))
                return
            try:
                message = decode_from_client(data)
            except MessageError:
                connection.queue(Failed("bad_message", "this is no message"))
                return
            if isinstance(message, UpdateCard) and cards.take(now=_now()):
                connection.queue(Failed("rate_limited", "too many cards", 60.0))
                return
            if not self._rooms.is_joined(connection.number):
                return  # replaced meanwhile
            self._send(self._rooms.handle(connection.number, message))
            self._counters["messages"] += 1
            if not self._rooms.is_joined(connection.number):
                return  # it has left

    async def _join(self, connection: Connection, names: tuple[str, ...], nonce: bytes) -> bool:
        data = await connection.receive(self._limits.join_timeout_s)
        if data is None:
            return False
        now, address = _now(), connection.address
        try:
            join = decode_from_client(data)
        except MessageError:
            join = None
        if not isinstance(join, Join):
            self._gate.failed(address, b"", "bad_message", now=now)
            connection.queue(Failed("bad_message", "join first"))
            return False
        known_group = self._rooms.knows(join.name_id)
        known_member = self._rooms.has_member(join.name_id, member_id_of(join.identity_key))
        if not known_member:
            wait = self._gate.wait_to_join(
                address, join.name_id, known_group=known_group, create=join.create, now=now
            )
            if wait:
                self._counters["joins_rate_limited"] += 1
                connection.queue(Failed("rate_limited", "too many attempts", wait))
                return False
        failed, out = self._try_names(connection.number, join, names, nonce)
        if failed is not None:
            self._counters[f"joins_{failed.code}"] += 1
            self._gate.failed(address, join.name_id, failed.code, now=now)
        else:
            self._counters["joins"] += 1
            if not known_member:
                self._gate.entered(address, new_group=not known_group, now=now)
        self._send(out)
        return failed is None

    def _try_names(
        self, number: int, join: Join, names: tuple[str, ...], nonce: bytes
    ) -> tuple[Failed | None, Outgoing]:
        """A server may go by several names; the client has signed for one of them."""
        failed, out = None, Outgoing()
        for name in names:
            out = self._rooms.join(number, join, server_name=name, nonce=nonce)
            first = out[0][1]
            failed = first if isinstance(first, Failed) and out[0][0] == number else None
            if failed is None or failed.code != "bad_signature":
                break
        return failed, out

    def _send(self, out: Outgoing) -> None:
        for number, message in out:
            connection = self._connections.get(number)
            if connection is not None:
                connection.queue(message)
        if self._rooms.dirty:
            self._changed.set()

    # --- life -------------------------------------------------------------------------------

    async def _end_connections(self, _: web.Application) -> None:
        for connection in self._connections.values():
            connection.end()

    async def drop_loiterers(self, runner: web.AppRunner) -> None:
        """Until cancelled: end TCP connections that never become a member's."""
        seen: dict[asyncio.BaseTransport, float] = {}
        while True:
            await asyncio.sleep(self._limits.request_timeout_s / 2)
            now, served = _now(), {c.transport for c in self._connections.values()}
            handlers = runner.server.connections if runner.server is not None else []
            there = {h.transport for h in handlers if h.transport is not None} - served
            seen = {transport: seen.get(transport, now) for transport in there}
            for transport, since in seen.items():
                if now - since >= self._limits.request_timeout_s:
                    transport.close()

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _metrics(self, _: web.Request) -> web.Response:
        groups, online = self._rooms.counts()
        lines = [
            f"covey_groups {groups}",
            f"covey_members_online {online}",
            f"covey_connections {len(self._connections)}",
            f"covey_bytes_waiting {self._backlog.bytes}",
            *(f"covey_{name}_total {count}" for name, count in sorted(self._counters.items())),
        ]
        return web.Response(text="\n".join(lines) + "\n")


def _now() -> float:
    return asyncio.get_running_loop().time()


async def serve(config: ServerConfig, *, ready: Callable[[str], None]) -> None:
    """Run a server until cancelled; `ready` hears its URL. Raises StoreError, OSError."""
    store = await asyncio.to_thread(TinyDbStore, config.data / "groups.json")
    groups = await asyncio.to_thread(store.load)
    server = Server(config, groups, store, os.urandom)  # noqa: TID251 - the composition root
    runner = web.AppRunner(
        server.application(),
        access_log=None,
        keepalive_timeout=5.0,
        shutdown_timeout=2 * config.limits.close_timeout_s,
    )
    await runner.setup()
    tasks: list[asyncio.Task[None]] = []
    try:
        await web.TCPSite(runner, config.host, config.port).start()
        tasks.append(asyncio.create_task(server.save_changes()))
        tasks.append(asyncio.create_task(server.drop_loiterers(runner)))
        host, port = runner.addresses[0][:2]
        shown = f"[{host}]" if ":" in host else host
        ready(f"http://{shown}:{port}")
        await asyncio.gather(*tasks)
    finally:
        await runner.cleanup()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.save()
        await asyncio.to_thread(store.close)
