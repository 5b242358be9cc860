"""The verbs about snapshots as a whole, as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.terminal import FakeEntry, Terminal, make_member


@pytest.fixture
def entry() -> FakeEntry:
    return FakeEntry()


@pytest.fixture
def member(tmp_path: Path, entry: FakeEntry) -> Terminal:
    terminal = Terminal(tmp_path / "home", entry)
    make_member(terminal.state)
    return terminal


def test_keep_alone_shows_the_rule(member: Terminal):
    assert member("keep").stdout == "Kept are 7 daily 5 weekly 12 monthly 3 yearly snapshots.\n"


def test_keep_with_a_rule_changes_it(member: Terminal, entry: FakeEntry):
    assert "From the next night on: 9 daily" in member("keep", "9", "daily").stdout
    assert entry.service.calls[-1] == ("keep", "9 daily")


def test_confirm_and_forget_ask_for_what_they_say(member: Terminal, entry: FakeEntry):
    assert "thinned out again" in member("confirm").stdout
    assert "14 more days" in member("forget", "abcdef").stdout
    assert entry.service.calls[-2:] == [("confirm", None), ("forget", "abcdef")]


def test_keep_answers_one_json_object(member: Terminal):
    answer = json.loads(member("--json", "keep").stdout)
    assert answer == {
        "ok": True,
        "keep": "7 daily 5 weekly 12 monthly 3 yearly",
        "held": None,
        "forgotten": [],
    }
