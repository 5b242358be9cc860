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
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import WSCloseCode, WSMsgType, web
from nacl.bindings import crypto_sign_open
from nacl.exceptions import CryptoError

from signaling.config import ServerConfig
from signaling.limits import Buckets, address_key
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
from signaling.rooms import Group, Outgoing, Rooms
from signaling.store import Store, StoreError, TinyDbStore

log = logging.getLogger("covey.signaling")

PATH = "/v1/ws"
SAVE_RETRY_S = 5.0


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether an Ed25519 signature is good."""
    try:
        crypto_sign_open(signature + message, public_key)
    except (CryptoError, ValueError):
        return False
    return True


@dataclass(slots=True, eq=False)
class Connection:
    """One client. What waits for it is bounded; who does not read is dropped."""

    number: int
    socket: web.WebSocketResponse
    address: str
    transport: asyncio.WriteTransport | None
    waiting: deque[bytes] = field(default_factory=deque)
    waiting_bytes: int = 0
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    closing: bool = False


class Server:
    """One server process."""

    def __init__(
        self, config: ServerConfig, store: Store, random_bytes: Callable[[int], bytes]
    ) -> None:
        self._config, self._store, self._random_bytes = config, store, random_bytes
        limits = config.limits
        self._limits = limits
        self._rooms = Rooms(
            store.load(), verify, groups_max=limits.groups_max, ice_servers=config.ice_servers
        )
        self._connects = Buckets(*limits.connects_per_address)
        self._wrong_by_address = Buckets(*limits.wrong_passwords_per_address)
        self._wrong_by_group = Buckets(*limits.wrong_passwords_per_group)
        self._new_by_address = Buckets(*limits.new_groups_per_address)
        self._numbers = itertools.count(1)
        self._connections: dict[int, Connection] = {}
        self._per_address: Counter[str] = Counter()
        self._changed = asyncio.Event()
        self._counters: Counter[str] = Counter()
        self._saver: asyncio.Task[None] | None = None

    def application(self) -> web.Application:
        """The aiohttp application."""
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
        self._saver = asyncio.create_task(self._save_changes())

    async def _shut_down(self, _: web.Application) -> None:
        closing = [
            connection.socket.close(code=WSCloseCode.GOING_AWAY)
            for connection in list(self._connections.values())
        ]
        await asyncio.gather(*closing, return_exceptions=True)

    async def _clean_up(self, _: web.Application) -> None:
        if self._saver is not None:
            self._saver.cancel()
            await asyncio.gather(self._saver, return_exceptions=True)
        await self._save()
        await asyncio.to_thread(self._store.close)

    async def _save_changes(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            if not await self._save():
                await asyncio.sleep(SAVE_RETRY_S)
                self._changed.set()

    async def _save(self) -> bool:
        dirty = list(self._rooms.dirty.values())
        self._rooms.dirty.clear()
        if not dirty:
            return True
        copies = [Group(g.name_id, g.group_key, dict(g.members)) for g in dirty]
        try:
            await asyncio.to_thread(self._store.save, copies)
        except StoreError as error:
            log.error("changes cannot be remembered now: %s", error)
            for group in dirty:
                self._rooms.dirty.setdefault(group.name_id, group)
            return False
        return True

    # --- a connection -----------------------------------------------------------------------

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        address = address_key(request.remote or "")
        wait = self._refuses(address)
        if wait:
            self._counters["connections_refused"] += 1
            return web.Response(status=503, headers={"Retry-After": str(int(wait) + 1)})
        socket = web.WebSocketResponse(
            heartbeat=self._limits.heartbeat_s, max_msg_size=MESSAGE_BYTES_MAX, compress=False
        )
        await socket.prepare(request)
        connection = Connection(next(self._numbers), socket, address, _transport(request))
        self._connections[connection.number] = connection
        self._per_address[address] += 1
        self._counters["connections"] += 1
        sending = asyncio.create_task(self._send_waiting(connection))
        try:
            await self._converse(connection, request.headers.get("Host", ""))
        finally:
            self._send(self._rooms.disconnected(connection.number))
            connection.closing = True
            connection.wake.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.send_timeout_s):
                    await asyncio.gather(sending, return_exceptions=True)
            sending.cancel()
            del self._connections[connection.number]
            self._per_address[address] -= 1
            if not self._per_address[address]:
                del self._per_address[address]
            await socket.close()
        return socket

    def _refuses(self, address: str) -> float:
        limits = self._limits
        if len(self._connections) >= limits.connections_max:
            return 30.0
        if self._per_address[address] >= limits.connections_per_address_max:
            return 30.0
        return self._connects.take(address, now=_now())

    async def _converse(self, connection: Connection, host: str) -> None:
        names = self._config.names or (host.lower(),)
        nonce = self._random_bytes(NONCE_BYTES)
        self._queue(connection, Challenge(VERSION, names[0], nonce))
        if not await self._join(connection, names, nonce):
            return
        bucket = Buckets(*self._limits.messages_per_connection, keys_max=1)
        while (data := await self._receive(connection, None)) is not None:
            if bucket.take(0, now=_now()):
                self._refuse(connection, Failed("rate_limited", "too many messages", 5.0))
                return
            try:
                message = decode_from_client(data)
            except MessageError:
                self._refuse(connection, Failed("bad_message", "this is no message"))
                return
            if not self._rooms.is_joined(connection.number):
                return  # replaced meanwhile, or it has left
            self._send(self._rooms.handle(connection.number, message))
            self._remember()
            self._counters["messages"] += 1

    async def _join(self, connection: Connection, names: tuple[str, ...], nonce: bytes) -> bool:
        data = await self._receive(connection, self._limits.join_timeout_s)
        if data is None:
            return False
        try:
            join = decode_from_client(data)
        except MessageError:
            join = None
        if not isinstance(join, Join):
            self._refuse(connection, Failed("bad_message", "join first"))
            return False
        now = _now()
        wait = self._wait_of(connection, join, now)
        if wait:
            self._refuse(connection, Failed("rate_limited", "too many attempts", min(wait, 3600.0)))
            return False
        known = self._rooms.knows(join.name_id)
        out: Outgoing = []
        for name in names:
            out = self._rooms.join(connection.number, join, server_name=name, nonce=nonce)
            refused = out[-1][1] if len(out) == 1 else None
            if not isinstance(refused, Failed) or refused.code != "bad_signature":
                break
        out = self._count_attempt(connection, join, out, known=known, now=now)
        self._send(out)
        self._remember()
        return self._rooms.is_joined(connection.number)

    def _wait_of(self, connection: Connection, join: Join, now: float) -> float:
        wait = self._wrong_by_address.wait(connection.address, now=now)
        if not self._rooms.knows(join.name_id) and join.create:
            wait = max(wait, self._new_by_address.wait(connection.address, now=now))
        return wait

    def _count_attempt(
        self, connection: Connection, join: Join, out: Outgoing, *, known: bool, now: float
    ) -> Outgoing:
        """Count an attempt to join; a guesser may learn less from the answer.

        When a group has seen many wrong passwords, a further wrong one is answered like too many
        attempts. The right one is let in all the same, so nobody can lock a group out.
        """
        answer = next((m for number, m in out if number == connection.number), None)
        if not isinstance(answer, Failed):
            self._counters["joins"] += 1
            if not known:
                self._new_by_address.take(connection.address, now=now)
            return out
        self._counters[f"joins_{answer.code}"] += 1
        if answer.code in ("wrong_password", "bad_signature"):
            self._wrong_by_address.take(connection.address, now=now)
            wait = self._wrong_by_group.take(join.name_id, now=now)
            if wait:
                limited = Failed("rate_limited", "too many attempts", min(wait, 3600.0))
                return [(connection.number, limited)]
        return out

    async def _receive(self, connection: Connection, timeout_s: float | None) -> bytes | None:
        """The next frame; None at the end of the connection, or for a frame that is not binary."""
        try:
            async with asyncio.timeout(timeout_s):
                message = await connection.socket.receive()
        except TimeoutError:
            return None
        if message.type is WSMsgType.BINARY:
            data: bytes = message.data
            return data
        return None

    # --- sending ----------------------------------------------------------------------------

    def _refuse(self, connection: Connection, failed: Failed) -> None:
        self._queue(connection, failed)

    def _send(self, out: Outgoing) -> None:
        for number, message in out:
            connection = self._connections.get(number)
            if connection is not None:
                self._queue(connection, message)

    def _queue(self, connection: Connection, message: FromServer) -> None:
        if connection.closing:
            return
        data = encode(message)
        connection.waiting.append(data)
        connection.waiting_bytes += len(data)
        limits = self._limits
        if (
            len(connection.waiting) > limits.outgoing_messages_max
            or connection.waiting_bytes > limits.outgoing_bytes_max
        ):
            self._counters["slow_readers_dropped"] += 1
            connection.waiting.clear()
            self._abort(connection)
        elif isinstance(message, Failed):
            connection.closing = True
        connection.wake.set()

    def _abort(self, connection: Connection) -> None:
        connection.closing = True
        if connection.transport is not None:
            connection.transport.abort()

    async def _send_waiting(self, connection: Connection) -> None:
        try:
            while True:
                while connection.waiting:
                    data = connection.waiting.popleft()
                    connection.waiting_bytes -= len(data)
                    async with asyncio.timeout(self._limits.send_timeout_s):
                        await connection.socket.send_bytes(data)
                if connection.closing:
                    await connection.socket.close()
                    return
                connection.wake.clear()
                await connection.wake.wait()
        except (ConnectionError, TimeoutError, RuntimeError):
            self._abort(connection)

    def _remember(self) -> None:
        if self._rooms.dirty:
            self._changed.set()

    # --- pages ------------------------------------------------------------------------------

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _metrics(self, _: web.Request) -> web.Response:
        groups, online = self._rooms.counts()
        lines = [
            f"covey_groups {groups}",
            f"covey_members_online {online}",
            f"covey_connections {len(self._connections)}",
            *(f"covey_{name}_total {count}" for name, count in sorted(self._counters.items())),
        ]
        return web.Response(text="\n".join(lines) + "\n")


def _transport(request: web.Request) -> asyncio.WriteTransport | None:
    transport = request.transport
    return transport if isinstance(transport, asyncio.WriteTransport) else None


def _now() -> float:
    return asyncio.get_running_loop().time()


async def serve(config: ServerConfig, *, ready: Callable[[str], None]) -> None:
    """Run a server until cancelled; `ready` hears its URL. Raises StoreError, OSError."""
    store = await asyncio.to_thread(TinyDbStore, config.data / "groups.json")
    server = Server(config, store, os.urandom)  # noqa: TID251 - the server's composition root
    runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=5.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, config.host, config.port)
        await site.start()
        host, port = runner.addresses[0][:2]
        shown = f"[{host}]" if ":" in host else host
        ready(f"http://{shown}:{port}")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
