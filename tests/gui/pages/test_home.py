"""Home, as a person meets it."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Route, expect

from tests.gui.pages import samples
from tests.gui.pages.conftest import Opened
from tests.gui.pages.scripted import Refused

pytestmark = pytest.mark.slow

NOW_NS = time.time_ns()


def test_one_sentence_tells_that_all_is_well(opened: Opened):
    page = opened(samples.group())
    sentence = "All 12,431 files are safe with 6 friends; any 3 can vanish."
    expect(page.get_by_role("heading", level=1)).to_have_text(sentence)
    expect(page.get_by_text("Last backup")).to_be_visible()


def test_the_sentence_speaks_german_where_the_browser_does(opened: Opened):
    page = opened(samples.group(), locale="de-DE")
    sentence = "Alle 12.431 Dateien sind sicher bei 6 Freunden; 3 beliebige dürfen ausfallen."
    expect(page.get_by_role("heading", level=1)).to_have_text(sentence)


def test_a_warning_of_the_agent_is_shown_in_german(opened: Opened):
    agent = samples.group(warnings=["The restore drill could not bring back 2 of 9: a.txt."])
    page = opened(agent, locale="de-DE")
    expect(page.get_by_text("Die Probe konnte 2 von 9 nicht zurückholen: a.txt.")).to_be_visible()


def test_backing_up_shows_how_far_it_is_and_to_whom(opened: Opened):
    agent = samples.group()
    page = opened(agent)
    expect(page.get_by_role("button", name="Ann: awake")).to_be_visible()
    page.get_by_role("button", name="Back up now").click()
    expect(page.get_by_text("Beginning…")).to_be_visible()
    agent.tell_job(
        "job-1", event="progress", stage="ship", files=40, files_total=120, bytes=3 * 10**9,
        bytes_total=12 * 10**9, rate=5e6, seconds_left=1800, friends={"Ann": 4}, waiting_for=[],
    )  # fmt: skip
    expect(page.get_by_text("Carrying it to your friends")).to_be_visible()
    expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "25")
    expect(page.get_by_text("30 minutes to go")).to_be_visible()
    expect(page.locator("line.carrying")).to_have_count(1)
    agent.tell_job(
        "job-1", event="done", ok=True, message="All 120 files are safe.", next_step="", summary={}
    )
    expect(page.get_by_text("All 120 files are safe.")).to_be_visible()
    expect(page.locator("line.carrying")).to_have_count(0)


def test_a_backup_that_another_page_began_is_followed(opened: Opened):
    agent = samples.group()
    last = {"event": "progress", "stage": "scan", "files": 7, "bytes": 0, "friends": {}}
    agent.state["jobs"] = {"job-9": {"what": "backup", "last": last}}
    page = opened(agent)
    expect(page.get_by_text("Looking for what is new")).to_be_visible()
    expect(page.get_by_role("button", name="Backing up…")).to_be_disabled()


def test_a_backup_can_be_stopped_after_a_question(opened: Opened):
    agent = samples.group()
    page = opened(agent)
    page.get_by_role("button", name="Back up now").click()
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.wait_for_function("() => true")
    assert agent.asked_for("cancel") == [{"job": "job-1"}]


def test_a_backup_that_cannot_begin_says_why(opened: Opened):
    agent = samples.group()
    agent.answers["backup"] = Refused("busy", "None of your 6 friends is online.", "Try later.")
    page = opened(agent, errors_expected=True)
    page.get_by_role("button", name="Back up now").click()
    expect(page.get_by_text("None of your 6 friends is online.")).to_be_visible()
    expect(page.get_by_role("button", name="Back up now")).to_be_enabled()


def test_a_backup_that_ends_before_the_page_knows_its_name_stays_ended(opened: Opened):
    agent = samples.group()
    page = opened(agent)
    answers: list[Route] = []
    page.route("**/api/backup", lambda route: answers.append(route))
    page.get_by_role("button", name="Back up now").click()
    agent.tell_state(jobs={"job-1": {"what": "backup", "last": {}}})
    agent.tell_job("job-1", event="problem", text="No friend is online.", next_step="Try later.")
    alert = page.get_by_text("No friend is online.")
    expect(alert).to_be_visible()
    with page.expect_response("**/api/backup"):
        answers[0].fulfill(status=202, json={"job": "job-1"})
    page.evaluate("new Promise((done) => setTimeout(done))")
    expect(alert).to_be_visible()


def test_friends_can_be_imagined_gone_with_the_keyboard(opened: Opened):
    page = opened(samples.group())
    first = page.get_by_role("button", name="Ann: awake")
    first.focus()
    for _ in range(3):
        page.keyboard.press("Enter")
        page.keyboard.press("ArrowRight")
    expect(page.get_by_text("Without Ann, Ben and Clara everything would")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_text("some files could be lost")).to_be_visible()
    expect(first).to_have_attribute("aria-pressed", "true")


def test_a_friend_who_was_not_seen_for_days_is_away(opened: Opened):
    agent = samples.group()
    agent.answers["friends"][1] |= {"online": False, "last_seen_ns": NOW_NS - 5 * samples.DAY_NS}
    page = opened(agent)
    expect(page.get_by_role("button", name="Ben: away, seen 5 days ago")).to_be_visible()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"connected": False}, "The group cannot be reached at the moment."),
        ({"friends_online": 0}, "All your friends are asleep."),
        ({"warnings": ["Space is short."]}, "Space is short."),
        ({"waiting_because": "The battery is low."}, "The battery is low."),
        ({"sheet": "later"}, "Your recovery words are not kept yet."),
        ({"unsafe_packs": 4}, "A newer backup waits for friends."),
        ({"can_vanish": 0}, "but none of them may vanish"),
        ({"last_snapshot": None}, "Nothing is backed up yet."),
        ({"marks": []}, "Nothing is marked for backup yet."),
    ],
)
def test_what_is_not_well_is_said(opened: Opened, changes: dict[str, object], says: str):
    page = opened(samples.group(**changes))
    expect(page.get_by_text(says)).to_be_visible()


def test_who_is_alone_is_shown_how_to_ask_a_friend(opened: Opened):
    page = opened(samples.alone())
    expect(page.get_by_text("You are the only one here so far.")).to_be_visible()
    page.get_by_role("button", name="Ask a friend").click()
    letter = page.get_by_role("textbox", name="A message for your friend")
    expect(letter).to_have_value(re.compile("«smiths».*covey:"))
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_text("Copied.")).to_be_visible()


def test_pausing_asks_the_agent(opened: Opened):
    agent = samples.group()
    page = opened(agent)
    page.get_by_text("Pause", exact=True).click()
    page.get_by_role("button", name="For an hour").click()
    expect(page.get_by_text("Paused for an hour.")).to_be_visible()
    assert agent.asked_for("pause") == [{"until": "hour"}]
    agent.tell(paused_until_ns=time.time_ns() + samples.HOUR_NS)
    expect(page.get_by_role("button", name="Go on")).to_be_visible()


def test_the_state_is_live(opened: Opened):
    agent = samples.group()
    page = opened(agent)
    expect(page.get_by_text("any 3 can vanish")).to_be_visible()
    agent.tell(can_vanish=1, friends=5)
    expect(page.get_by_text("with 5 friends; any one can vanish")).to_be_visible()
