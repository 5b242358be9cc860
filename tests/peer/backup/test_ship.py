"""Shares on their way: friends who go, and what becomes of what they were to get."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from datachannel.messages import Put, Refused
from peer.backup import ship
from signaling.messages import MemberId
from tests.support.small_group import small_group


@pytest.fixture
def files(tmp_path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "file").write_bytes(os.urandom(300_000))
    return folder


async def test_a_friend_that_the_server_says_is_offline_is_given_up_sooner(
    tmp_path, files, monkeypatch
):
    monkeypatch.setattr(ship, "OFFLINE_PATIENCE_S", 0.1)
    monkeypatch.setattr(ship, "RETRY_S", 0.05)
    async with small_group(tmp_path / "group", 5) as group:
        holder = next(iter(group.holders.values()))
        honest = holder.handler

        async def go(remote: MemberId, request, stream):
            if isinstance(request, Put):
                holder.online = False
                for link in holder.links:
                    await link.close()
            else:
                await honest(remote, request, stream)

        holder.handler = go
        async with asyncio.timeout(ship.PATIENCE_S / 3):
            result = await group.backup(files)
        assert result["ok"]
        assert list(result["summary"]["problems"]) == [holder.card.name]


async def test_a_friend_that_is_busy_all_the_time_is_given_up_for_tonight(
    tmp_path, files, monkeypatch
):
    monkeypatch.setattr(ship, "PATIENCE_S", 0.1)
    monkeypatch.setattr(ship, "RETRY_S", 0.05)
    async with small_group(tmp_path / "group", 5) as group:
        holder = next(iter(group.holders.values()))
        honest = holder.handler

        async def be_busy(remote: MemberId, request, stream):
            if isinstance(request, Put):
                await stream.send(Refused("busy", "later"))
                await stream.finish()
            else:
                await honest(remote, request, stream)

        holder.handler = be_busy
        async with asyncio.timeout(20):
            result = await group.backup(files)
        assert result["ok"]
        assert list(result["summary"]["problems"]) == [holder.card.name]


@pytest.mark.slow
async def test_the_time_in_which_we_were_away_is_not_counted_against_friends(
    tmp_path, files, monkeypatch
):
    monkeypatch.setattr(ship, "OFFLINE_PATIENCE_S", 1.0)
    monkeypatch.setattr(ship, "RETRY_S", 0.05)
    async with small_group(tmp_path / "group", 5) as group:
        holders = [(holder, holder.handler) for holder in group.holders.values()]
        loop = asyncio.get_running_loop()

        def reach(there: bool) -> None:
            group.reached = there

        def come_back() -> None:
            for holder, handler in holders:
                holder.handler, holder.online = handler, True

        async def go(remote: MemberId, request, stream):
            if holders[0][0].online:  # links break first, the server is seen to be gone later
                loop.call_later(0.3, reach, False)
                loop.call_later(2.5, reach, True)
                loop.call_later(2.8, come_back)
            for holder, _ in holders:
                holder.online = False
                for link in holder.links:
                    await link.close()

        for holder, honest in holders:
            holder.handler = _go_at_put(honest, go)
        async with asyncio.timeout(20):
            result = await group.backup(files)
        assert result["ok"]
        assert not result["summary"]["problems"]


async def test_friends_are_waited_for_while_it_is_our_own_network_that_is_away(
    tmp_path, files, monkeypatch
):
    monkeypatch.setattr(ship, "OFFLINE_PATIENCE_S", 0.1)
    monkeypatch.setattr(ship, "RETRY_S", 0.05)
    async with small_group(tmp_path / "group", 5) as group:
        holders = [(holder, holder.handler) for holder in group.holders.values()]
        loop = asyncio.get_running_loop()

        def come_back() -> None:
            group.reached = True
            for holder, handler in holders:
                holder.handler, holder.online = handler, True

        async def go(remote: MemberId, request, stream):
            if group.reached:
                group.reached = False
                loop.call_later(1.0, come_back)
            for holder, _ in holders:
                holder.online = False
                for link in holder.links:
                    await link.close()

        for holder, honest in holders:
            holder.handler = _go_at_put(honest, go)
        async with asyncio.timeout(20):
            result = await group.backup(files)
        assert result["ok"]
        assert not result["summary"]["problems"]


def _go_at_put(honest, go):
    async def handler(remote: MemberId, request, stream):
        await (go if isinstance(request, Put) else honest)(remote, request, stream)

    return handler
