"""What pages ask, and what they get when they ask for something odd."""

from __future__ import annotations

import io

import pytest
from yarl import URL

from gui.web.server import BODY_BYTES_MAX
from peer.service import Problem
from tests.gui.web.conftest import Pages, problem_of, until
from tests.support.fake_service import ODD_PATH


async def posted(pages: Pages, method: str, body: bytes) -> tuple[int, str]:
    browser = await pages.browser()
    async with browser.post(f"/api/{method}", data=body) as answer:
        return answer.status, (await answer.json())["code"] if answer.status == 409 else ""


async def test_what_the_member_does_answers_in_its_words(pages: Pages):
    pages.desk.service = pages.service
    assert await pages.ask("friends") == (200, await pages.service.friends())
    assert await pages.ask("mark", {"paths": [ODD_PATH]}) == (200, [ODD_PATH])
    assert await pages.ask("marks") == (200, [ODD_PATH])


async def test_nobody_can_do_what_is_in_no_list(pages: Pages):
    pages.desk.service = pages.service
    for method in ("dance", "look", "_recover", "__class__", "sheet_of", "closed_early"):
        status, told = await pages.ask(method)
        assert (status, told["code"]) == (404, "unknown_call")


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000, b"'x'"])
async def test_what_is_no_json_is_refused(pages: Pages, body: bytes):
    assert await posted(pages, "space_free", body) == (409, "bad_request")


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("space_free", b"[]"),
        ("space_free", b"null"),
        ("space_free", b'{"x": 1}'),
        ("mark", b'{"paths": "x"}'),
        ("mark", b"{}"),
        ("join", b'{"group": "a", "password": "b", "space_bytes": "1"}'),
        ("recover", b'{"group": "a"}'),
        ("backup", b'{"fast": true}'),
    ],
)
async def test_arguments_that_do_not_fit_are_refused_before_anything_is_done(
    pages: Pages, method: str, body: bytes
):
    pages.desk.service = pages.service
    assert await posted(pages, method, body) == (409, "bad_request")
    assert pages.service.calls == []
    assert pages.entry.asked == []
    assert pages.jobs.as_answer() == {}


async def test_a_body_that_is_too_long_is_refused(pages: Pages):
    browser = await pages.browser()
    too_long = io.BytesIO(b" " * (BODY_BYTES_MAX + 1))
    async with browser.post("/api/mark", data=too_long) as answer:
        assert answer.status == 413


async def test_the_members_problems_arrive_with_their_next_step(pages: Pages):
    pages.desk.service = pages.service
    pages.service.problem = Problem("Nobody is there.", "Wait a little.", code="alone")
    found = problem_of(await pages.ask("friends"))
    assert (found.text, found.next_step, found.code) == (
        "Nobody is there.",
        "Wait a little.",
        "alone",
    )


@pytest.mark.parametrize("fault", [KeyError("a pack"), ValueError("odd"), RuntimeError("oh")])
async def test_a_fault_of_ours_is_told_as_one_and_its_details_stay_in_the_log(
    pages: Pages, fault: Exception
):
    pages.desk.service = pages.service
    pages.service.problem = fault
    status, told = await pages.ask("friends")
    assert (status, told["code"]) == (500, "internal")
    assert str(fault) not in told["text"]


async def test_what_needs_a_member_waits_for_one(pages: Pages):
    assert problem_of(await pages.ask("friends")).code == "not_ready"
    assert problem_of(await pages.ask("backup")).code == "not_ready"
    assert problem_of(await pages.ask("sheet")).code == "not_joined"


@pytest.mark.parametrize(
    "path",
    [
        "/pages/../verbs.py",
        "/pages/..%2fverbs.py",
        "/pages/%2e%2e/verbs.py",
        "/pages/base/..%5c..%5cverbs.py",
        "/pages//etc/passwd",
        "/pages/%2fetc%2fpasswd",
        "/pages/base/%00.js",
        "/pages/.hidden.js",
        "/pages/base/.git/x.js",
        "/pages/base/",
        "/pages/base",
        "/pages/locale/de.po",
        f"/pages/{'x' * 5000}.js",
    ],
)
async def test_nothing_but_the_pages_own_files_is_served(pages: Pages, path: str):
    browser = await pages.browser()
    async with browser.get(URL(pages.url + path, encoded=True)) as answer:
        assert answer.status == 404


async def test_pages_have_the_types_that_browsers_insist_on(pages: Pages):
    browser = await pages.browser()
    for path, kind in (
        ("/", "text/html"),
        ("/pages/base/app.js", "text/javascript"),
        ("/pages/base/base.css", "text/css"),
        ("/pages/locale/de.json", "application/json"),
    ):
        async with browser.get(path) as answer:
            assert (answer.status, answer.content_type) == (200, kind)
            assert answer.charset == "utf-8"


async def test_folders_are_listed_by_name_without_hidden_ones(pages: Pages):
    place = pages.file.parent / "some"
    for name in ("b", "A", ".hidden", "\u00e9"):
        (place / name).mkdir(parents=True)
    (place / "a file").touch()
    status, told = await pages.ask("folders", {"path": str(place)})
    assert status == 200
    assert [folder["name"] for folder in told["folders"]] == ["A", "b", "\u00e9"]
    assert told["parent"] == str(place.parent)
    assert (await pages.ask("folders", {"path": "/"}))[1]["parent"] == ""
    missing = problem_of(await pages.ask("folders", {"path": str(place / "none")}))
    assert "cannot be opened" in missing.text


async def test_suggestions_have_sizes_as_soon_as_they_are_counted(pages: Pages):
    place = pages.file.parent / "Documents"
    status, told = await pages.ask("suggest")
    assert (status, told[0]["exists"], told[0]["bytes"]) == (200, False, 0)
    place.mkdir()
    (place / "letter").write_bytes(b"x" * 1000)
    assert (await pages.ask("suggest"))[1][0]["exists"]
    await until(lambda: pages.suggestions.as_answer()[0]["bytes"] is not None)
    assert (await pages.ask("suggest"))[1] == [
        {"path": str(place), "name": "Documents", "exists": True, "files": 1, "bytes": 1000}
    ]


async def test_where_no_dialog_is_the_page_lets_choose(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert problem_of(await pages.ask("choose_folder")).code == "no_chooser"
