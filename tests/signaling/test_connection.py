"""The way out to one client: in order, bounded, never waited for."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from signaling.config import Limits
from signaling.connection import Backlog, Connection

LIMITS = replace(Limits(), outgoing_messages_max=3, outgoing_bytes_max=100)


class Client:
    """A socket that may stop reading or break."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.breaks = self.closed = self.aborted = False

    async def send_bytes(self, data: bytes) -> None:
        if self.breaks:
            raise ConnectionResetError("gone")
        await self.reads.wait()
        self.heard.append(data)

    async def swallow(self, data: bytes) -> None:
        """As send_bytes, when the operating system still has room for it."""
        self.heard.append(data)

    async def close(self) -> bool:
        await self.reads.wait()
        self.closed = True
        return True

    def abort(self) -> None:
        self.aborted = True


def connected(
    client: Client, *, limits: Limits = LIMITS, backlog: Backlog | None = None
) -> Connection:
    return Connection(
        1,
        client,
        address="192.0.2.1",
        abort=client.abort,
        backlog=backlog or Backlog(),
        limits=limits,
    )


async def finished(connection: Connection) -> None:
    async with asyncio.timeout(5):
        await connection.ended()


async def test_what_is_queued_is_sent_in_order_and_nothing_after_the_last():
    client = Client()
    connection = connected(client)
    connection.queue(b"one")
    connection.queue(b"two", last=True)
    connection.queue(b"three")
    assert connection.is_closing
    await finished(connection)
    assert client.heard == [b"one", b"two"]
    assert client.closed
    assert not client.aborted


async def test_what_comes_later_is_sent_later():
    client, backlog = Client(), Backlog()
    connection = connected(client, backlog=backlog)
    for number in range(10):
        connection.queue(bytes([number]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    connection.close()
    await finished(connection)
    assert client.heard == [bytes([number]) for number in range(10)]
    assert backlog.size == 0


@pytest.mark.parametrize("messages", [[b"x"] * 4, [b"x" * 60, b"x" * 60]])
async def test_who_does_not_read_is_cut_when_too_much_waits(messages: list[bytes]):
    client, backlog = Client(), Backlog()
    connection = connected(client, backlog=backlog)
    for message in messages:
        assert not connection.is_slow
        connection.queue(message)
    assert connection.is_slow
    assert client.aborted
    assert backlog.size == 0
    connection.queue(b"more")
    await finished(connection)
    assert client.heard == []


async def test_together_all_slow_readers_cost_no_more_than_the_total():
    backlog, limits = Backlog(), replace(LIMITS, outgoing_bytes_total_max=150)
    clients = [Client() for _ in range(4)]
    first, second, third, fourth = (
        connected(client, limits=limits, backlog=backlog) for client in clients
    )
    first.queue(b"x" * 90)
    second.queue(b"x" * 50)
    third.queue(b"x" * 20)  # over the total, but this one has done nothing wrong
    assert [client.aborted for client in clients] == [False] * 4
    second.queue(b"x" * 5)
    assert [client.aborted for client in clients] == [False, True, False, False]
    assert backlog.size == 110
    fourth.queue(b"x")
    assert not clients[3].aborted


async def test_who_stops_reading_for_too_long_is_cut():
    client = Client()
    client.reads.clear()
    connection = connected(client, limits=replace(LIMITS, send_timeout_s=0.01))
    connection.queue(b"one")
    await finished(connection)
    assert client.aborted


async def test_who_stops_reading_before_the_end_is_cut_too():
    client = Client()
    connection = connected(client, limits=replace(LIMITS, send_timeout_s=0.01))
    connection.queue(b"the last", last=True)
    client.send_bytes = client.swallow  # type: ignore[method-assign]
    client.reads.clear()
    await finished(connection)
    assert client.heard == [b"the last"]
    assert client.aborted
    assert not client.closed


async def test_a_broken_connection_ends_the_sending_and_counts_nothing():
    client, backlog = Client(), Backlog()
    client.breaks = True
    connection = connected(client, backlog=backlog)
    connection.queue(b"one")
    connection.queue(b"two")
    await finished(connection)
    assert client.aborted
    assert backlog.size == 0
