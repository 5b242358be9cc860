"""What pages hear by themselves: the state at once and when it changes, and jobs as they go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from gui.web import live as live_module
from gui.web.live import LISTENERS_MAX, QUIET_EVERY_S, WAITING_MAX, Listener, Live
from netsim.world.clock import run_at_once
from tests.gui.web.conftest import PATIENCE_S, Pages, until
from tests.support.fake_service import ODD_PATH


async def events(stream: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, Any]]:
    """As a browser reads them."""
    name = ""
    async for line in stream.content:
        kind, _, value = line.decode().rstrip("\n").partition(": ")
        if kind == "event":
            name = value
        elif kind == "data":
            yield name, json.loads(value)


async def test_a_page_hears_at_once_that_there_is_no_member_yet(pages: Pages):
    browser = await pages.browser()
    async with asyncio.timeout(PATIENCE_S), browser.get("/api/events") as stream:
        assert stream.content_type == "text/event-stream"
        name, told = await anext(events(stream))
    assert (name, told) == ("state", {"joined": False, "status": None, "jobs": {}})


async def test_a_page_hears_of_changes_and_of_every_job(pages: Pages):
    browser = await pages.browser()
    async with asyncio.timeout(PATIENCE_S), browser.get("/api/events") as stream:
        heard = events(stream)
        await anext(heard)
        pages.desk.service = pages.service
        pages.desk.joined.set()
        name, told = await anext(heard)
        assert (name, told["joined"]) == ("state", True)
        assert told["status"]["sheet"] == "missing"
        assert told["status"]["marks"] == [ODD_PATH]
        _, started = await pages.ask("backup")
        kinds = []
        async for name, told in heard:
            if name == "job":
                assert told["job"] == started["job"]
                kinds.append(told["event"])
            elif told["jobs"].get(started["job"], {}).get("last", {}).get("event") == "done":
                break
    assert kinds == ["progress", "progress", "note", "done"]


async def test_a_look_that_fails_ends_the_news_for_nobody(pages: Pages, caplog):
    pages.desk.service = pages.service
    pages.service.problem = OSError("the disk is tired")
    browser = await pages.browser()
    async with asyncio.timeout(PATIENCE_S), browser.get("/api/events") as stream:
        await until(lambda: "the state cannot be told" in caplog.text)
        pages.service.problem = None
        name, told = await anext(events(stream))
    assert (name, told["status"]["group"]) == ("state", "smiths")


async def test_no_more_pages_than_can_be_served_are_open(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(live_module, "LISTENERS_MAX", 1)
    browser = await pages.browser()
    async with browser.get("/api/events"), browser.get("/api/events") as refused:
        assert refused.status == 503
    assert LISTENERS_MAX > 1


async def test_a_page_that_went_away_is_forgotten(pages: Pages, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live_module, "LISTENERS_MAX", 1)
    browser = await pages.browser()
    async with browser.get("/api/events"):
        pass
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with browser.get("/api/events") as stream:
                if stream.status == 200:
                    break


async def test_a_slow_page_loses_the_oldest_events_and_never_the_newest_state():
    listener = Listener()
    for number in range(WAITING_MAX + 3):
        listener.hear(b"%d" % number)
        listener.hear_state(b"state %d" % number)
    lines = listener.lines()
    heard = [await anext(lines) for _ in range(WAITING_MAX + 1)]
    assert heard[0] == b"3"
    assert heard[-1] == b"state %d" % (WAITING_MAX + 2)
    await lines.aclose()


def test_a_quiet_line_is_sent_every_15_seconds():
    async def listen() -> list[float]:
        lines = Listener().lines()
        now = asyncio.get_running_loop().time
        at = []
        for _ in range(3):
            assert (await anext(lines)).startswith(b":")
            at.append(now())
        await lines.aclose()
        return at

    assert run_at_once(listen()) == [QUIET_EVERY_S, 2 * QUIET_EVERY_S, 3 * QUIET_EVERY_S]


async def test_the_state_is_told_when_it_changed_and_not_otherwise():
    state = {"n": 1}

    async def look() -> dict[str, Any]:
        return dict(state)

    live = Live(look)
    listener = live.add()
    lines = listener.lines()
    await live.tell_state()
    assert b'"n": 1' in await anext(lines)
    await live.tell_state()
    state["n"] = 2
    await live.tell_state()
    assert b'"n": 2' in await anext(lines)
    await lines.aclose()
