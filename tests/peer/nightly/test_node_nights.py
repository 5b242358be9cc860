"""Nights that come by themselves in a real node: whose they are, and that a person goes first."""

import asyncio
import contextlib
import os
from types import SimpleNamespace

import pytest

from peer.backup.marks import add_marks
from peer.nightly import keeper as keeping
from tests.peer.upkeep.test_check_node import node_of
from tests.support.nights import NOON_NS, Computer, keeper_for_tests
from tests.support.small_group import small_group

DAY_NS = 86_400 * 10**9


@pytest.fixture
async def home(tmp_path, monkeypatch):
    """A node with something to back up, whose night is due."""
    monkeypatch.setattr(keeping, "LOOK_EVERY_S", 0.01)
    files = tmp_path / "files"
    files.mkdir()
    (files / "file").write_bytes(os.urandom(10_000))
    async with small_group(tmp_path / "group", 3) as group:
        add_marks(group.member.catalog, [str(files)])
        keeper = keeper_for_tests(tmp_path / "keeper", Computer(now_ns=NOON_NS + DAY_NS))
        node = node_of(group, keeper)
        task = asyncio.create_task(keeper.run(node, scheduled=True))
        yield SimpleNamespace(group=group, keeper=keeper, node=node)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(true) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_night_that_is_due_comes_by_itself_and_is_noted(home):
    await until(lambda: home.keeper.activity()["nights"])
    (night,) = home.keeper.activity()["nights"]
    assert night["ok"], night
    assert not night["asked_for"]
    assert (night["files"], night["friends"]) == (1, 3)
    assert night["new_bytes"] > 10_000
    assert night["shipped_bytes"] > night["new_bytes"]


async def test_what_a_person_asks_for_ends_the_night_that_came_by_itself_and_is_done(
    home, monkeypatch
):
    start, held = home.group.member.start_engine, []

    async def slow(message):
        held.append(message)
        if len(held) == 1:
            await asyncio.sleep(3600)
        return await start(message)

    monkeypatch.setattr(home.group.member, "start_engine", slow)
    await until(lambda: held)
    assert (await home.node.status())["doing"] == "backing up"
    events = [event async for event in home.node.backup()]
    assert events[-1]["ok"]
    first, second = home.keeper.activity()["nights"]
    assert first["message"] == "You asked for something else. The backup goes on later."
    assert (first["asked_for"], second["asked_for"]) == (False, True)
