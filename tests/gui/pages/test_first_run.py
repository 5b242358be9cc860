"""The first run, as a person meets it: three fields, the words, what to back up."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.gui.pages import samples
from tests.gui.pages.conftest import Opened
from tests.gui.pages.scripted import Agent, Refused

pytestmark = pytest.mark.slow


def fill_in(page: Page, group: str = "smiths", password: str = "four words apart here") -> None:
    page.get_by_label("Group", exact=True).fill(group)
    page.get_by_label("Password", exact=True).fill(password)


def join(page: Page) -> None:
    fill_in(page)
    page.get_by_role("button", name="Join").click()


def is_in(agent: Agent) -> None:
    agent.tell_state(joined=True, status=samples.status())


def test_joining_asks_for_three_things_and_ends_at_home(opened: Opened):
    agent = samples.fresh()
    page = opened(agent)
    join(page)
    expect(page.get_by_role("heading", name="Your recovery words")).to_be_visible()
    is_in(agent)
    expect(page.get_by_role("list", name="Recovery words").get_by_role("listitem")).to_have_count(
        24
    )
    assert agent.asked_for("join") == [
        {
            "group": "smiths",
            "password": "four words apart here",
            "space_bytes": 50 * samples.GB,
            "create": False,
        }
    ]
    page.get_by_label("The sheet is printed or saved somewhere safe.").check()
    page.get_by_role("button", name="I have kept it").click()
    expect(page.get_by_role("heading", name="What shall I back up?")).to_be_visible()
    assert agent.asked_for("sheet") == [{"saved": True}]
    expect(page.get_by_text("3 folders, 84 GB or more")).to_be_visible()
    page.get_by_label("Desktop").uncheck()
    page.get_by_role("button", name="Back these up").click()
    expect(page.get_by_text("are safe with 6 friends")).to_be_visible()
    assert agent.asked_for("mark") == [{"paths": ["/home/ann/Documents", "/home/ann/Pictures"]}]
    assert len(agent.asked_for("backup")) == 1


def test_the_first_of_a_group_is_told_so_and_types_the_password_again(opened: Opened):
    agent = samples.fresh()

    def answer(given: dict[str, object]) -> dict[str, object]:
        if not given["create"]:
            raise Refused("unknown_group", "There is no group «smiths» yet.", "Check the name.")
        return {"created": True, "words": samples.WORDS}

    agent.answers["join"] = answer
    page = opened(agent, errors_expected=True)
    join(page)
    expect(page.get_by_text("You are the first in «smiths».")).to_be_visible()
    page.get_by_label("The password once more").fill("something else")
    page.get_by_role("button", name="Start «smiths»").click()
    expect(page.get_by_text("The two passwords differ.")).to_be_visible()
    page.get_by_label("The password once more").fill("four words apart here")
    page.get_by_role("button", name="Start «smiths»").click()
    expect(page.get_by_role("heading", name="Your recovery words")).to_be_visible()
    assert [given["create"] for given in agent.asked_for("join")] == [False, True]


@pytest.mark.parametrize(
    ("code", "label", "says"),
    [
        ("wrong_password", "Password", "The group has another password."),
        ("weak_password", "Password", "This password would be guessed too easily."),
        ("bad_name", "Group", "That is no name."),
    ],
)
def test_what_is_wrong_with_a_field_is_said_at_it(opened: Opened, code: str, label: str, says: str):
    agent = samples.fresh()
    agent.answers["join"] = Refused(code, "That is no name.", "Use --name.")
    page = opened(agent, errors_expected=True)
    join(page)
    entry = page.get_by_label(label, exact=True)
    expect(entry).to_have_attribute("aria-invalid", "true")
    expect(entry).to_be_focused()
    expect(entry).to_have_accessible_description(re.compile(says))


def test_a_server_that_is_not_found_can_be_named(opened: Opened):
    agent = samples.fresh()
    agent.answers["join"] = Refused("no_server", "No server.", "Use --server.")
    page = opened(agent, errors_expected=True)
    join(page)
    expect(page.get_by_text("No server was found for this group.")).to_be_visible()
    page.get_by_label("Address of the server").fill("https://covey.example.org")
    agent.answers["join"] = {"created": False, "words": samples.WORDS}
    page.get_by_role("button", name="Join").click()
    expect(page.get_by_role("heading", name="Your recovery words")).to_be_visible()
    assert agent.asked_for("join")[-1]["server"] == "https://covey.example.org"


def test_a_server_that_is_away_is_said_below_the_fields(opened: Opened):
    agent = samples.fresh()
    agent.answers["join"] = Refused("unreachable", "The server cannot be reached.", "Try again.")
    page = opened(agent, errors_expected=True)
    join(page)
    alert = page.get_by_role("alert").filter(has_text="The server of the group cannot be reached.")
    expect(alert).to_be_visible()
    expect(page.get_by_role("button", name="Join")).to_be_enabled()


def test_empty_fields_are_not_sent(opened: Opened):
    agent = samples.fresh()
    page = opened(agent)
    expect(page.get_by_role("slider")).to_be_visible()
    page.get_by_role("button", name="Join").click()
    expect(page.get_by_text("Which group?")).to_be_visible()
    expect(page.get_by_label("Group", exact=True)).to_be_focused()
    assert agent.asked_for("join") == []


def test_the_space_can_be_chosen_with_the_keyboard_and_leaves_some_disk_free(opened: Opened):
    agent = samples.fresh()
    page = opened(agent)
    slider = page.get_by_role("slider", name="Space for your friends")
    expect(slider).to_have_attribute("aria-valuetext", "50 GB of 210 GB free")
    slider.focus()
    page.keyboard.press("End")
    expect(page.locator(".space-said")).to_have_text("189 GB")


def test_a_disk_that_is_almost_full_is_said(opened: Opened):
    agent = samples.fresh()
    agent.answers["space_free"] = {
        "free_bytes": 10**9,
        "total_bytes": 500 * 10**9,
        "default_offer_bytes": 10**9,
    }
    page = opened(agent)
    expect(page.get_by_text("This disk is almost full.")).to_be_visible()


def test_keeping_the_words_later_is_told_to_the_agent(opened: Opened):
    agent = samples.fresh()
    page = opened(agent)
    join(page)
    page.get_by_role("button", name="I'll do it later").click()
    is_in(agent)
    expect(page.get_by_role("heading", name="What shall I back up?")).to_be_visible()
    assert agent.asked_for("sheet") == [{"later": True}]


def test_the_words_can_be_looked_at_later(opened: Opened):
    page = opened(samples.group(sheet="later"))
    page.get_by_role("link", name="Keep them now").click()
    expect(page.get_by_text("ladder")).to_be_visible()


def test_a_link_fills_in_group_and_server(opened: Opened):
    page = opened(samples.fresh(), "start/join/the%20smiths/https%3A%2F%2Fcovey.example.org")
    expect(page.get_by_label("Group", exact=True)).to_have_value("the smiths")
    expect(page.get_by_label("Address of the server")).to_have_value("https://covey.example.org")


def test_a_lost_computer_comes_back_with_the_words(opened: Opened):
    agent = samples.fresh()
    page = opened(agent)
    page.get_by_role("link", name="I had Covey on another computer").click()
    fill_in(page)
    words = page.get_by_label("Recovery words")
    words.fill("1. ladder 2. honey")
    expect(page.get_by_text("2 of 24 words")).to_be_visible()
    page.get_by_role("button", name="Bring my backups back").click()
    expect(page.get_by_text("There are 2 words; the sheet has 24.")).to_be_visible()
    words.fill("\n".join(f"{at + 1}. {word.title()}" for at, word in enumerate(samples.WORDS)))
    expect(page.get_by_text("All 24 words are there.")).to_be_visible()
    page.get_by_role("button", name="Bring my backups back").click()
    expect(page.get_by_text("Asking your friends…")).to_be_visible()
    assert agent.asked_for("recover")[0]["words"] == " ".join(samples.WORDS)
    agent.tell_job(
        "job-1", event="done", ok=False, message="No friend is online.", next_step="Wait."
    )
    expect(page.get_by_text("No friend is online.")).to_be_visible()
    expect(page.get_by_role("button", name="Bring my backups back")).to_be_enabled()
