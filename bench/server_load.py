"""Many members in one process, for the server's bench: raw WebSockets that do little else.

Started by `bench.server`; takes commands as JSON lines on standard input and answers each with one
line. A member whose connection breaks comes back as a real one does, with the same pauses.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
from collections import Counter
from typing import Any, cast

import uvloop
from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from datachannel.rendezvous import RETRY_GROWTH, RETRY_S_MAX, RETRY_S_MIN
from datachannel.server_socket import CONNECT_TIMEOUT_S, JOIN_TIMEOUT_S
from signaling.messages import (
    VERSION,
    Challenge,
    Failed,
    Join,
    Joined,
    MemberId,
    Signal,
    decode_from_server,
    encode,
    join_transcript,
)

CARD_BYTES = 260
"""As large as a real sealed card."""
SIGNAL_BYTES = 1200
"""About as large as a real sealed signal with its candidates."""
SIGNAL_BEGINS = encode(Signal(bytes(32), b""))[:13]
SIGNATURE_BYTES = 64
TICK_S = 0.01
CONNECTING_MAX = 100
"""Members of this process that are on their way in at the same time; in a storm there are all."""


class Load:
    """All members of this process, and what they went through."""

    def __init__(self, port: int, sources: list[str], seed: int) -> None:
        self.port, self.sources = port, sources
        self.random = random.Random(seed)
        self.members: list[Member] = []
        self.joined = 0
        self.is_ending = False
        self.refused: Counter[str] = Counter()
        self.retries = 0
        self.changed = asyncio.Event()
        self.sent = 0
        self.latencies_ms: list[float] = []

    async def connect(self, first_group: int, groups: int, size: int) -> dict[str, Any]:
        """Whole groups more; comes back when all have joined."""
        began = _now()
        for group in range(first_group, first_group + groups):
            for number in range(size):
                while len(self.members) - self.joined >= CONNECTING_MAX:
                    await self._some_change()
                self.members.append(Member(self, group, number))
        return await self.all_joined(began)

    async def all_joined(self, began: float) -> dict[str, Any]:
        """Wait until everybody is in."""
        while self.joined < len(self.members):
            await self._some_change()
        told = {
            "seconds": _now() - began,
            "refused": dict(self.refused),
            "retries": self.retries,
        }
        self.refused.clear()
        self.retries = 0
        return told

    async def storm(self) -> dict[str, Any]:
        """Wait until everybody is out, and then until everybody is in."""
        while self.joined:
            await self._some_change()
        return await self.all_joined(_now())

    async def signals(self, per_s: float, seconds: float) -> dict[str, Any]:
        """Everybody in turn says something to another one of its group."""
        self.sent, self.latencies_ms = 0, []
        online = [member for member in self.members if member.others]
        began, filling = _now(), bytes(SIGNAL_BYTES - 8)
        while (passed := _now() - began) < seconds:
            while self.sent < passed * per_s:
                member = self.random.choice(online)
                sent_at = int(_now() * 1e9).to_bytes(8, "big")
                member.say(encode(Signal(self.random.choice(member.others), sent_at + filling)))
                self.sent += 1
            await asyncio.sleep(TICK_S)
        await asyncio.sleep(1.0)  # for the last of them
        return {"sent": self.sent, "latencies_ms": self.latencies_ms}

    async def _some_change(self) -> None:
        self.changed.clear()
        await self.changed.wait()


class Member(asyncio.Protocol):
    """One member: connects, joins, answers pings, notes when signals arrive, comes back."""

    __slots__ = (
        "buffer",
        "group",
        "group_key",
        "identity",
        "is_joined",
        "load",
        "number",
        "others",
        "retry_s",
        "task",
        "timer",
        "transport",
        "upgraded",
    )

    def __init__(self, load: Load, group: int, number: int) -> None:
        self.load, self.group, self.number = load, group, number
        _, self.group_key = crypto_sign_seed_keypair(b"group" + group.to_bytes(27, "big"))
        seed = b"member" + group.to_bytes(13, "big") + number.to_bytes(13, "big")
        _, self.identity = crypto_sign_seed_keypair(seed)
        self.others: list[MemberId] = []
        self.transport: asyncio.Transport | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.retry_s = RETRY_S_MIN
        self.is_joined = False
        self.begin()

    # --- coming and coming back -------------------------------------------------------------

    def begin(self) -> None:
        """Connect."""
        self.buffer, self.upgraded = b"", False
        self.task = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        loop, load = asyncio.get_running_loop(), self.load
        source = load.sources[self.group % len(load.sources)]
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await loop.create_connection(
                    lambda: self, "127.0.0.1", load.port, local_addr=(source, 0)
                )
        except (OSError, TimeoutError):
            self._later(0.0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        home = f"10.{self.group >> 16}.{self.group >> 8 & 255}.{self.group & 255}"
        self.transport.write(
            f"GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1:{self.load.port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            f"X-Forwarded-For: {home}\r\n\r\n".encode()
        )
        self.timer = asyncio.get_running_loop().call_later(JOIN_TIMEOUT_S, self.transport.abort)

    def connection_lost(self, error: Exception | None) -> None:
        load = self.load
        self.transport = None
        if self.timer is not None:
            self.timer.cancel()
        if self.is_joined:
            self.is_joined = False
            load.joined -= 1
            load.changed.set()
            self.retry_s = RETRY_S_MIN
        if not load.is_ending:
            self._later(0.0)

    def _later(self, asked_s: float) -> None:
        self.load.retries += 1
        jitter = self.load.random.random()
        pause_s = max(asked_s * (1 + jitter), self.retry_s * (1 + jitter) / 2)
        self.retry_s = min(self.retry_s * RETRY_GROWTH, RETRY_S_MAX)
        asyncio.get_running_loop().call_later(pause_s, self.begin)

    # --- frames -----------------------------------------------------------------------------

    def say(self, data: bytes, opcode: int = 2) -> None:
        """One frame, masked with zeros: honest by the letter, and costs nothing."""
        if self.transport is None:
            return
        size = len(data)
        head = (
            bytes([128 | opcode, 128 | size])
            if size < 126
            else (bytes([128 | opcode, 254]) + size.to_bytes(2, "big"))
        )
        self.transport.write(head + bytes(4) + data)

    def data_received(self, data: bytes) -> None:
        buffer = self.buffer + data if self.buffer else data
        if not self.upgraded:
            head, end, buffer = buffer.partition(b"\r\n\r\n")
            if not end:
                self.buffer = head
                return
            if b" 101 " not in head[:20]:
                self.load.refused[head[9:12].decode()] += 1
                assert self.transport is not None
                self.transport.abort()
                return
            self.upgraded = True
        at = 0
        while len(buffer) - at >= 2:
            size, start = buffer[at + 1], at + 2
            if size >= 126:
                width = 2 if size == 126 else 8
                size, start = int.from_bytes(buffer[start : start + width], "big"), start + width
            if len(buffer) < start + size:
                break
            self._hear(buffer[at] & 15, buffer[start : start + size])
            at = start + size
        self.buffer = buffer[at:]

    def _hear(self, opcode: int, payload: bytes) -> None:
        if opcode == 9:
            self.say(payload, 10)
        elif opcode == 2 and payload.startswith(SIGNAL_BEGINS):
            sent_at = int.from_bytes(payload[-SIGNAL_BYTES : 8 - SIGNAL_BYTES], "big")
            self.load.latencies_ms.append((_now() - sent_at / 1e9) * 1000)
        elif opcode == 2 and not self.is_joined:
            self._join(payload)

    def _join(self, payload: bytes) -> None:
        load = self.load
        match decode_from_server(payload):
            case Challenge(_, _, nonce):
                self.say(encode(self._signed(nonce)))
            case Joined(members):
                self.others = [MemberId(one.member) for one in members]
                self.is_joined = True
                load.joined += 1
                load.changed.set()
                assert self.timer is not None
                self.timer.cancel()
            case Failed(code):
                load.refused[code] += 1

    def _signed(self, nonce: bytes) -> Join:
        fields: dict[str, Any] = {
            "name_id": self.group.to_bytes(32, "big"),
            "group_key": self.group_key[32:],
            "identity_key": self.identity[32:],
            "create": True,
            "card": bytes([self.number]) * CARD_BYTES,
        }
        name = f"127.0.0.1:{self.load.port}"
        transcript = join_transcript(server_name=name, nonce=nonce, **fields)
        return Join(
            version=VERSION,
            **fields,
            group_signature=crypto_sign(transcript, self.group_key)[:SIGNATURE_BYTES],
            identity_signature=crypto_sign(transcript, self.identity)[:SIGNATURE_BYTES],
        )


def _now() -> float:
    """The same clock in all processes of this computer."""
    return asyncio.get_running_loop().time()


async def _work() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    begin = json.loads(await reader.readline())
    load = Load(begin["port"], begin["sources"], begin["seed"])
    while line := await reader.readline():
        command = json.loads(line)
        answer = await getattr(load, command.pop("do"))(**command)
        print(json.dumps(answer), flush=True)
    load.is_ending = True
    for member in load.members:
        if member.transport is not None:
            member.transport.abort()


if __name__ == "__main__":
    gc.disable()  # its pauses would count as the server's
    uvloop.run(_work())
