"""The pages with a real agent in a real group, used as a person would."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from bench.group import LocalGroup, MemberProcess
from tests.gui.pages.bridged import Bridged
from tests.gui.pages.conftest import CHROMIUM
from tests.gui.pages.scripted import served

pytestmark = [pytest.mark.system, pytest.mark.slow]

FRIENDS = ("ben", "carla", "david", "emma", "finn")
PATIENCE_MS = 90_000
PICTURES = Path(__file__).parents[2] / "build" / "screenshots"
OTHERWISE = {
    "activity": {"nights": [], "messages": [], "traffic": []},
    "matrix": {"friends": [], "packs": 0, "rows": []},
    "space_free": {
        "free_bytes": 200 * 10**9,
        "total_bytes": 500 * 10**9,
        "default_offer_bytes": 50 * 10**9,
    },
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(40):
        (folder / f"photo {number}.jpg").write_bytes(os.urandom(900_000))
    return folder


@pytest.fixture
def owner(group: LocalGroup) -> MemberProcess:
    made, *_ = group.join_all("anna", *FRIENDS)
    group.wait_online(made, len(FRIENDS))
    return made


@pytest.fixture
def page(owner: MemberProcess) -> Iterator[Page]:
    errors: list[str] = []
    with served(Bridged(owner.home / "api.json", OTHERWISE)) as agent, sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM)
        page = browser.new_page(locale="en-GB", viewport={"width": 1200, "height": 800})
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(agent.url)
        yield page
        browser.close()
    assert not errors


def test_a_person_backs_up_watches_it_and_loses_friends(
    group: LocalGroup, owner: MemberProcess, page: Page, photos: Path
):
    expect.set_options(timeout=PATIENCE_MS)
    expect(page.get_by_text("Nothing is marked for backup yet.")).to_be_visible()
    owner.run("mark", str(photos))

    page.get_by_role("button", name="Back up now").click()
    expect(page.get_by_role("progressbar", name="Backup")).to_be_visible()
    expect(page.locator(".work").get_by_text(re.compile("Carrying it|Telling"))).to_be_visible()
    page.screenshot(path=PICTURES / "real-backup-light-1200.png")
    safe = re.compile(r"All 40 files are safe with 5 friends; any \d can vanish\.")
    expect(page.get_by_role("heading", level=1)).to_have_text(safe)
    expect(page.get_by_role("button", name=re.compile("awake; keeps"))).to_have_count(5)
    page.screenshot(path=PICTURES / "real-home-light-1200.png")

    for name in FRIENDS[:2]:
        group.lose(name)
    asleep = page.get_by_role("button", name=re.compile("asleep, seen"))
    expect(asleep).to_have_count(2)
    page.get_by_role("link", name="Friends", exact=True).click()
    expect(page.get_by_text("5 friends, 3 of them awake.")).to_be_visible()
    for name in FRIENDS[2:]:
        group.lose(name)
    page.get_by_role("link", name="Home", exact=True).click()
    expect(page.get_by_text("All your friends are asleep.")).to_be_visible()
    page.get_by_role("button", name="Back up now").click()
    expect(page.get_by_role("alert")).to_contain_text("None of your 5 friends is online.")


def test_the_space_that_is_given_changes_at_once_and_for_good(
    group: LocalGroup, owner: MemberProcess, page: Page
):
    page.get_by_role("link", name="Space", exact=True).click()
    slider = page.get_by_role("slider", name="You give")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("^2 GB of"))
    slider.focus()
    page.keyboard.press("PageUp")
    page.keyboard.press("PageUp")
    page.get_by_role("button", name="Give this much").click()
    expect(page.locator(".toast")).to_contain_text("You give")
    given = owner.run("space")["offer_bytes"]
    assert given > 2 * 10**9
    owner.stop()
    owner.start()
    assert owner.run("space")["offer_bytes"] == given
