"""The app as a person uses it: a real agent with its pages, in a real group of six.

The pages are those that the agent serves, in a browser; what is pressed and read is what a person
would press and read.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from bench.group import ALONE, LocalGroup, MemberProcess, covey
from bench.trees import compare_trees
from tests.gui.pages.conftest import CHROMIUM

pytestmark = [pytest.mark.system, pytest.mark.slow]

GROUP = "The Testers"
FRIENDS = ("ben", "carla", "david", "emma", "finn")
PATIENCE_MS = 45_000
FIRST_RUN_S = 60.0
PICTURES = Path(__file__).parents[2] / "build" / "screenshots"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A person's own files, where people have them."""
    home = tmp_path / "home"
    for folder, count in (("Documents", 12), ("Pictures", 30)):
        (home / folder).mkdir(parents=True)
        for number in range(count):
            (home / folder / f"{folder} {number}.bin").write_bytes(os.urandom(700_000))
    return home


def at_noon() -> str:
    """A time zone in which it is about noon, so that no night comes by itself."""
    return f"NOON{time.gmtime().tm_hour - 12:+d}"


@contextmanager
def agent_of(state: Path, home: Path) -> Iterator[str]:
    """An agent for a computer that is in no group yet; gives the address that lets a person in."""
    environment = {**os.environ, **ALONE, "HOME": str(home), "COVEY_NIGHTS": "", "TZ": at_noon()}
    environment = {k: v for k, v in environment.items() if not k.startswith("XDG_")}
    log = state.with_suffix(".log").open("wb")
    command = covey("--home", str(state))
    agent = subprocess.Popen([*command, "agent"], env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while not (state / "pages.json").exists():
            assert agent.poll() is None, state.with_suffix(".log").read_text()
            assert time.monotonic() < deadline, "the agent served no pages"
            time.sleep(0.05)
        told = subprocess.run(
            covey("--json", "--home", str(state), "url"),
            env=environment, check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        yield json.loads(told.stdout)["url"]
    finally:
        agent.terminate()
        agent.wait(30)
        log.close()


@pytest.fixture
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    errors: list[str] = []
    page = browser.new_page(locale="en-GB", viewport={"width": 1200, "height": 800})
    page.set_default_timeout(PATIENCE_MS)
    page.on("pageerror", lambda error: errors.append(str(error)))
    expect.set_options(timeout=PATIENCE_MS)
    yield page
    expect.set_options(timeout=5_000)
    assert not errors


def join(page: Page, group: LocalGroup, *, name: str = GROUP) -> None:
    """The three fields, and the server that only this test's group has."""
    page.get_by_label("Group", exact=True).fill(name)
    page.get_by_label("Password", exact=True).fill(group.password_file.read_text().strip())
    page.get_by_text("Our group has its own server").click()
    page.get_by_label("Address of the server").fill(group.url)
    slider = page.get_by_role("slider", name="Space for your friends")
    slider.focus()
    page.keyboard.press("Home")
    page.get_by_role("button", name="Join").click()


def test_from_the_first_run_to_safe_files_and_friends_who_vanish(
    group: LocalGroup, home: Path, page: Page, tmp_path: Path
):
    group.join_all(*FRIENDS)
    with agent_of(tmp_path / "state", home) as address:
        page.goto(address)
        began = time.monotonic()
        join(page, group)
        expect(page.get_by_role("heading", name="Your recovery words")).to_be_visible()
        words = page.get_by_role("list", name="Recovery words").get_by_role("listitem")
        expect(words).to_have_count(24)
        page.get_by_role("button", name="I'll do it later").click()
        expect(page.get_by_role("heading", name="What shall I back up?")).to_be_visible()
        expect(page.get_by_text("2 folders, 29 MB")).to_be_visible()
        page.get_by_role("button", name="Back these up").click()
        expect(page.get_by_role("navigation")).to_be_visible()
        first_run_s = time.monotonic() - began
        print(f"first run: {first_run_s:.1f} s")
        assert first_run_s < FIRST_RUN_S

        backs_up(page)
        looks_at_the_nights(page)
        pauses(page)
        loses_friends(page, group)


def backs_up(page: Page) -> None:
    safe = re.compile(r"All 42 files are safe with 5 friends; any \d can vanish\.")
    again = page.get_by_role("button", name="Back up now")
    heading = page.get_by_role("heading", level=1)
    expect(heading).not_to_have_text("Nothing is marked for backup yet.")
    expect(again.or_(page.get_by_role("progressbar", name="Backup")).first).to_be_visible()
    if not page.get_by_role("progressbar", name="Backup").is_visible():
        again.click()  # nobody was there yet when the first run ended
    page.screenshot(path=PICTURES / "real-backup-light-1200.png")
    expect(heading).to_have_text(safe)
    expect(page.get_by_role("button", name=re.compile("awake; keeps"))).to_have_count(5)
    expect(page.get_by_text("Your recovery words are not kept yet.")).to_be_visible()
    page.screenshot(path=PICTURES / "real-home-light-1200.png")


def looks_at_the_nights(page: Page) -> None:
    page.get_by_role("link", name="Activity", exact=True).click()
    expect(page.locator(".night-details")).to_contain_text(re.compile("42 files · 30 MB new"))
    expect(page.locator(".night-details")).to_contain_text("carried to friends")
    expect(
        page.get_by_text(re.compile("In 30 days [1-9][0-9.]* MB went to friends"))
    ).to_be_visible()
    expect(page.get_by_text("The first backup is done: 42 files")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile(": backed up$"))).to_have_count(1)
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        page.screenshot(path=PICTURES / f"real-activity-{theme}-1200.png", full_page=True)
    page.emulate_media(color_scheme="light")
    page.get_by_role("link", name="Home", exact=True).click()


def pauses(page: Page) -> None:
    expect(page.get_by_text(re.compile("Next (today|tomorrow) at .*, when this"))).to_be_visible()
    page.get_by_text("Pause", exact=True).click()
    page.get_by_role("button", name="For an hour").click()
    expect(page.get_by_text(re.compile("aused until"))).to_be_visible()
    page.screenshot(path=PICTURES / "real-paused-light-1200.png")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("Pause", exact=True)).to_be_visible()


