"""The page Restore, as a person uses it, by mouse and by keyboard."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.gui.pages.conftest import Opened
from tests.gui.pages.nights import HOME, LETTER, MANY, PHOTO, night_id, with_nights

pytestmark = pytest.mark.slow

STARTS_WITHIN_MS = 500


def at(path: str) -> str:
    """The address of a file in the newest night."""
    folder, name = path.rsplit("/", 1)
    return f"restore/latest/{quote(folder, safe='')}/{quote(name, safe='')}"


def tree(page: Page):
    return page.get_by_role("treegrid")


def row(page: Page, name: str):
    return tree(page).get_by_role("row").filter(has_text=name)


def active(page: Page):
    """The row that `aria-activedescendant` means."""
    return page.locator(".tree-space .tree-row.active")


def test_the_newest_night_is_open_where_the_marked_folders_are(opened: Opened):
    page = opened(with_nights(), "restore")
    expect(row(page, "Documents")).to_be_visible()
    expect(page.get_by_role("radio", checked=True)).to_have_attribute("title", re.compile("today"))
    expect(page.get_by_role("navigation", name="Where you are")).to_contain_text("ann")


def test_a_folder_of_100000_files_is_drawn_at_once_and_as_few_rows(opened: Opened):
    page = opened(with_nights(), f"restore/latest/{quote(HOME + '/Pictures/Everything', safe='')}")
    expect(row(page, "picture 000000")).to_be_visible()
    expect(tree(page)).to_have_attribute("aria-rowcount", str(MANY + 1))
    tree(page).press("End")
    expect(row(page, f"picture {MANY - 1:06}")).to_be_visible()
    assert tree(page).get_by_role("row").count() < 60
    timed = page.evaluate(
        """async () => {
          const tree = document.querySelector(".tree");
          const began = performance.now();
          for (let n = 0; n < 50; n += 1) {
            tree.scrollTop = n * 60000;
            await new Promise(requestAnimationFrame);
            await new Promise(requestAnimationFrame);
          }
          return (performance.now() - began) / 50;
        }"""
    )
    assert timed < 150, f"a jump took {timed:.0f} ms"


@pytest.mark.parametrize("where", ["", f"/latest/{quote(HOME + '/Pictures/Everything', safe='')}"])
def test_the_page_starts_within_half_a_second_with_100000_files(opened: Opened, where):
    agent = with_nights()
    opened(agent, "home").close()  # the browser's own start is not ours
    page = opened(agent, "home")
    expect(page.locator(".group-picture .friend").first).to_be_visible()
    took = page.evaluate(
        """async (where) => {
          const began = performance.now();
          location.hash = "#/restore" + where;
          while (!document.querySelector(".tree-space [role=row]")) {
            await new Promise(requestAnimationFrame);
          }
          return performance.now() - began;
        }""",
        where,
    )
    print(f"Restore{where[:8]} started in {took:.0f} ms")
    assert took < STARTS_WITHIN_MS


def test_the_tree_goes_by_keyboard_alone(opened: Opened):
    page = opened(with_nights(300), "restore")
    expect(row(page, "Documents")).to_be_visible()
    tree(page).focus()
    expect(tree(page)).to_have_attribute(
        "aria-activedescendant", str(active(page).get_attribute("id"))
    )
    page.keyboard.press("ArrowRight")
    expect(row(page, "letter.txt")).to_be_visible()
    expect(active(page)).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowRight")
    expect(active(page)).to_contain_text("Taxes")
    expect(active(page)).to_have_attribute("aria-level", "2")
    page.keyboard.type("pl")
    expect(active(page)).to_contain_text("plan.pdf")
    page.wait_for_timeout(1000)
    page.keyboard.type("l")
    expect(active(page)).to_contain_text("letter.txt")
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="The chosen file")).to_contain_text("Dear Ben")
    page.keyboard.press("ArrowLeft")
    expect(active(page)).to_contain_text("Documents")
    page.keyboard.press("ArrowLeft")
    expect(row(page, "letter.txt")).to_have_count(0)
    page.keyboard.press("End")
    expect(active(page)).to_contain_text("Pictures")
    page.keyboard.press("Home")
    expect(active(page)).to_contain_text("Documents")


def test_another_night_shows_the_same_place_and_the_file_as_it_was(opened: Opened):
    page = opened(with_nights(10), at(LETTER))
    about = page.get_by_role("region", name="The chosen file")
    expect(about).to_contain_text("every other day")
    page.get_by_role("radio").first.click()
    expect(about).to_contain_text("lay every day")
    expect(page).to_have_url(re.compile(f"restore/{night_id(0)}"))


def test_two_versions_of_a_text_stand_beside_each_other(opened: Opened):
    page = opened(with_nights(10), at(LETTER))
    expect(page.get_by_role("heading", name="2 versions")).to_be_visible()
    page.get_by_role("button", name="Compare").click()
    expect(page.locator(".difference .gone").first).to_contain_text("every day")
    expect(page.locator(".difference .new")).to_contain_text("every other day")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_two_versions_of_a_picture_stand_beside_each_other(opened: Opened):
    page = opened(with_nights(10), at(PHOTO))
    expect(page.get_by_role("img", name="A look at hill.png")).to_be_visible()
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("dialog").get_by_role("img")).to_have_count(2)


def test_what_would_be_replaced_is_told_before_anything_is_done(opened: Opened):
    agent = with_nights(10)
    page = opened(agent, at(LETTER))
    page.get_by_role("button", name="Restore", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Back to where it was")
    summary = {"files": 1, "same": 0, "replaced": 1, "kept": 0, "to_fetch_bytes": 400}
    told = {"ok": True, "message": "", "next_step": "", "summary": summary}
    agent.tell_job("job-1", event="done", **told)
    expect(dialog).to_contain_text("One file that is there now is replaced.")
    dialog.get_by_role("button", name="Restore", exact=True).click()
    work = page.get_by_role("region", name="Restore", exact=True)
    expect(work).to_contain_text("Beginning")
    agent.tell_job("job-2", event="progress", stage="write", files=0, files_total=1, bytes=100,
                   bytes_total=400, seconds_left=3, waiting_for=[], friends={})  # fmt: skip
    expect(work.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "25")
    agent.tell_job("job-2", event="done", **told)
    expect(work).to_contain_text("one file back: where it was.")
    asked = agent.asked_for("restore")
    assert [one.get("dry_run", False) for one in asked] == [True, False]
    assert asked[1]["paths"] == [LETTER]


def test_search_goes_through_all_nights_and_leads_to_the_file(opened: Opened):
    agent = with_nights(10)
    page = opened(agent, "restore")
    page.get_by_role("searchbox").fill("letter")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Looking through all nights")).to_be_visible()
    agent.tell_job("job-1", event="found", name="letter.txt", path=LETTER, kind="file", size=171,
                   mtime_ns=10**18, snapshot=night_id(10))  # fmt: skip
    agent.tell_job("job-1", event="done", ok=True, message="", next_step="", summary={})
    expect(page.get_by_text("One found.")).to_be_visible()
    page.get_by_role("button", name="letter.txt").click()
    about = page.get_by_role("region", name="The chosen file")
    expect(about).to_contain_text("lay every day")
    expect(row(page, "letter.txt")).to_have_attribute("aria-selected", "true")


def test_before_the_first_night_the_page_says_what_will_be_here(opened: Opened):
    agent = with_nights(10)
    agent.answers["snapshots"] = []
    page = opened(agent, "restore")
    expect(page.get_by_role("heading", name="There is no night yet")).to_be_visible()
