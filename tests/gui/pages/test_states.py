"""What is there for a moment is open to all as well: dialogs, work under way, what went wrong."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.gui.pages import samples
from tests.gui.pages.conftest import Opened
from tests.gui.pages.scripted import Refused
from tests.gui.pages.test_looks import PICTURES, grave

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_home_at_its_worst_is_open_to_all(opened: Opened, theme: str):
    agent = samples.group(
        connected=False, unsafe_packs=4, sheet="missing", warnings=["Space is short."]
    )
    agent.answers["backup"] = Refused("busy", "None of your 6 friends is online.", "Try later.")
    page = opened(agent, theme=theme, width=360, errors_expected=True)
    page.get_by_role("button", name="Back up now").click()
    expect(page.get_by_text("None of your 6 friends is online.")).to_be_visible()
    expect(page.locator(".group-picture .friend").first).to_be_visible()
    page.get_by_role("button", name="Ann: awake").click()
    page.screenshot(path=PICTURES / f"worst-home-{theme}-360.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert grave(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_backup_under_way_is_open_to_all(opened: Opened, theme: str):
    agent = samples.group()
    page = opened(agent, theme=theme)
    page.get_by_role("button", name="Back up now").click()
    agent.tell_job(
        "job-1", event="progress", stage="ship", files=4_100, files_total=12_431,
        bytes=31 * samples.GB, bytes_total=84 * samples.GB, rate=5.2e6, seconds_left=9_900,
        friends={"Ann": 4, "Ben": 3, "Emma": 3}, waiting_for=["Clara"],
    )  # fmt: skip
    expect(page.locator("line.carrying")).to_have_count(3)
    page.screenshot(path=PICTURES / f"backup-home-{theme}-1200.png")
    assert grave(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_asking_a_friend_and_being_the_first_are_open_to_all(opened: Opened, theme: str):
    page = opened(samples.alone(), theme=theme, width=360)
    page.get_by_role("button", name="Ask a friend").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.screenshot(path=PICTURES / f"ask-home-{theme}-360.png")
    assert grave(page) == []
    agent = samples.fresh()
    agent.answers["join"] = Refused("unknown_group", "There is no such group yet.")
    page = opened(agent, theme=theme, errors_expected=True)
    page.get_by_label("Group", exact=True).fill("smiths")
    page.get_by_label("Password", exact=True).fill("four words apart here")
    page.get_by_role("button", name="Join").click()
    expect(page.get_by_text("You are the first in «smiths».")).to_be_visible()
    page.screenshot(path=PICTURES / f"first-start-{theme}-1200.png", full_page=True)
    assert grave(page) == []


def test_the_printed_sheet_has_the_words_and_nothing_to_press(opened: Opened):
    page = opened(samples.group(), "start/words")
    expect(page.get_by_text("ladder")).to_be_visible()
    page.emulate_media(media="print", color_scheme="light")
    page.screenshot(path=PICTURES / "print-start-words.png", full_page=True)
    expect(page.get_by_text("quarter")).to_be_visible()
    expect(page.get_by_role("button")).to_have_count(0)
