"""Who is let in, and what every answer says to the browser, errors included."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Mapping

import pytest

from gui.web.door import proof
from gui.web.guard import HEADERS
from gui.web.server import NONCE_HEADER
from tests.gui.web.conftest import Pages

ADDRESSES = ("/", "/pages/index.html", "/api/events", "/api/sheet.pdf", "/api/sheet.svg")


async def status_of(
    pages: Pages, path: str, headers: Mapping[str, str], *, method: str = "GET"
) -> int:
    browser = await pages.browser()
    async with browser.request(method, path, headers=headers) as answer:
        return answer.status


@pytest.mark.parametrize("path", ADDRESSES)
async def test_a_browser_without_the_cookie_sees_nothing(pages: Pages, path: str):
    stranger = await pages.stranger()
    async with stranger.get(path) as answer:
        assert answer.status == 401
        assert "covey url" in await answer.text()


async def test_a_browser_without_the_cookie_asks_nothing(pages: Pages):
    stranger = await pages.stranger()
    async with stranger.post("/api/space_free", json={}) as answer:
        assert answer.status == 401


async def test_the_cookie_of_another_agent_opens_nothing(pages: Pages):
    stranger = await pages.stranger()
    name = f"covey-{pages.told.port}"
    for cookie in (f"{name}={'ab' * 32}", f"covey={'ab' * 32}", f"{name}=", f"{name}=\u00e9"):
        async with stranger.get("/", headers={"Cookie": cookie}) as answer:
            assert answer.status == 401


async def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(pages: Pages):
    stranger = await pages.stranger()
    query = {"key": await pages.key()}
    async with stranger.get("/enter", params=query, allow_redirects=False) as answer:
        assert answer.status == 303
        assert answer.headers["Location"] == "/"
        cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith(f"covey-{pages.told.port}=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))


async def test_a_key_opens_once(pages: Pages):
    key = await pages.key()
    for expected in (303, 403):
        stranger = await pages.stranger()
        async with stranger.get("/enter", params={"key": key}, allow_redirects=False) as answer:
            assert answer.status == expected


async def test_the_page_that_is_asked_for_with_the_key_is_shown(pages: Pages):
    for page, place in (
        ("start/join/smiths", "/#/start/join/smiths"),
        ("//evil.example/", "/#///evil.example/"),
        ("x\r\nSet-Cookie: a=b", "/"),
        ("<script>", "/"),
    ):
        stranger = await pages.stranger()
        query = {"key": await pages.key(), "page": page}
        async with stranger.get("/enter", params=query, allow_redirects=False) as answer:
            assert answer.headers["Location"] == place


async def test_keys_are_made_for_the_secret_alone(pages: Pages):
    stranger = await pages.stranger()
    right = proof(pages.secret, "ask", "once")
    for given, nonce in (
        ("", "once"),
        ("Proof ", "once"),
        ("Proof 00", "once"),
        (f"Proof {pages.secret}", "once"),
        (f"Proof {right}x", "once"),
        (f"Proof {right}", "twice"),
        (f"Proof {proof(pages.secret, 'ask', '')}", ""),
    ):
        headers = {"Authorization": given, NONCE_HEADER: nonce}
        async with stranger.post("/key", headers=headers) as answer:
            assert answer.status == 401
    async with stranger.get("/key") as answer:
        assert answer.status == 405


async def test_the_secret_is_in_a_file_for_its_owner_alone_which_goes_with_the_agent(
    pages: Pages,
):
    assert stat.S_IMODE(pages.file.stat().st_mode) == 0o600
    await pages.stack.aclose()
    assert not pages.file.exists()


@pytest.mark.parametrize("host", ["localhost", "evil.example", "127.0.0.2", "127.0.0.1.nip.io", ""])
async def test_a_name_that_was_bent_to_this_computer_reaches_nothing(pages: Pages, host: str):
    port = pages.told.port
    for named in (f"{host}:{port}", host):
        assert await status_of(pages, "/", {"Host": named}) in (400, 403)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_what_other_pages_cause_is_refused_even_with_the_cookie(
    pages: Pages, headers: dict[str, str]
):
    assert await status_of(pages, "/", headers) == 403
    assert await status_of(pages, "/api/space_free", headers, method="POST") == 403
    assert await status_of(pages, "/key", headers, method="POST") == 403


async def test_a_page_elsewhere_cannot_use_up_a_key(pages: Pages):
    key = await pages.key()
    stranger = await pages.stranger()
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    async with stranger.get("/enter", params={"key": key}, headers=elsewhere) as answer:
        assert answer.status == 403
    async with stranger.get("/enter", params={"key": key}) as answer:
        assert answer.status == 200


async def test_our_own_pages_may_ask(pages: Pages):
    own = {"Origin": pages.url, "Sec-Fetch-Site": "same-origin"}
    assert await status_of(pages, "/api/space_free", own, method="POST") == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/pages/base/base.css", 200),
        ("GET", "/pages/nothing.js", 404),
        ("GET", "/nowhere", 404),
        ("GET", "/enter?key=wrong", 403),
        ("POST", "/key", 401),
        ("DELETE", "/", 405),
        ("POST", "/api/space_free", 200),
        ("POST", "/api/dance", 404),
        ("POST", "/api/backup", 409),
        ("GET", "/api/sheet.pdf", 409),
    ],
)
async def test_every_answer_has_the_strict_headers(
    pages: Pages, method: str, path: str, status: int
):
    browser = await pages.browser()
    async with browser.request(method, path) as answer:
        assert answer.status == status
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_the_rules_for_pages_leave_no_way_to_run_or_send_anything_elsewhere(pages: Pages):
    rules = dict(rule.split(" ", 1) for rule in HEADERS["Content-Security-Policy"].split("; "))
    assert rules["default-src"] == "'none'"
    for kind in ("script-src", "style-src", "connect-src", "font-src"):
        assert rules[kind] == "'self'"
    for kind in ("base-uri", "form-action", "frame-ancestors"):
        assert rules[kind] == "'none'"


async def test_refusals_and_open_streams_have_the_strict_headers_too(pages: Pages):
    stranger, browser = await pages.stranger(), await pages.browser()
    async with stranger.get("/") as refused, browser.get("/api/events") as stream:
        for answer in (refused, stream):
            assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS


async def test_only_this_computer_reaches_the_pages(pages: Pages):
    assert pages.url.startswith("http://127.0.0.1:")
    with pytest.raises(OSError, match=r"."):
        await asyncio.open_connection("127.0.0.2", pages.told.port)
