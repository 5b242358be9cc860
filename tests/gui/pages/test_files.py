"""The page Files, as a person uses it."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.gui.pages.conftest import Opened
from tests.gui.pages.nights import HOME, with_nights
from tests.gui.pages.scripted import Refused

pytestmark = pytest.mark.slow


def test_what_is_kept_is_there_with_its_size_and_what_is_missing_is_said(opened: Opened):
    page = opened(with_nights(10), "files")
    line = page.get_by_role("listitem").filter(has_text="Camera disk")
    expect(line).to_contain_text("not there now")
    expect(page.get_by_role("listitem").filter(has_text="Documents").first).to_contain_text("4 GB")
    new = page.get_by_role("listitem").filter(has_text="New project")
    expect(new).to_contain_text("from the next night on")
    expect(page.get_by_text("93 GB in 13,243 files")).to_be_visible()


def test_what_was_left_out_is_named_with_the_reason_in_plain_words(opened: Opened):
    page = opened(with_nights(10), "files")
    expect(page.get_by_text("locked.key")).to_be_visible()
    expect(page.get_by_text("left out: Covey may not read it")).to_be_visible()


def test_a_folder_is_added_from_a_list_where_there_is_no_chooser(opened: Opened):
    agent = with_nights(10)
    page = opened(agent, "files", errors_expected=True)
    page.get_by_role("button", name="Add a folder").click()
    page.get_by_role("dialog").get_by_role("button", name="Music").click()
    expect(page.get_by_text("No folders in here.")).to_be_visible()
    page.get_by_role("button", name="Back up Music").click()
    expect(page.locator(".toast")).to_contain_text("Music goes to your friends")
    assert agent.asked_for("mark") == [{"paths": [f"{HOME}/Music"]}]


def test_a_folder_is_taken_off_after_a_plain_question(opened: Opened):
    agent = with_nights(10)
    page = opened(agent, "files")
    page.get_by_role("button", name="Stop backing up Pictures").click()
    expect(page.get_by_role("dialog")).to_contain_text("earlier nights keep what they have")
    page.get_by_role("button", name="Cancel").click()
    assert agent.asked_for("unmark") == []
    page.get_by_role("button", name="Stop backing up Pictures").click()
    page.get_by_role("button", name="Stop backing it up").click()
    expect(page.locator(".toast")).to_contain_text("no longer backed up")
    assert agent.asked_for("unmark") == [{"paths": [f"{HOME}/Pictures"]}]


def test_suggestions_are_switches_with_what_they_spare(opened: Opened):
    agent = with_nights(10)
    page = opened(agent, "files")
    packages = page.get_by_role("switch", name="Downloaded packages")
    expect(packages).not_to_be_checked()
    expect(page.get_by_role("switch", name="Caches")).to_be_checked()
    packages.check()
    expect(page.locator(".toast")).to_contain_text("From the next night on")
    assert agent.asked_for("set_ignore")[-1] == {"patterns": ["*.iso", "node_modules/", ".venv/"]}
    packages.press("Space")
    expect(page.locator(".toast").nth(1)).to_be_visible()
    assert agent.asked_for("set_ignore")[-1] == {"patterns": ["*.iso"]}


def test_own_patterns_are_behind_a_fold_and_what_is_none_is_explained(opened: Opened):
    agent = with_nights(10)
    page = opened(agent, "files", errors_expected=True)
    page.get_by_role("button", name="Back up *.iso again").click()
    expect(page.locator(".toast")).to_be_visible()
    assert agent.asked_for("set_ignore") == [{"patterns": []}]
    agent.answers["set_ignore"] = Refused("", "«!a» is no pattern.", "Write a name.")
    page.get_by_label("A name, or a path").fill("!a")
    page.get_by_role("button", name="Leave it out").click()
    expect(page.get_by_role("alert")).to_contain_text("«!a» is no pattern. Write a name.")
