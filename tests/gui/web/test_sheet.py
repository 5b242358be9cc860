"""The recovery sheet: every word is on it, and the picture is the words."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
import zlib

import pytest
import segno
from hypothesis import given, settings
from hypothesis import strategies as st

from gui.web.sheet import Sheet, qr_svg, sheet_pdf
from peer.words import words_of
from tests.gui.web.conftest import Pages, problem_of

WORDS = words_of(bytes(range(32)))
MOVE = re.compile(r"([Mmh])(-?[\d.]+)(?:[ ]?(-?[\d.]+))?")


def texts_of(pdf: bytes) -> str:
    """What is written on the pages."""
    streams = re.findall(rb"stream\n(.*?)\nendstream", pdf, re.DOTALL)
    drawn = []
    for stream in streams:
        try:
            drawn.append(zlib.decompress(stream).decode("latin-1"))
        except zlib.error:
            continue
    return " ".join(re.findall(r"\((.*?)\) ?Tj", " ".join(drawn)))


def picture_of(svg: bytes) -> list[list[int]]:
    """The dark squares, read from the lines of the drawing, without the quiet zone."""
    path = ElementTree.fromstring(svg).find(".//*[@class='qrline']")
    assert path is not None
    dark: set[tuple[int, int]] = set()
    x = y = 0.0
    for kind, first, second in MOVE.findall(path.attrib["d"]):
        if kind == "M":
            x, y = float(first), float(second)
        elif kind == "m":
            x, y = x + float(first), y + float(second)
        else:
            dark |= {(int(y), int(x) + step) for step in range(int(first))}
            x += float(first)
    size = max(row for row, _ in dark) + 1
    return [[int((row, column) in dark) for column in range(4, size)] for row in range(4, size)]


def test_the_picture_is_the_words_and_nothing_else():
    code = segno.make(" ".join(WORDS), error="m", micro=False)
    assert picture_of(qr_svg(WORDS)) == [list(row) for row in code.matrix]


def test_all_words_are_on_one_page_with_their_numbers():
    pdf = sheet_pdf(Sheet("smiths", "laptop", WORDS, "2026-11-23"))
    assert pdf.startswith(b"%PDF-")
    assert pdf.count(b"/Type /Page\n") == 1
    text = texts_of(pdf)
    for number, word in enumerate(WORDS, 1):
        assert f"{number}.  {word}" in text
    for fact in ("Group: smiths", "Computer: laptop", "Made on 2026-11-23"):
        assert fact in text


@settings(max_examples=10, deadline=None)
@given(st.text(max_size=200), st.text(max_size=60))
def test_no_name_keeps_the_words_from_the_sheet(group: str, member: str):
    text = texts_of(sheet_pdf(Sheet(group, member, WORDS, "2026-11-23")))
    assert all(word in text for word in WORDS)


async def test_the_sheet_can_be_saved_once_there_is_a_member(pages: Pages):
    assert problem_of(await pages.ask("sheet")).code == "not_joined"
    wanted = {"group": "smiths", "password": "correct horse battery", "space_bytes": 10**6}
    await pages.ask("join", wanted)
    browser = await pages.browser()
    async with browser.get("/api/sheet.pdf") as answer:
        assert (answer.status, answer.content_type) == (200, "application/pdf")
        assert "attachment" in answer.headers["Content-Disposition"]
        assert words_of(bytes(32))[-1] in texts_of(await answer.read())
    async with browser.get("/api/sheet.svg") as answer:
        assert (answer.status, answer.content_type) == (200, "image/svg+xml")
        assert await answer.read() == qr_svg(words_of(bytes(32)))


@pytest.mark.parametrize(
    ("asked", "state"), [({}, "missing"), ({"later": True}, "later"), ({"saved": True}, "done")]
)
async def test_whether_the_sheet_is_kept_is_remembered(
    pages: Pages, asked: dict[str, bool], state: str
):
    wanted = {"group": "smiths", "password": "correct horse battery", "space_bytes": 10**6}
    await pages.ask("join", wanted)
    assert (await pages.ask("sheet", asked))[1]["state"] == state
    assert (await pages.ask("sheet"))[1]["state"] == state
