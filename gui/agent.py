"""The agent with its pages: this member at work, or, before it has joined, the way to become one.

There is one agent for each state folder: whoever holds `pages.lock` in it. It serves the pages from
its first moment. While there is no member it waits for a page to make one, and then becomes that
member without a restart; when the member leaves its group, it waits again. The member's own lock
and local API are those of `covey agent` without pages, so every command finds it the same way.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
from collections.abc import AsyncIterator
from pathlib import Path

from gui.integration.here import integrate_new_member
from gui.web.desk import Desk
from gui.web.folders import Suggestions
from gui.web.jobs import Jobs
from gui.web.live import Live
from gui.web.server import serve_pages
from peer.blocking import run_blocking
from peer.cli.running import Entry
from peer.service import Service
from peer.state import StateFolder

PAGES_FILE, LOCK_FILE = "pages.json", "pages.lock"


def random_bytes(size: int) -> bytes:
    """`peer.ports.RandomBytes` from the operating system."""
    return os.urandom(size)  # noqa: TID251 - the composition root hands it out


def pages_file(state: StateFolder) -> Path:
    """Where the agent tells how its pages are reached."""
    return state.home / PAGES_FILE


async def run_agent(
    state: StateFolder, entry: Entry, *, scheduled: bool = True, take_over: bool = False
) -> None:
    """The agent of this folder, until cancelled. Raises AlreadyRunning, Problem, StateError."""
    state.prepare()
    with state.lock_of(LOCK_FILE):
        jobs = Jobs(lambda job, event: live.tell_job(job, event))
        loop = asyncio.get_running_loop()
        desk = Desk(
            state,
            entry,
            jobs,
            run_blocking,
            platform.node().partition(".")[0] or "computer",
            Suggestions(loop.time),
        )
        live = Live(desk.look)
        async with serve_pages(desk, live, pages_file(state), random_bytes=random_bytes):
            try:
                while True:
                    if not desk.joined.is_set():
                        await desk.joined.wait()
                        await run_blocking(integrate_new_member, state)
                    await entry.run_agent(
                        state,
                        lambda service: _at_the_desk(desk, service),
                        scheduled=scheduled,
                        take_over=take_over,
                    )
                    if state.joined:
                        return
                    desk.joined.clear()
            finally:
                await jobs.close()


@contextlib.asynccontextmanager
async def _at_the_desk(desk: Desk, service: Service) -> AsyncIterator[None]:
    desk.service = service
    try:
        yield
    finally:
        desk.service = None
