"""The addresses of the pages' server, and the whole of it put together."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import mimetypes
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
from aiohttp import web

from gui.web import sheet
from gui.web.desk import Desk
from gui.web.door import Door, proof
from gui.web.guard import HOST, cookie_name, guard, strict_headers
from gui.web.jobs import as_event
from gui.web.live import Live
from peer.faults import problem_of
from peer.service import Problem
from peer.state import write_atomic

log = logging.getLogger("covey.gui")

PAGES = Path(__file__).parents[1] / "pages"
NONCE_HEADER = "Covey-Nonce"
BODY_BYTES_MAX = 4 << 20  # a few thousand long paths to mark at once
SHUTDOWN_S = 0.5
_KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_SERVED = (".js", ".css", ".svg", ".html", ".json", ".png", ".webp", ".woff2")
_UNSAFE = ("..", "\\", "\x00")


class PagesFile(msgspec.Struct, frozen=True):
    """What pages.json holds."""

    port: int
    secret: str
    pid: int


class PagesServer:
    """Answers browsers. `now_s` is the loop's clock."""

    def __init__(self, desk: Desk, live: Live, door: Door, now_s: Callable[[], float]) -> None:
        self._desk, self._live, self._door, self._now_s = desk, live, door, now_s

    def app(self) -> web.Application:
        """All addresses."""
        app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[guard(self._door)])
        app.on_response_prepare.append(strict_headers)
        app.router.add_get("/enter", self._enter)
        app.router.add_post("/key", self._key)
        app.router.add_get("/", self._index)
        app.router.add_get("/pages/{name:.+}", self._file)
        app.router.add_get("/api/events", self._events)
        app.router.add_get("/api/sheet.pdf", self._sheet_pdf)
        app.router.add_get("/api/sheet.svg", self._sheet_svg)
        app.router.add_post("/api/{method}", self._call)
        return app

    # --- coming in --------------------------------------------------------------------------

    async def _enter(self, request: web.Request) -> web.StreamResponse:
        session = self._door.enter(request.query.get("key", ""), self._now_s())
        if session is None:
            text = "This address was used before, or is too old. Open Covey from your programs."
            return web.Response(status=403, text=text)
        response = web.Response(status=303, headers={"Location": "/" + _fragment(request)})
        response.set_cookie(
            cookie_name(request), session, httponly=True, samesite="Strict", path="/"
        )
        return response

    async def _key(self, request: web.Request) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").removeprefix("Proof ")
        nonce = request.headers.get(NONCE_HEADER, "")
        if not nonce or not self._door.knows_secret(given, nonce):
            return web.Response(status=401, text="The proof is missing or wrong.")
        key = self._door.new_key(self._now_s())
        told = proof(self._door.secret, "answer", nonce, key)
        return web.json_response({"key": key, "proof": told})

    # --- files ------------------------------------------------------------------------------

    async def _index(self, request: web.Request) -> web.StreamResponse:
        return await self._give("index.html")

    async def _file(self, request: web.Request) -> web.StreamResponse:
        return await self._give(request.match_info["name"])

    async def _give(self, name: str) -> web.StreamResponse:
        parts = name.split("/")
        hidden = any(part.startswith(".") or not part for part in parts)
        if hidden or any(bad in name for bad in _UNSAFE) or not name.endswith(_SERVED):
            return web.Response(status=404, text="There is no such page.")
        path = PAGES.joinpath(*parts)
        try:
            data = await asyncio.to_thread(path.read_bytes)
        except OSError:
            return web.Response(status=404, text="There is no such page.")
        kind = _KINDS.get(path.suffix) or mimetypes.guess_type(name)[0] or "application/json"
        return web.Response(body=data, content_type=kind, charset="utf-8")

    # --- asking -----------------------------------------------------------------------------

    async def _call(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        if not self._desk.knows(method):
            return _problem(Problem("Nobody here can do that.", code="unknown_call"), 404)
        body = await request.read()
        try:
            given = json.loads(body or b"{}")
        except (ValueError, RecursionError):
            return _problem(Problem("The request is no JSON.", code="bad_request"), 409)
        try:
            answer = await self._desk.call(method, given)
        except Problem as problem:
            return _problem(problem, 409)
        except Exception as error:
            log.exception("the call %s failed", method)
            return _problem(problem_of(error), 500)
        started = isinstance(answer, dict) and answer.keys() == {"job"}
        await self._live.tell_state()
        return web.json_response(answer, status=202 if started else 200)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        try:
            listener = self._live.add()
        except RuntimeError:
            return web.Response(status=503, text="Too many pages are open.")
        try:
            headers = {"Content-Type": "text/event-stream"}
            response = web.StreamResponse(headers=headers)
            await response.prepare(request)
            await self._live.tell_state(listener)
            async with contextlib.aclosing(listener.lines()) as lines:
                async for line in lines:
                    await response.write(line)
            return response
        finally:
            self._live.remove(listener)

    # --- the sheet --------------------------------------------------------------------------

    async def _sheet_pdf(self, request: web.Request) -> web.StreamResponse:
        try:
            data = await asyncio.to_thread(sheet.sheet_pdf, await self._desk.sheet_of())
        except Problem as problem:
            return _problem(problem, 409)
        name = 'attachment; filename="covey-recovery-sheet.pdf"'
        headers = {"Content-Disposition": name}
        return web.Response(body=data, content_type="application/pdf", headers=headers)

    async def _sheet_svg(self, request: web.Request) -> web.StreamResponse:
        try:
            data = sheet.qr_svg((await self._desk.sheet_of()).words)
        except Problem as problem:
            return _problem(problem, 409)
        return web.Response(body=data, content_type="image/svg+xml")


def _fragment(request: web.Request) -> str:
    """The page that is asked for with the key, as the part of the address after #."""
    page = request.query.get("page", "")
    return f"#/{page}" if page and all(c.isalnum() or c in "/_-.~%:@" for c in page) else ""


def _remove(pages_file: Path) -> None:
    pages_file.unlink(missing_ok=True)


def _problem(problem: Problem, status: int) -> web.Response:
    return web.json_response(as_event(problem), status=status)


@contextlib.asynccontextmanager
async def serve_pages(
    desk: Desk, live: Live, pages_file: Path, *, random_bytes: Callable[[int], bytes]
) -> AsyncIterator[str]:
    """Serve while the context lasts; gives the address. `pages_file` is removed at the end."""
    door = Door(random_bytes)
    server = PagesServer(desk, live, door, asyncio.get_running_loop().time)
    runner = web.AppRunner(
        server.app(), handler_cancellation=True, access_log=None, shutdown_timeout=SHUTDOWN_S
    )
    await runner.setup()
    looking = asyncio.create_task(live.run())
    try:
        await web.TCPSite(runner, HOST, 0).start()
        port = int(runner.addresses[0][1])
        told = PagesFile(port=port, secret=door.secret, pid=os.getpid())
        write_atomic(pages_file, msgspec.json.encode(told))
        try:
            yield f"http://{HOST}:{port}"
        finally:
            _remove(pages_file)
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        await runner.cleanup()
