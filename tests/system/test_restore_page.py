"""The page Restore before a real agent in a real group: a file comes back, byte for byte."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from bench.group import LocalGroup
from tests.gui.pages.conftest import CHROMIUM

pytestmark = [pytest.mark.system, pytest.mark.slow]

PATIENCE_MS = 60_000
MANY = 100_000
FIRST_WITHIN_MS = 1_000  # the agent reads and sorts the folder, the browser fetches the page's code
AGAIN_WITHIN_MS = 500
STARTS = """async () => {
  const began = performance.now();
  location.hash = "#/restore";
  while (!document.querySelector(".tree-space [role=row]")) {
    await new Promise(requestAnimationFrame);
  }
  return performance.now() - began;
}"""


@pytest.fixture
def page() -> Iterator[Page]:
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        page = browser.new_page(locale="en-GB", viewport={"width": 1200, "height": 800})
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        expect.set_options(timeout=PATIENCE_MS)
        yield page
        expect.set_options(timeout=5_000)
        browser.close()
    assert not errors


def test_a_file_comes_back_from_the_page_as_it_was_the_night_before(
    group: LocalGroup, page: Page, tmp_path: Path
):
    anna, *_ = group.join_all("anna", "ben", "carla", "david")
    files = tmp_path / "files"
    files.mkdir()
    first = b"Dear Ben, the hens are well.\n" + os.urandom(300_000).hex().encode()
    (files / "letter.txt").write_bytes(first)
    (files / "beside.txt").write_text("left alone")
    group.wait_online(anna, 3)
    anna.run("mark", str(files))
    assert anna.run("backup")["ok"]
    (files / "letter.txt").write_bytes(b"Dear Ben, all is lost.\n")
    assert anna.run("backup")["ok"]

    page.goto(anna.run("url")["url"])
    page.get_by_role("link", name="Restore").click()
    page.get_by_role("row", name=re.compile("letter.txt")).click()
    about = page.get_by_role("region", name="The chosen file")
    expect(about).to_contain_text("all is lost")
    page.get_by_role("radio").first.click()
    expect(about).to_contain_text("the hens are well")
    expect(about.get_by_role("heading", name="2 versions")).to_be_visible()
    page.get_by_role("button", name="Restore", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("One file that is there now is replaced.")
    assert (files / "letter.txt").read_bytes() != first
    dialog.get_by_role("button", name="Restore", exact=True).click()
    expect(page.get_by_text("one file back: where it was.")).to_be_visible()
    assert (files / "letter.txt").read_bytes() == first
    assert (files / "beside.txt").read_text() == "left alone"


def test_a_folder_of_100000_files_opens_within_a_second_and_then_within_half_a_one(
    group: LocalGroup, page: Page, tmp_path: Path
):
    anna, *_ = group.join_all("anna", "ben", "carla", "david")
    files = tmp_path / "files"
    files.mkdir()
    for number in range(MANY):
        (files / f"file {number:06}").write_bytes(b"%d" % number)
    group.wait_online(anna, 3)
    anna.run("mark", str(files))
    assert anna.run("backup", timeout_s=400)["ok"]
    page.goto(anna.run("url")["url"])
    expect(page.get_by_role("heading", level=1)).to_contain_text("100,000 files")
    first = page.evaluate(STARTS)
    expect(page.get_by_role("row", name=re.compile("file 000000"))).to_be_visible()
    page.get_by_role("treegrid").press("End")
    expect(page.get_by_role("row", name=re.compile("file 099999"))).to_be_visible()
    page.get_by_role("link", name="Home").click()
    expect(page.get_by_role("treegrid")).to_have_count(0)
    again = page.evaluate(STARTS)
    print(f"{MANY:,} files in one folder: first in {first:.0f} ms, again in {again:.0f} ms")
    assert first < FIRST_WITHIN_MS
    assert again < AGAIN_WITHIN_MS
