"""Friends, Space, Activity and the frame around all pages."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.gui.pages import samples
from tests.gui.pages.conftest import Opened
from tests.gui.pages.scripted import Refused

pytestmark = pytest.mark.slow


def test_each_friend_is_there_with_what_they_give_and_keep(opened: Opened):
    page = opened(samples.group(), "friends")
    expect(page.get_by_text("6 friends, 4 of them awake.")).to_be_visible()
    ann = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="Ann"))
    expect(ann).to_contain_text("awake now")
    expect(ann).to_contain_text("often awake")
    expect(ann).to_contain_text("40 GB")
    clara = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="Clara"))
    expect(clara).to_contain_text("seen 5 hours ago")
    rows = page.get_by_role("table", name="Which parts of your backup").get_by_role("row")
    expect(rows).to_have_count(6)


def test_of_a_friend_who_is_away_it_is_said_what_happens_when(opened: Opened):
    agent = samples.group()
    clara, farid = agent.answers["friends"][2], agent.answers["friends"][5]
    clara |= {"away_s": 2 * 86_400.0, "grace_s": 4 * 86_400.0}
    farid |= {"away_s": 9 * 86_400.0, "gone": True, "audit": "could not show 1 part"}
    page = opened(agent, "friends")
    expect(page.get_by_text("Away for 2 days; after 4 days what they keep")).to_be_visible()
    expect(page.get_by_text("Away for so long that what they keep")).to_be_visible()
    expect(page.get_by_text("Could not show all that they keep")).to_be_visible()


def test_space_says_what_fits_and_what_to_give(opened: Opened):
    agent = samples.group()
    page = opened(agent, "space")
    expect(page.get_by_text("You can back up 11 GB more.")).to_be_visible()
    expect(page.get_by_text("Give 50 GB more for about 25 GB more of your own")).to_be_visible()
    page.get_by_role("slider").focus()
    page.keyboard.press("End")
    page.get_by_role("button", name="Give this much").click()
    expect(page.get_by_text("You give", exact=False).last).to_be_visible()
    expect(page.locator(".toast")).to_contain_text("You give 250 GB now.")
    assert agent.asked_for("set_space") == [{"offer_bytes": 250_000_000_000}]


def test_friends_who_give_little_are_the_limit(opened: Opened):
    agent = samples.group()
    agent.answers["space"] |= {"fits_bytes": 6 * samples.GB, "bound": "friends", "proposal": None}
    page = opened(agent, "space")
    expect(page.get_by_text("You can back up 6 GB more.")).to_be_visible()
    expect(page.get_by_text("Your friends have no room for more.")).to_be_visible()


def test_the_ledger_shows_who_takes_more_than_they_may(opened: Opened):
    agent = samples.group()
    greedy = agent.answers["space"]["ledger"][2]
    greedy["usage_bytes"] = 200 * samples.GB
    agent.answers["space"]["warnings"] = ["You take too much."]
    page = opened(agent, "space")
    expect(page.get_by_text("You take too much.")).to_be_visible()
    page.get_by_text("Who gives and takes how much").first.click()
    expect(page.get_by_role("row", name="Ben")).to_contain_text("gets no more for now")
    expect(page.get_by_role("row", name="laptop (you)")).to_contain_text("98 GB")


def test_activity_tells_of_a_night_when_its_day_is_touched(opened: Opened):
    page = opened(samples.group(), "activity")
    expect(page.get_by_role("heading", name="Nights")).to_be_visible()
    bad = page.get_by_role("button", name="not finished").first
    bad.click()
    expect(page.get_by_text("Too few friends were there.")).to_be_visible()
    expect(page.get_by_role("img", name="In 30 days")).to_be_visible()
    expect(page.get_by_text("Clara was not seen for 5 days.")).to_be_visible()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("friends", "Nobody else is here yet"),
        ("space", "Nobody gives space yet."),
        ("activity", "No night has passed yet"),
    ],
)
def test_pages_say_what_to_do_while_there_is_nothing(opened: Opened, name: str, says: str):
    page = opened(samples.alone(), name)
    expect(page.get_by_text(says)).to_be_visible()


@pytest.mark.parametrize(("name", "call"), [("friends", "friends"), ("space", "space")])
def test_a_page_that_gets_no_answer_offers_to_try_again(opened: Opened, name: str, call: str):
    agent = samples.group()
    answer = agent.answers[call]
    agent.answers[call] = Refused("internal", "Covey met a fault of its own.", "Try again.")
    page = opened(agent, name, errors_expected=True)
    expect(page.get_by_text("Covey met a fault of its own.")).to_be_visible()
    agent.answers[call] = answer
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("Covey met a fault of its own.")).to_have_count(0)


def test_an_agent_that_is_gone_is_said_and_found_again(opened: Opened):
    agent = samples.group()
    page = opened(agent, errors_expected=True)
    expect(page.get_by_text("are safe")).to_be_visible()
    page.context.set_offline(True)
    agent.hang_up()
    expect(page.get_by_role("alert").filter(has_text="Covey is not running.")).to_be_visible()
    page.context.set_offline(False)
    expect(page.get_by_text("Covey is not running.")).to_have_count(0, timeout=20_000)


def test_the_pages_are_walked_with_links_and_the_back_button(opened: Opened):
    page = opened(samples.group())
    page.get_by_role("link", name="Friends", exact=True).click()
    expect(page.get_by_role("heading", name="Friends", level=1)).to_be_visible()
    expect(page.get_by_role("main")).to_be_focused()
    expect(page).to_have_title("Friends – Covey")
    page.go_back()
    expect(page.get_by_text("are safe with 6 friends")).to_be_visible()


def test_colours_and_language_are_kept(opened: Opened):
    page = opened(samples.group())
    page.get_by_role("button", name="Dark colours").click()
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.get_by_label("Language").select_option("de")
    expect(page.get_by_role("link", name="Zurückholen")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("lang", "de")


def test_pages_work_where_the_browser_keeps_nothing(opened: Opened):
    page = opened(samples.group())
    # As in the window by WebKitGTK: a private one has no localStorage.
    page.add_init_script("Object.defineProperty(window, 'localStorage', {value: null})")
    page.reload()
    expect(page.get_by_text("are safe with 6 friends")).to_be_visible()
    page.get_by_role("button", name="Dark colours").click()
    page.get_by_label("Language").select_option("de")
    expect(page.get_by_role("link", name="Zurückholen")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_who_wants_to_leave_is_asked_and_sees_it_through(opened: Opened):
    agent = samples.group()
    page = opened(agent, "space")
    page.get_by_text("Leave the group", exact=True).click()
    page.get_by_role("button", name="Leave the group…").click()
    page.get_by_role("button", name="Cancel").click()
    assert agent.asked_for("leave") == []
    page.get_by_role("button", name="Leave the group…").click()
    page.get_by_role("dialog").get_by_role("button", name="Leave", exact=True).click()
    expect(page.get_by_text("Friends take what they keep here elsewhere.")).to_be_visible()
    gb = samples.GB
    agent.tell_job(
        "job-1",
        event="progress",
        stage="hand over",
        bytes=2 * gb,
        bytes_total=8 * gb,
        waiting_for=["Ann"],
    )
    expect(page.get_by_text("2 GB of 8 GB, waiting for Ann.")).to_be_visible()
    expect(page.get_by_role("button", name="Stay after all")).to_be_visible()
    agent.tell_job("job-1", event="done", ok=True, message="", next_step="", summary={})
    expect(page.get_by_text("This computer has left the group.")).to_be_visible()
    assert agent.asked_for("leave") == [{}]
