"""Becoming a member from a page: what is refused, and what survives a page that is closed."""

from __future__ import annotations

import asyncio

import pytest

from datachannel.rendezvous import JoinRefused
from gui.web.desk import OFFER_BYTES_MAX, default_offer
from peer.words import words_of
from tests.gui.web.conftest import Pages, problem_of, until

WANTED = {"group": "smiths", "password": "correct horse battery staple", "space_bytes": 10**6}


async def test_a_page_makes_a_member_and_gets_its_words(pages: Pages):
    status, told = await pages.ask("join", WANTED | {"create": True})
    assert (status, told["created"], len(told["words"])) == (200, True, 24)
    assert pages.desk.joined.is_set()
    assert pages.entry.asked[0]["name"] == "laptop"
    assert pages.entry.asked[0]["server"] is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"group": "  "}, "bad_name"),
        ({"password": ""}, "empty_password"),
        ({"password": "smiths1", "create": True}, "weak_password"),
        ({"space_bytes": 10**18}, "disk_too_small"),
    ],
)
async def test_what_cannot_be_is_refused_before_any_server_is_asked(
    pages: Pages, changes: dict[str, object], code: str
):
    assert problem_of(await pages.ask("join", WANTED | changes)).code == code
    assert pages.entry.asked == []


@pytest.mark.parametrize("code", ["unknown_group", "wrong_password"])
async def test_what_the_server_refuses_is_told_with_its_code(pages: Pages, code: str):
    pages.entry.refusal = JoinRefused(code, "no")
    assert problem_of(await pages.ask("join", WANTED)).code == code
    assert not pages.desk.joined.is_set()


async def test_whoever_is_in_a_group_joins_none_again(pages: Pages):
    assert (await pages.ask("join", WANTED))[0] == 200
    assert problem_of(await pages.ask("join", WANTED)).code == "already_joined"
    assert len(pages.entry.asked) == 1


async def test_two_clicks_make_one_member(pages: Pages):
    pages.entry.may_answer.clear()
    clicks = [asyncio.create_task(pages.ask("join", WANTED)) for _ in range(2)]
    await until(lambda: pages.entry.asked)
    pages.entry.may_answer.set()
    assert sorted(status for status, _ in await asyncio.gather(*clicks)) == [200, 409]
    assert len(pages.entry.asked) == 1


async def test_joining_is_finished_when_the_page_is_closed_meanwhile(pages: Pages):
    pages.entry.may_answer.clear()
    browser = await pages.browser()
    asking = asyncio.create_task(browser.post("/api/join", json=WANTED))
    await until(lambda: pages.entry.asked)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await browser.close()
    await pages.ask("space_free")  # by then the server has seen that the page is gone
    pages.entry.may_answer.set()
    await until(pages.desk.joined.is_set)
    assert (await pages.ask("sheet"))[1]["words"] == list(words_of(bytes(32)))


async def test_recovery_says_which_word_is_wrong(pages: Pages):
    wanted = {"group": "smiths", "password": "x", "words": "abandon " * 23 + "abadon"}
    status, told = await pages.ask("recover", wanted)
    assert status == 202
    await until(lambda: pages.last(told["job"]))
    last = pages.last(told["job"])
    assert (last["event"], last["code"]) == ("problem", "words")
    assert "abadon" in last["text"]
    assert pages.entry.asked == []


async def test_who_came_back_with_the_words_is_not_asked_to_keep_them(pages: Pages):
    words = " ".join(words_of(bytes(32)))
    _, told = await pages.ask("recover", {"group": "smiths", "password": "x", "words": words})
    await until(lambda: pages.last(told["job"]))
    assert pages.last(told["job"])["event"] == "done"
    assert (pages.state.home / "sheet").read_text() == "done"
    assert pages.entry.asked[0]["words"] == words.split()


@pytest.mark.parametrize(
    ("free", "offer"),
    [
        (0, 0),
        (10**8, 10**8),
        (10 * 10**9, 2 * 10**9),
        (80 * 10**9, 20 * 10**9),
        (10**13, OFFER_BYTES_MAX),
    ],
)
def test_a_quarter_of_the_free_disk_is_proposed_in_round_gigabytes(free: int, offer: int):
    assert default_offer(free) == offer
