"""Real mDNS on loopback, and a real server behind it."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from zeroconf import ServiceStateChange

from datachannel.joining import OneServer
from datachannel.rendezvous import Rendezvous
from peer.finding.beacon import Beacon
from peer.finding.embedded import embedded_server, is_there
from peer.finding.lan import LanServer
from peer.finding.mdns import NAMES_MAX, SERVICE, NoLan, local_network
from peer.finding.real import find_for_joining
from tests.support.members import a_member, card_of, counted_bytes

HERE = "127.0.0.1"
pytestmark = pytest.mark.slow


async def test_what_one_announces_the_other_finds_and_loses_again():
    async with local_network(HERE) as one, local_network(HERE) as other, asyncio.timeout(20):
        async with one.announced("covey-test", 8123, standing=True):
            assert await other.look(10) == [
                LanServer("covey-test", "http://127.0.0.1:8123", standing=True)
            ]
        while other.servers():
            other.changed.clear()
            await other.changed.wait()


async def test_what_is_announced_for_a_group_is_found_by_its_members_alone():
    ours, others = Beacon(b"k" * 32), Beacon(b"l" * 32)
    async with (
        local_network(HERE, ours) as one,
        local_network(HERE, ours) as other,
        local_network(HERE, others) as another_group,
        local_network(HERE) as anybody,
        asyncio.timeout(20),
        one.announced("covey-test", 8123, standing=False),
    ):
        assert [found.url for found in await other.look(10)] == ["http://127.0.0.1:8123"]
        await asyncio.sleep(1)  # heard by all at the same time
        assert another_group.servers() == anybody.servers() == []


async def test_an_embedded_server_is_found_and_lets_members_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COVEY_LAN_ADDRESS", HERE)
    anna = a_member("anna")
    async with local_network(HERE) as network, asyncio.timeout(30):
        async with embedded_server(network, tmp_path, counted_bytes("embedded")) as server:
            assert await is_there(server.url)
            remembered, urls = await find_for_joining("the smiths", None)
            assert (remembered, urls) == ("lan", [server.url])
            rendezvous = Rendezvous(
                servers=OneServer(urls[0]),
                credentials=anna,
                card=card_of(anna),
                create=True,
                random_bytes=counted_bytes("mdns"),
                jitter=random.Random(1),
            )
            running = asyncio.create_task(rendezvous.run())
            await rendezvous.joined()
            assert rendezvous.created
            running.cancel()
            await asyncio.wait([running])
        assert not await is_there(server.url)


async def test_a_computer_without_this_address_is_told_so():
    with pytest.raises(NoLan):
        async with local_network("203.0.113.77"):
            pass


async def test_a_flood_of_announcements_is_looked_at_a_few_at_a_time():
    async with local_network(HERE) as network:
        for number in range(10 * NAMES_MAX):
            for change in (ServiceStateChange.Added, ServiceStateChange.Updated):
                network.heard(
                    zeroconf=network._zeroconf.zeroconf,
                    service_type=SERVICE,
                    name=f"{number}.{SERVICE}",
                    state_change=change,
                )
        assert len(network._asking) == len(network._found) == NAMES_MAX
