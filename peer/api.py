"""A member's `Service` over a local socket: `serve_api` is one end, `ApiClient` the other.

The agent listens on a free port of 127.0.0.1 and writes port and token to `api.json` (0600) in the
state folder; who can read that file is the owner. Every call is `POST /v1/<method>` with one JSON
object of arguments and the token as bearer. Short calls answer one JSON value, long ones a line of
JSON for each event as it happens. A caller that hangs up ends the work that it asked for.

A web page in the owner's browser can reach the port too, so a request is refused unless its Host
is this very address (DNS rebinding), it has no Origin (cross-site), and the token is right.

JSON carries paths with bytes that are not UTF-8 as escaped lone surrogates, which Python's own
`json` keeps and faster libraries refuse; that is why it is used here.

Not here: what the calls mean (service.py), and any decision.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import aiohttp
import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware

from peer.calls import CALLS, STREAMS
from peer.faults import problem_of
from peer.service import Answer, Event, Problem, Service
from peer.state import write_atomic

_log = logging.getLogger("covey.peer")

HOST = "127.0.0.1"
TOKEN_BYTES = 32
BODY_BYTES_MAX = 4 * 1024 * 1024  # a few thousand long paths to mark at once
LINE_BYTES_MAX = 4 * 1024 * 1024  # the longest event that a client reads
SHUTDOWN_S = 0.5  # an agent that was told to end waits so long for open requests


class _Door(msgspec.Struct, frozen=True):
    """What api.json holds."""

    port: int
    token: str
    pid: int


@contextlib.asynccontextmanager
async def serve_api(
    service: Service, api_file: Path, *, random_bytes: Callable[[int], bytes]
) -> AsyncIterator[int]:
    """Serve `service` while the context lasts; gives the port. `api_file` is removed at the end."""
    token = random_bytes(TOKEN_BYTES).hex()
    app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[_guard(token)])
    for name, arguments in CALLS.items():
        app.router.add_post(f"/v1/{name}", _call(service, name, arguments))
    for name, arguments in STREAMS.items():
        app.router.add_post(f"/v1/{name}", _stream(service, name, arguments))
    runner = web.AppRunner(
        app, handler_cancellation=True, access_log=None, shutdown_timeout=SHUTDOWN_S
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0).start()
        port = int(runner.addresses[0][1])
        door = _Door(port=port, token=token, pid=os.getpid())
        write_atomic(api_file, msgspec.json.encode(door))
        try:
            yield port
        finally:
            _remove(api_file)
    finally:
        await runner.cleanup()


def _remove(api_file: Path) -> None:
    api_file.unlink(missing_ok=True)


_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _guard(token: str) -> Middleware:
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def guard(request: web.Request, handler: _Handler) -> web.StreamResponse:
        local = request.transport and request.transport.get_extra_info("sockname")
        if not local or request.host != f"{HOST}:{local[1]}":
            return _refusal(403, "host", "This address is not served here.")
        if "Origin" in request.headers:
            return _refusal(403, "origin", "Web pages may not call this.")
        given = request.headers.get("Authorization", "").encode("utf-8", "replace")
        if not hmac.compare_digest(given, expected):
            return _refusal(401, "token", "The token is missing or wrong.")
        return await handler(request)

    return guard


def _call(service: Service, name: str, arguments: type[msgspec.Struct]) -> _Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            wanted = await _arguments(request, arguments)
            answer = await getattr(service, name)(**msgspec.structs.asdict(wanted))
        except Problem as problem:
            return _json(409, _as_event(problem))
        except Exception as error:
            _log.exception("the call %s failed", name)
            return _json(500, _as_event(problem_of(error)))
        return _json(200, answer)

    return handle


def _stream(service: Service, name: str, arguments: type[msgspec.Struct]) -> _Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            wanted = await _arguments(request, arguments)
        except Problem as problem:
            return _json(409, _as_event(problem))
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        try:
            events = getattr(service, name)(**msgspec.structs.asdict(wanted))
            async with contextlib.aclosing(events):
                async for event in events:
                    await response.write(_line(event))
        except Problem as problem:
            await response.write(_line(_as_event(problem)))
        except ConnectionResetError:
            raise  # the caller has gone; aiohttp tidies up
        except Exception as error:
            _log.exception("the call %s failed", name)
            await response.write(_line(_as_event(problem_of(error))))
        await response.write_eof()
        return response

    return handle


async def _arguments(request: web.Request, kind: type[msgspec.Struct]) -> msgspec.Struct:
    try:
        body = await request.read()
        return msgspec.convert(json.loads(body or b"{}"), kind)
    except (ValueError, web.HTTPRequestEntityTooLarge) as error:
        raise Problem(f"The request is not understood: {error}.", code="bad_request") from error


def _as_event(problem: Problem) -> Event:
    return {
        "event": "problem",
        "text": problem.text,
        "next_step": problem.next_step,
        "code": problem.code,
    }


def _line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=True).encode() + b"\n"


def _json(status: int, value: object) -> web.Response:
    return web.Response(status=status, body=_line(value), content_type="application/json")


def _refusal(status: int, code: str, text: str) -> web.Response:
    return _json(status, _as_event(Problem(text, code=code)))


class ApiClient:
    """`Service` of an agent in another process. Made by `connect`."""

    def __init__(self, http: aiohttp.ClientSession, base: str) -> None:
        self._http = http
        self._base = base

    async def status(self) -> Answer:
        return _dict(await self._call("status"))

    async def friends(self) -> list[Answer]:
        return _dicts(await self._call("friends"))

    async def matrix(self) -> Answer:
        return _dict(await self._call("matrix"))

    async def snapshots(self) -> list[Answer]:
        return _dicts(await self._call("snapshots"))

    async def history(self) -> Answer:
        return _dict(await self._call("history"))

    async def keep(self, rule: str) -> Answer:
        return _dict(await self._call("keep", rule=rule))

    async def confirm(self) -> Answer:
        return _dict(await self._call("confirm"))

    async def forget(self, snapshot: str) -> Answer:
        return _dict(await self._call("forget", snapshot=snapshot))

    async def move_server(self, url: str, alone: bool = False) -> Answer:
        return _dict(await self._call("move_server", url=url, alone=alone))

    async def limits(self) -> Answer:
        return _dict(await self._call("limits"))

    async def set_limits(self, up: str = "", down: str = "", spare: bool | None = None) -> Answer:
        return _dict(await self._call("set_limits", up=up, down=down, spare=spare))

    async def activity(self) -> Answer:
        return _dict(await self._call("activity"))

    async def pause(self, until: str) -> Answer:
        return _dict(await self._call("pause", until=until))

    async def schedule(self) -> Answer:
        return _dict(await self._call("schedule"))

    async def set_schedule(self, by_itself: bool) -> Answer:
        return _dict(await self._call("set_schedule", by_itself=by_itself))

    async def space(self) -> Answer:
        return _dict(await self._call("space"))

    async def set_space(self, offer_bytes: int) -> Answer:
        return _dict(await self._call("set_space", offer_bytes=offer_bytes))

    async def marks(self) -> list[str]:
        return _texts(await self._call("marks"))

    async def mark(self, paths: Sequence[str]) -> list[str]:
        return _texts(await self._call("mark", paths=list(paths)))

    async def unmark(self, paths: Sequence[str]) -> list[str]:
        return _texts(await self._call("unmark", paths=list(paths)))

    async def ls(self, snapshot: str, path: str = "") -> list[Answer]:
        return _dicts(await self._call("ls", snapshot=snapshot, path=path))

    async def tree(
        self, snapshot: str, path: str = "", offset: int = 0, count: int = 200, begins: str = ""
    ) -> Answer:
        given = {"path": path, "offset": offset, "count": count, "begins": begins}
        return _dict(await self._call("tree", snapshot=snapshot, **given))

    async def versions(self, path: str) -> list[Answer]:
        return _dicts(await self._call("versions", path=path))

    async def preview(self, snapshot: str, path: str, size_max: int) -> Answer:
        return _dict(await self._call("preview", snapshot=snapshot, path=path, size_max=size_max))

    async def left_out(self) -> list[Answer]:
        return _dicts(await self._call("left_out"))

    async def marks_detail(self) -> list[Answer]:
        return _dicts(await self._call("marks_detail"))

    async def ignore(self) -> Answer:
        return _dict(await self._call("ignore"))

    async def set_ignore(self, patterns: Sequence[str]) -> Answer:
        return _dict(await self._call("set_ignore", patterns=list(patterns)))

    async def suggest_ignore(self) -> Answer:
        return _dict(await self._call("suggest_ignore"))

    def find(self, pattern: str) -> AsyncIterator[Event]:
        return self._events("find", pattern=pattern)

    def backup(self) -> AsyncIterator[Event]:
        return self._events("backup")

    def restore(
        self,
        snapshot: str,
        to: str,
        paths: Sequence[str] = (),
        overwrite: str = "always",
        dry_run: bool = False,
    ) -> AsyncIterator[Event]:
        return self._events(
            "restore",
            snapshot=snapshot,
            to=to,
            paths=list(paths),
            overwrite=overwrite,
            dry_run=dry_run,
        )

    def check(self, what: str = "listings", percent: float = 100) -> AsyncIterator[Event]:
        return self._events("check", what=what, percent=percent)

    def leave(self, now: bool = False) -> AsyncIterator[Event]:
        return self._events("leave", now=now)

    def doctor(self) -> AsyncIterator[Event]:
        return self._events("doctor")

    async def _call(self, name: str, **arguments: object) -> object:
        try:
            async with self._http.post(self._base + name, data=_line(arguments)) as response:
                answer = json.loads(await response.read())
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _gone() from error
        if response.status != 200:
            raise _as_problem(answer)
        return answer

    async def _events(self, name: str, **arguments: object) -> AsyncIterator[Event]:
        ended = False
        try:
            async with self._http.post(self._base + name, data=_line(arguments)) as response:
                async for line in response.content:
                    event = json.loads(line)
                    if event.get("event") == "problem":
                        raise _as_problem(event)
                    ended = event.get("event") == "done"
                    yield event
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _gone() from error
        if not ended:
            raise _gone()


@contextlib.asynccontextmanager
async def connect(api_file: Path, *, pid: int = 0) -> AsyncIterator[ApiClient]:
    """The agent that wrote `api_file`; raises `Problem` with code `no_agent` when none did.

    With `pid`, what another process wrote (an agent that was killed, say) does not count.
    """
    door = _read_door(api_file)
    if pid and door.pid != pid:
        raise _no_agent()
    async with aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {door.token}"},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
        read_bufsize=LINE_BYTES_MAX,
    ) as http:
        yield ApiClient(http, f"http://{HOST}:{door.port}/v1/")


def _read_door(api_file: Path) -> _Door:
    try:
        return msgspec.json.decode(api_file.read_bytes(), type=_Door)
    except (OSError, msgspec.MsgspecError) as error:
        raise _no_agent() from error


def _no_agent() -> Problem:
    return Problem("No agent is running here.", "Run `covey agent`.", code="no_agent")


def _dict(answer: object) -> Answer:
    return msgspec.convert(answer, Answer)


def _dicts(answer: object) -> list[Answer]:
    return msgspec.convert(answer, list[Answer])


def _texts(answer: object) -> list[str]:
    return msgspec.convert(answer, list[str])


def _as_problem(answer: object) -> Problem:
    if not isinstance(answer, dict):
        return _gone()
    text, next_step, code = (str(answer.get(key, "")) for key in ("text", "next_step", "code"))
    return Problem(text, next_step, code=code)


def _gone() -> Problem:
    return Problem(
        "The agent went away before it answered.",
        "See whether `covey agent` still runs, start it again, and repeat what you asked.",
        code="agent_gone",
    )
