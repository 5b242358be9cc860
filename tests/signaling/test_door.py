"""The door: who connects and says nothing, or little, holds nothing for long."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from signaling.config import Limits
from signaling.door import SPARE, Door
from signaling.messages import Absent, Signal
from tests.support.members import a_member
from tests.support.raw_client import address_of, member, metric, raw_client, running_server

ANNA, BEN = a_member("anna"), a_member("ben")
HOME, ELSEWHERE = ("127.0.0.1", 0), ("127.0.0.2", 0)


class Wire(asyncio.Transport):
    """A TCP connection from an address."""

    def __init__(self, address: str) -> None:
        super().__init__({"peername": (address, 1234)})


@pytest.mark.parametrize("said", [b"", b"GET /v1/ws HTTP/1.1\r\nHost: a\r\n", b"\x16\x03\x01"])
async def test_who_connects_and_never_asks_for_anything_is_dropped(tmp_path: Path, said: bytes):
    limits = Limits(request_timeout_s=0.05)
    async with running_server(tmp_path, limits=limits) as url, member(url, ANNA, create=True) as it:
        reader, writer = await asyncio.open_connection(*address_of(url))
        writer.write(said)
        async with asyncio.timeout(5):
            assert await drained(reader)
        writer.close()
        await it.say(Signal(BEN.member_id, b"members stay"))
        assert await it.hear() == Absent(BEN.member_id)


async def drained(reader: asyncio.StreamReader) -> bool:
    """Read until the server ends it."""
    try:
        while await reader.read(100):
            pass
    except ConnectionResetError:
        pass
    return True


async def test_a_request_one_byte_at_a_time_gets_no_more_time_than_any(tmp_path: Path):
    limits = Limits(request_timeout_s=0.2)
    async with running_server(tmp_path, limits=limits) as url:
        reader, writer = await asyncio.open_connection(*address_of(url))
        ended = asyncio.create_task(drained(reader))
        sent = 0
        async with asyncio.timeout(5):
            while not ended.done():
                writer.write(b"GET /v1/ws HTTP/1.1\r\nX: " + b"x" * 400 if not sent else b"x")
                sent += 1
                await asyncio.sleep(0.01)
        writer.close()
    assert sent < 200


async def test_an_address_has_a_few_connections_that_say_nothing_and_others_are_not_hurt(
    tmp_path: Path,
):
    limits = Limits(waiting_per_address_max=5)
    async with running_server(tmp_path, limits=limits, proxies=()) as url:
        silent = [
            await asyncio.open_connection(*address_of(url), local_addr=ELSEWHERE) for _ in range(20)
        ]
        ended = [asyncio.create_task(drained(reader)) for reader, _ in silent]
        done, waiting = await asyncio.wait(ended, timeout=1.0)
        assert (len(done), len(waiting)) == (15, 5)
        assert await metric(url, "connections_refused_total", reason="waiting") == 15
        async with member(url, ANNA, create=True):
            pass
        for task in waiting:
            task.cancel()
        for _, writer in silent:
            writer.close()


async def test_no_more_connections_than_the_process_bears(tmp_path: Path):
    limits = Limits(connections_max=3)
    async with (
        running_server(tmp_path, limits=limits) as url,
        member(url, ANNA, create=True),
        raw_client(url),
    ):
        silent = [await asyncio.open_connection(*address_of(url)) for _ in range(SPARE + 5)]
        ended = [asyncio.create_task(drained(reader)) for reader, _ in silent]
        done, waiting = await asyncio.wait(ended, timeout=1.0)
        assert (len(done), len(waiting)) == (4, SPARE + 1)
        for task in waiting:
            task.cancel()
        for _, writer in silent:
            writer.close()


def test_the_door_counts_who_waits_and_forgets_who_went():
    door = Door(
        Limits(waiting_per_address_max=2, connections_max=4 - SPARE), is_proxy=lambda _: False
    )
    first, second, third = Wire("192.0.2.1"), Wire("192.0.2.1"), Wire("192.0.2.1")
    assert door.admits(first, now=0.0)
    assert door.admits(second, now=0.0)
    assert not door.admits(third, now=0.0)
    door.enter(first)
    assert door.admits(third, now=0.0)
    assert door.admits(Wire("2001:db8::1"), now=0.0)
    assert not door.admits(Wire("192.0.2.2"), now=0.0)  # one is inside, three wait
    door.leave()
    assert door.admits(Wire("192.0.2.2"), now=0.0)
    assert len(door) == 4


def test_a_proxy_brings_more_than_one_address_may():
    limits = Limits(waiting_per_address_max=1)
    door = Door(limits, is_proxy=lambda address: address == "127.0.0.1")
    assert all(door.admits(Wire("127.0.0.1"), now=0.0) for _ in range(10))
    assert [door.admits(Wire("192.0.2.1"), now=0.0) for _ in range(2)] == [True, False]


async def test_pings_are_answered_and_too_many_are_the_end(tmp_path: Path):
    async with running_server(tmp_path) as url, member(url, ANNA, create=True) as anna:
        await anna.socket.ping(b"there?")
        await anna.say(Signal(BEN.member_id, b""))
        assert await anna.hear() == Absent(BEN.member_id)
        for _ in range(100):
            await anna.socket.ping(b"x" * 125)
        assert await anna.is_closed()


async def test_a_ping_before_joining_gives_no_more_time(tmp_path: Path):
    limits = Limits(join_timeout_s=0.2)
    async with running_server(tmp_path, limits=limits) as url, raw_client(url) as client:
        async with asyncio.timeout(5):
            for _ in range(5):
                await client.socket.ping()
                await asyncio.sleep(0.02)
            assert await client.is_closed()
