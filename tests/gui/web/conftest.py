"""A pages' server on a port of its own, and browsers that are let in or not."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gui.web.desk import Desk
from gui.web.door import proof
from gui.web.folders import Suggestions
from gui.web.jobs import Jobs
from gui.web.live import Live
from gui.web.server import NONCE_HEADER, PagesFile, serve_pages
from peer.blocking import run_blocking
from peer.service import Event, Problem, done
from peer.state import Config, Secrets, StateFolder
from tests.support.fake_service import FakeService

PATIENCE_S = 10.0


@dataclass
class Joined:
    """What joining gives back."""

    words: Sequence[str]
    created: bool


@dataclass
class FakeEntry:
    """Becoming a member without a server; `refusal` is what a server would refuse with."""

    asked: list[dict[str, Any]] = field(default_factory=list)
    refusal: Exception | None = None
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.may_answer.set()

    async def join(self, state: StateFolder, **given: Any) -> Joined:
        self.asked.append(given)
        await self.may_answer.wait()
        if self.refusal is not None:
            raise self.refusal
        config = Config(
            group=given["group"],
            server=given["server"] or "",
            member_name=given["name"],
            offer_bytes=given["space"],
            created_ns=1_700_000_000 * 10**9,
        )
        state.create(config, state_secrets())
        return Joined(["abandon"] * 24, given["create"])

    async def recover(self, state: StateFolder, **given: Any) -> AsyncIterator[Event]:
        self.asked.append(given)
        if self.refusal is not None:
            raise self.refusal
        yield done(ok=True, message="Everything is here again.", summary={})


def state_secrets() -> Secrets:
    return Secrets(master=bytes(32), group_seed=bytes(32), box_key=bytes(32), name_id=bytes(32))


@dataclass
class Pages:
    """One agent's pages' server."""

    url: str
    file: Path
    state: StateFolder
    desk: Desk
    jobs: Jobs
    entry: FakeEntry
    service: FakeService
    suggestions: Suggestions
    stack: AsyncExitStack

    @property
    def secret(self) -> str:
        return json.loads(self.file.read_bytes())["secret"]

    @property
    def told(self) -> PagesFile:
        return PagesFile(**json.loads(self.file.read_bytes()))

    async def stranger(self) -> aiohttp.ClientSession:
        """A browser that nobody let in."""
        jar = aiohttp.CookieJar(unsafe=True)
        made = aiohttp.ClientSession(self.url, cookie_jar=jar)
        return await self.stack.enter_async_context(made)

    async def browser(self) -> aiohttp.ClientSession:
        """A browser that came in with a one-time key."""
        browser = await self.stranger()
        async with browser.get("/enter", params={"key": await self.key()}) as answer:
            assert answer.status == 200
        return browser

    async def key(self) -> str:
        stranger = await self.stranger()
        given = proof(self.secret, "ask", "once")
        wanted = {"Authorization": f"Proof {given}", NONCE_HEADER: "once"}
        async with stranger.post("/key", headers=wanted) as answer:
            return (await answer.json())["key"]

    def last(self, job: str) -> Event:
        """The newest event of a job."""
        event: Event = self.jobs.as_answer()[job]["last"]
        return event

    async def ask(self, method: str, given: object = None) -> tuple[int, Any]:
        """One call by a browser of its own."""
        browser = await self.browser()
        async with browser.post(f"/api/{method}", json=given or {}) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def pages(tmp_path: Path) -> AsyncIterator[Pages]:
    """The server of an agent that is in no group yet; `pages.desk.service` makes it one."""
    numbers = itertools.count(1)
    state = StateFolder(tmp_path / "state")
    state.prepare()
    entry = FakeEntry()
    async with AsyncExitStack() as stack:
        jobs = Jobs(lambda job, event: live.tell_job(job, event))
        suggestions = Suggestions(asyncio.get_running_loop().time, lambda: [tmp_path / "Documents"])
        desk = Desk(state, entry, jobs, run_blocking, "laptop", suggestions)
        live = Live(desk.look)
        file = tmp_path / "pages.json"
        stack.push_async_callback(jobs.close)
        url = await stack.enter_async_context(
            serve_pages(desk, live, file, random_bytes=lambda size: next(numbers).to_bytes(size))
        )
        yield Pages(url, file, state, desk, jobs, entry, FakeService(), suggestions, stack)


def problem_of(answer: tuple[int, Any]) -> Problem:
    """The problem of an answer, which must be one that people can read."""
    status, told = answer
    assert status == 409
    assert told["text"].endswith((".", "?"))
    return Problem(told["text"], told["next_step"], code=told["code"])


async def until(holds: Callable[[], object]) -> None:
    """Return as soon as this holds; what the server does then is in its own hands."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - there is no event for everything that is looked at
            await asyncio.sleep(0.001)
