"""The first TURN server that grants a relay is taken, in a bounded time, and the others let go."""

from __future__ import annotations

import asyncio
from typing import Any

from aioice import stun
from aiortc import RTCIceServer

from datachannel.aiortc_fixes_relay import HEAD_START_S, TurnServer, first_granted, turn_servers
from tests.support.sctp_harness import run_virtual

UDP, TCP, TLS = (
    TurnServer(("turn.example", port), transport, tls, "u", "c")
    for port, transport, tls in ((3478, "udp", False), (3478, "tcp", False), (443, "tcp", True))
)


class Protocol:
    """The relay's end, which is its own transport."""

    def __init__(self) -> None:
        self.closed = False
        self.transport = self

    def close(self) -> None:
        self.closed = True


class World:
    """TURN servers that grant a relay after so many seconds, or (None) are silent."""

    def __init__(self, **after_s: float | None) -> None:
        self.after_s = after_s
        self.asked: list[tuple[str, float]] = []
        self.granted: dict[str, Protocol] = {}

    async def ask(self, server: TurnServer) -> Any:
        name = "tls" if server.tls else server.transport
        self.asked.append((name, asyncio.get_running_loop().time()))
        after_s = self.after_s[name]
        if after_s is None:
            await asyncio.sleep(1000)
        elif after_s < 0:
            raise stun.TransactionTimeout
        try:
            await asyncio.sleep(after_s or 0)
        except asyncio.CancelledError:
            if name != "udp":
                raise
        self.granted[name] = Protocol()
        return name, self.granted[name]


def found(world: World) -> tuple[str | None, float]:
    """Who granted the relay, and how long it took."""

    async def main() -> tuple[str | None, float]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        won = await first_granted((UDP, TCP, TLS), world.ask, timeout_s=3.0)
        world.asked = [(name, at - began) for name, at in world.asked]
        return (won[0][0] if won else None), loop.time() - began  # type: ignore[return-value]

    return run_virtual(main())


def test_a_server_that_answers_at_once_is_the_only_one_that_is_asked():
    world = World(udp=0.2, tcp=0.1, tls=0.1)
    assert found(world) == ("udp", 0.2)
    assert world.asked == [("udp", 0.0)]


def test_where_udp_is_shut_tcp_is_asked_after_a_head_start():
    world = World(udp=None, tcp=0.1, tls=0.1)
    assert found(world) == ("tcp", HEAD_START_S + 0.1)


def test_where_only_the_webs_ports_are_open_tls_is_asked_in_time():
    world = World(udp=None, tcp=None, tls=0.2)
    assert found(world) == ("tls", 2 * HEAD_START_S + 0.2)


def test_after_a_refusal_the_next_server_is_asked_at_once():
    assert found(World(udp=-1.0, tcp=-1.0, tls=0.2)) == ("tls", 0.2)


def test_silence_everywhere_ends_in_time_and_refusals_at_once():
    assert found(World(udp=None, tcp=None, tls=None)) == (None, 3.0)
    assert found(World(udp=-1.0, tcp=-1.0, tls=-1.0)) == (None, 0.0)


def test_a_relay_that_comes_too_late_is_given_back():
    world = World(udp=0.7, tcp=0.1, tls=0.1)
    assert found(world)[0] == "tcp"
    assert world.granted["udp"].closed
    assert not world.granted["tcp"].closed


def test_all_ways_to_turn_servers_are_known_in_their_order():
    servers = [
        RTCIceServer(["turn:turn.example:3478?transport=udp"], "u", "c"),
        RTCIceServer(["stun:turn.example:3478"]),
        RTCIceServer(["turn:turn.example:3478?transport=tcp"], "u", "c"),
        RTCIceServer(["turns:turn.example:443?transport=tcp"], "u", "c"),
    ]
    assert turn_servers(servers) == [UDP, TCP, TLS]
