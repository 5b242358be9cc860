"""Asking a domain for its server: a real server in this process, honest or not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from peer.finding import wellknown
from peer.finding.order import NotFound
from peer.finding.wellknown import REDIRECTS_MAX, ask_domain, checked
from signaling.wellknown import (
    WELL_KNOWN_BYTES_MAX,
    WELL_KNOWN_PATH,
    WellKnownError,
    page,
    read_page,
)
from tests.support.raw_client import running_server

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PAGE = {"url": "https://covey.example.org", "version": 1}


@asynccontextmanager
async def domain(handler: Handler) -> AsyncIterator[str]:
    """A domain of this computer, which answers so."""
    app = web.Application()
    app.router.add_get("/{any:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"localhost:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def answering(answer: object, status: int = 200) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        assert request.path == WELL_KNOWN_PATH
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return web.Response(body=body, status=status)

    return handler


async def ask(name: str) -> str:
    return await ask_domain(name, plain_at_home=True)


async def test_a_domain_says_where_its_server_is():
    async with domain(answering(PAGE)) as name:
        assert await ask(name) == "https://covey.example.org"


async def test_a_covey_server_is_its_own_page(tmp_path: Path):
    async with running_server(tmp_path) as url:
        name = url.removeprefix("http://").replace("127.0.0.1", "localhost")
        assert await ask(name) == f"http://{name}"


async def test_a_server_behind_a_proxy_says_https_and_its_name(tmp_path: Path):
    async with (
        running_server(tmp_path, names=("covey.example.org",)) as url,
        aiohttp.ClientSession() as session,
    ):
        headers = {"X-Forwarded-Proto": "https", "Host": "something.else"}
        async with session.get(url + WELL_KNOWN_PATH, headers=headers) as answer:
            assert read_page(await answer.read()) == "https://covey.example.org"
        headers = {"X-Forwarded-Proto": "javascript"}
        async with session.get(url + WELL_KNOWN_PATH, headers=headers) as answer:
            assert answer.status == 400


async def test_only_https_is_asked():
    async with domain(answering(PAGE)) as name:
        with pytest.raises(NotFound, match="cannot be asked"):
            await ask_domain(name)


async def test_what_a_later_version_adds_is_no_harm():
    async with domain(answering(PAGE | {"more": [1, 2]})) as name:
        assert await ask(name) == "https://covey.example.org"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "not one of Covey"),
        (b"<html>", "not one of Covey"),
        (b"\xff\xfe", "not one of Covey"),
        (b"[" * 5000, "not one of Covey"),
        ([], "not one of Covey"),
        ({"version": 1}, "not one of Covey"),
        (PAGE | {"url": 7}, "not one of Covey"),
        (PAGE | {"url": "https://" + "x" * 400}, "not one of Covey"),
        (PAGE | {"version": 2}, "newer Covey"),
        (PAGE | {"url": "http://covey.example.org"}, "not https"),
        (PAGE | {"url": "http://localhost.example.org"}, "not https"),
        (PAGE | {"url": "file:///etc/passwd"}, "no sense"),
        (PAGE | {"url": "https://user:password@covey.example.org"}, "no sense"),
        (PAGE | {"url": "https://"}, "no sense"),
        (PAGE | {"url": "https://a.example\x1b[2J"}, "no sense"),
        (PAGE | {"filler": "x" * WELL_KNOWN_BYTES_MAX}, "too long"),
    ],
)
async def test_a_page_that_makes_no_sense_is_said_so(answer: object, words: str):
    async with domain(answering(answer)) as name:
        with pytest.raises(NotFound, match=words) as refused:
            await ask(name)
        assert refused.value.next_step
        assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize("status", [204, 404, 500])
async def test_a_domain_without_a_page_is_said_so(status: int):
    async with domain(answering(PAGE, status)) as name:
        with pytest.raises(NotFound, match="does not say where"):
            await ask(name)


async def test_some_redirects_are_followed_and_no_more():
    hops = 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal hops
        left = int(request.query.get("left", hops))
        if left:
            raise web.HTTPFound(f"/elsewhere?left={left - 1}")
        return web.json_response(PAGE)

    async with domain(handler) as name:
        hops = REDIRECTS_MAX
        assert await ask(name) == "https://covey.example.org"
        hops = REDIRECTS_MAX + 1
        with pytest.raises(NotFound, match="one place to the next"):
            await ask(name)


@pytest.mark.parametrize(
    "to", ["http://192.0.2.1/", "file:///etc/passwd", "//", "", "ftp://a.example/", "http://[::1"]
)
async def test_no_redirect_leads_away_from_https(to: str):
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": to})

    async with domain(handler) as name:
        with pytest.raises(NotFound):
            await ask(name)


async def test_an_endless_page_is_not_read_to_its_end():
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 4096)

    async with domain(handler) as name, asyncio.timeout(5):
        with pytest.raises(NotFound, match="too long"):
            await ask(name)


async def test_a_domain_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wellknown, "TIMEOUT_S", 0.2)
    gone = asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        await gone.wait()
        return web.Response()

    async with domain(handler) as name:
        with pytest.raises(NotFound, match="does not answer"):
            await ask(name)
        gone.set()


@given(st.binary(max_size=200))
def test_reading_a_page_ends_in_an_address_or_in_words(data: bytes):
    with suppress(WellKnownError):
        read_page(data)


@given(st.text(alphabet="abc.-_/:", max_size=100))
def test_a_page_is_read_as_it_was_written(text: str):
    assert read_page(page(text)) == text


def test_only_tests_may_go_without_https_and_only_at_home():
    assert checked("http://localhost:8000", plain_at_home=True)
    for url in ("http://localhost.example", "http://192.0.2.1", "ws://localhost"):
        with pytest.raises(WellKnownError):
            checked(url, plain_at_home=True)