def loses_friends(page: Page, group: LocalGroup) -> None:
    for name in FRIENDS[:2]:
        group.lose(name)
    asleep = page.get_by_role("button", name=re.compile("asleep, seen"))
    expect(asleep).to_have_count(2)
    page.get_by_role("link", name="Friends", exact=True).click()
    expect(page.get_by_text("5 friends, 3 of them awake.")).to_be_visible()
    expect(page.get_by_role("table", name="Which parts").get_by_role("row")).to_have_count(5)
    page.screenshot(path=PICTURES / "real-friends-light-1200.png", full_page=True)
    for name in FRIENDS[2:]:
        group.lose(name)
    page.get_by_role("link", name="Home", exact=True).click()
    expect(page.get_by_text("All your friends are asleep.")).to_be_visible()
    page.get_by_role("button", name="Back up now").click()
    expect(page.get_by_role("alert")).to_contain_text("None of your 5 friends is online.")


def test_a_typing_mistake_in_the_groups_name_starts_no_group_unasked(
    group: LocalGroup, home: Path, page: Page, tmp_path: Path
):
    with agent_of(tmp_path / "state", home) as address:
        page.goto(address)
        join(page, group, name="The Tseters")
        expect(page.get_by_text("You are the first in «The Tseters».")).to_be_visible()
        assert not (tmp_path / "state" / "config.json").exists()


def test_the_space_that_is_given_changes_at_once_and_for_good(
    group: LocalGroup, home: Path, page: Page, tmp_path: Path
):
    with agent_of(tmp_path / "state", home) as address:
        page.goto(address)
        join(page, group)
        again = page.get_by_label("The password once more")
        again.fill(group.password_file.read_text().strip())
        page.get_by_role("button", name=f"Start «{GROUP}»").click()
        page.get_by_role("button", name="I'll do it later").click()
        page.get_by_role("button", name="Later", exact=True).click()
        page.get_by_role("link", name="Space", exact=True).click()
        slider = page.get_by_role("slider", name="You give")
        expect(slider).to_have_attribute("aria-valuetext", re.compile("^1 GB of"))
        slider.focus()
        page.keyboard.press("PageUp")
        page.keyboard.press("PageUp")
        page.keyboard.press("PageUp")
        page.get_by_role("button", name="Give this much").click()
        expect(page.locator(".toast")).to_contain_text("You give")
    member = MemberProcess("anna", tmp_path / "state")
    assert member.run("space")["offer_bytes"] > 10**9


def test_a_lost_computer_comes_back_from_the_page(
    group: LocalGroup, home: Path, page: Page, tmp_path: Path
):
    anna, *_ = group.join_all("anna", "ben", "carla", "david")
    group.wait_online(anna, 3)
    anna.run("mark", str(home / "Documents"))
    assert anna.run("backup")["ok"]
    group.lose("anna")
    (home / "Documents").rename(tmp_path / "lost")
    with agent_of(tmp_path / "new", home) as address:
        page.goto(address)
        page.get_by_role("link", name="I had Covey on another computer").click()
        page.get_by_label("Group", exact=True).fill(group.group)
        page.get_by_label("Password", exact=True).fill(group.password_file.read_text().strip())
        page.get_by_text("Our group has its own server").click()
        page.get_by_label("Address of the server").fill(group.url)
        page.get_by_label("Recovery words").fill(group.words_file("anna").read_text())
        expect(page.get_by_text("All 24 words are there.")).to_be_visible()
        page.screenshot(path=PICTURES / "real-recover-light-1200.png", full_page=True)
        page.get_by_role("button", name="Bring my backups back").click()
        expect(page.get_by_role("row", name=re.compile("Documents 0.bin"))).to_be_visible()
        page.screenshot(path=PICTURES / "real-recovered-light-1200.png", full_page=True)
        page.get_by_role("button", name="Restore everything").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("button", name="Restore", exact=True).click()
        expect(page.get_by_text("12 files back: where it was.")).to_be_visible()
    assert not compare_trees(tmp_path / "lost", home / "Documents").differences
