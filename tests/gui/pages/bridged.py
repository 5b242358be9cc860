"""The pages before a real agent: what they ask goes to it, and what it tells comes to them.

Like `scripted.Agent` this is only a way in for tests of the pages; it keeps no rules of its own.
What the service does not have, a test says in `answers`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import web

from peer.api import CALLS, STREAMS, ApiClient, connect
from peer.service import Event, Problem
from tests.gui.pages.scripted import Agent

STATUS_EVERY_S = 0.25


class Bridged(Agent):
    """An agent that is there, by the file in which it says where."""

    def __init__(self, api_file: Path, answers: dict[str, Any]) -> None:
        super().__init__({"joined": True, "status": None, "jobs": {}}, answers)
        self._api_file = api_file
        self._client: ApiClient
        self._tasks: set[asyncio.Task[None]] = set()

    def app(self) -> web.Application:
        app = super().app()
        app.cleanup_ctx.append(self._connected)
        return app

    async def _connected(self, app: web.Application) -> AsyncIterator[None]:
        async with connect(self._api_file) as self._client:
            self.state["status"] = await self._client.status()
            watching = asyncio.create_task(self._watch())
            yield
            for task in (watching, *self._tasks):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(Problem):
                status = await self._client.status()
                if status != self.state["status"]:
                    self.tell_state(status=status)
            await asyncio.sleep(STATUS_EVERY_S)

    async def call(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        given = await request.json()
        try:
            if method in STREAMS:
                self._jobs += 1
                job = f"job-{self._jobs}"
                task = asyncio.create_task(self._stream(job, method, given))
                self._tasks.add(task)
                return web.json_response({"job": job}, status=202)
            if method in CALLS:
                return web.json_response(await getattr(self._client, method)(**given))
        except Problem as problem:
            answer = {"text": problem.text, "next_step": problem.next_step, "code": problem.code}
            return web.json_response(answer, status=409)
        return await super().call(request)

    async def _stream(self, job: str, method: str, given: dict[str, Any]) -> None:
        try:
            async for event in getattr(self._client, method)(**given):
                self._tell(job, method, event)
        except Problem as problem:
            text = {"text": problem.text, "next_step": problem.next_step}
            self._tell(job, method, {"event": "problem", **text})

    def _tell(self, job: str, method: str, event: Event) -> None:
        self.state["jobs"][job] = {"what": method, "last": event}
        self.tell_job(job, **event)
        if event["event"] in ("done", "problem"):
            self.tell_state()
