"""Simulated links and lines, and who reaches whom."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from datachannel.link import LinkClosed
from netsim.world.clock import run_at_once
from netsim.world.network import GRAIN_S, Line, Network, SimLink
from netsim.world.trace import Trace
from tests.support.contracts import LinkContract
from tests.support.memory_link import ALICE, BOB


def network(**line: float) -> Network:
    made = Network(random.Random(1), Trace())
    for member in (ALICE, BOB):
        made.plug_in(member, Line(**line))
    return made


class TestSimLink(LinkContract):
    @asynccontextmanager
    async def pair(self) -> AsyncIterator[tuple[SimLink, SimLink]]:
        yield network(latency_s=0.0, up_bytes_s=1e9).connect(ALICE, BOB)


def test_a_frame_takes_its_time_on_the_line_and_two_latencies():
    async def travel() -> float:
        one, other = network(latency_s=0.1, up_bytes_s=10_000).connect(ALICE, BOB)
        one.send(bytes(9_940))
        await other.receive()
        return asyncio.get_running_loop().time()

    assert run_at_once(travel()) == pytest.approx(1.2, abs=2 * GRAIN_S)


def test_all_links_of_a_computer_share_its_line():
    async def travel() -> float:
        net = network(latency_s=0.0, up_bytes_s=10_000)
        links = [net.connect(ALICE, BOB) for _ in range(3)]
        for one, _ in links:
            one.send(bytes(9_940))
        for _, other in links:
            await other.receive()
        return asyncio.get_running_loop().time()

    assert run_at_once(travel()) == pytest.approx(3.0, abs=2 * GRAIN_S)


def test_nothing_passes_between_the_sides_of_a_partition_until_it_heals():
    async def try_it() -> list[bytes]:
        net = network()
        one, other = net.connect(ALICE, BOB)
        net.partition([BOB])
        assert net.reaches_server(ALICE)
        assert not net.reaches_server(BOB)
        one.send(b"lost")
        await asyncio.sleep(1)
        net.heal()
        one.send(b"arrives")
        return [await other.receive()]

    assert run_at_once(try_it()) == [b"arrives"]


def test_a_cut_tells_both_ends_and_loses_what_is_under_way():
    async def try_it() -> int:
        net = network()
        one, other = net.connect(ALICE, BOB)
        one.send(b"lost")
        cut = net.cut(lambda own, remote: ALICE in (own, remote))
        for end in (one, other):
            with pytest.raises(LinkClosed):
                await end.receive()
        return cut

    assert run_at_once(try_it()) >= 1


def test_of_a_computer_without_power_the_others_hear_nothing():
    async def try_it() -> bool:
        net = network()
        one, other = net.connect(ALICE, BOB)
        net.vanish(ALICE)
        await asyncio.sleep(60)
        return one.closed and not other.closed

    assert run_at_once(try_it())


def test_a_link_that_is_to_break_breaks_after_some_bytes():
    async def try_it() -> int:
        net = network()
        net.break_chance = 1.0
        one, other = net.connect(ALICE, BOB)
        for sent in range(10_000):
            for end in (one, other):
                if end.closed:
                    return sent
                end.send(bytes(1_000))
            await asyncio.sleep(0.1)
        raise AssertionError("it did not break")

    assert run_at_once(try_it()) > 0
