"""The pages with answers that a test wrote, for states that a real agent seldom is in.

It speaks what gui/web speaks (the same addresses, headers and events) and decides nothing. What the
pages do with a real agent is tested in tests/system/test_app.py.
"""

from __future__ import annotations

import asyncio
import json
import mimetypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

PAGES = Path(__file__).parents[3] / "gui" / "pages"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
QR = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">'
    '<path d="M0 0h3v3H0zm6 0h3v3H6zM0 6h3v3H0zm4-2h1v1H4z"/></svg>'
)
STREAMS = ("backup", "restore", "check", "find", "recover", "leave")


class Refused(Exception):
    """An answer that is a problem."""

    def __init__(self, code: str, text: str, next_step: str = "") -> None:
        super().__init__(text)
        self.answer = {"event": "problem", "code": code, "text": text, "next_step": next_step}


class Agent:
    """What the pages see: `state` comes as an event, `answers` says what each call gives."""

    def __init__(self, state: dict[str, Any], answers: dict[str, Any]) -> None:
        self.state = state
        self.answers = answers
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.url = ""
        self._listeners: list[asyncio.Queue[bytes]] = []
        self._loop: asyncio.AbstractEventLoop
        self._jobs = 0

    def tell(self, **changes: Any) -> None:
        """Change the status and let the pages know."""
        self.state["status"] = {**(self.state.get("status") or {}), **changes}
        self.tell_state()

    def tell_state(self, **changes: Any) -> None:
        self.state.update(changes)
        self._send("state", self.state)

    def tell_job(self, job: str, **event: Any) -> None:
        """One event of long work."""
        self._send("job", {"job": job, **event})

    def hang_up(self) -> None:
        """End every event stream, as an agent does that ends."""
        self._loop.call_soon_threadsafe(lambda: [one.put_nowait(b"") for one in self._listeners])

    def asked_for(self, method: str) -> list[dict[str, Any]]:
        return [given for name, given in self.asked if name == method]

    def _send(self, name: str, value: object) -> None:
        data = f"event: {name}\ndata: {json.dumps(value)}\n\n".encode()
        self._loop.call_soon_threadsafe(lambda: [one.put_nowait(data) for one in self._listeners])

    async def events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        queue.put_nowait(f"event: state\ndata: {json.dumps(self.state)}\n\n".encode())
        self._listeners.append(queue)
        try:
            while True:
                data = await queue.get()
                if not data:
                    return response
                await response.write(data)
        except (ConnectionResetError, asyncio.CancelledError):
            return response
        finally:
            self._listeners.remove(queue)

    async def call(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        given = await request.json()
        self.asked.append((method, given))
        answer = self.answers.get(method)
        try:
            if isinstance(answer, Callable):  # type: ignore[arg-type]
                answer = answer(given)
            if isinstance(answer, Refused):
                raise answer
        except Refused as refused:
            return web.json_response(refused.answer, status=409)
        if method in STREAMS:
            self._jobs += 1
            return web.json_response({"job": f"job-{self._jobs}"}, status=202)
        return web.json_response(answer)

    async def page(self, request: web.Request) -> web.Response:
        name = request.match_info.get("name") or "index.html"
        file = PAGES / name
        if not file.is_file():
            return web.Response(status=404)
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return web.Response(body=file.read_bytes(), content_type=kind, charset="utf-8")

    async def picture(self, request: web.Request) -> web.Response:
        return web.Response(text=QR, content_type="image/svg+xml")

    def app(self) -> web.Application:
        @web.middleware
        async def headers(
            request: web.Request, handler: Callable[[web.Request], Any]
        ) -> web.StreamResponse:
            response: web.StreamResponse = await handler(request)
            if not response.prepared:
                response.headers["Content-Security-Policy"] = CSP
            return response

        app = web.Application(middlewares=[headers])
        app.router.add_get("/", self.page)
        app.router.add_get("/pages/{name:.*}", self.page)
        app.router.add_get("/api/events", self.events)
        app.router.add_get("/api/sheet.svg", self.picture)
        app.router.add_post("/api/{method}", self.call)
        return app


@contextmanager
def served(agent: Agent) -> Iterator[Agent]:
    """Serve an agent from a thread of its own, so that a test may drive a browser meanwhile."""
    ready = threading.Event()
    over: list[asyncio.Event] = []

    async def serve() -> None:
        agent._loop = asyncio.get_running_loop()
        over.append(asyncio.Event())
        runner = web.AppRunner(agent.app(), shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        agent.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await over[0].wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="scripted agent")
    thread.start()
    assert ready.wait(10)
    try:
        yield agent
    finally:
        agent._loop.call_soon_threadsafe(over[0].set)
        thread.join(10)
