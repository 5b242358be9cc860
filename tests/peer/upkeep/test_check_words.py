"""What a check found, in words that a person understands."""

from __future__ import annotations

import pytest

from peer.upkeep.findings import DataRead, Findings, RootCopies, names, told


def found(**facts) -> Findings:
    known = {
        "packs": 120,
        "can_vanish": 3,
        "answered": ["Ann", "Bea"],
        "roots": RootCopies(newest=["Ann", "Bea"]),
    }
    return Findings(**{**known, **facts})


def test_all_is_well():
    event = told(found(silent=["Bea"]))
    assert event["ok"]
    assert event["message"] == (
        "All 120 parts of your backup can be rebuilt; any 3 friends can vanish. Bea did not answer."
    )
    assert event["next_step"] == ""


@pytest.mark.parametrize(
    ("people", "text"),
    [
        ([], ""),
        (["Ann"], "Ann"),
        (["Ann", "Bea"], "Ann and Bea"),
        (["Ann", "Bea", "Cy"], "Ann, Bea and Cy"),
        (["Ann", "Bea", "Cy", "Di", "Ed"], "Ann, Bea, Cy and 2 more"),
    ],
)
def test_people_are_named_as_one_would_say_it(people, text):
    assert names(people) == text


@pytest.mark.parametrize(
    ("facts", "said", "step"),
    [
        ({"can_vanish": 0}, "nobody may vanish.", ""),
        ({"can_vanish": 1}, "any 1 friend can vanish.", ""),
        ({"packs": 1}, "The one part of your backup can be rebuilt", ""),
        ({"offline": ["Cy", "Di"]}, "Cy and Di are not online.", ""),
        ({"wrong": {"Cy": 2}}, "Cy lists 2 shares and returned something else", ""),
        ({"unfinished": 2}, "2 parts of a backup that did not end: the next one goes on.", ""),
        ({"missing_old": 7}, "Older snapshots lack 7 pieces that got lost.", ""),
        (
            {"roots": RootCopies(newest=["Ann"], older=["Bea"])},
            "Bea has not got the newest record yet.",
            "covey backup",
        ),
        (
            {"read": DataRead(120, 120, 5000, 10**9, 0)},
            "All of it was fetched and opened: 5,000 pieces as they were.",
            "",
        ),
        (
            {"read": DataRead(6, 6, 5000, 10**9, 0)},
            "6 of 6 parts that were tried could be opened: 5,000 pieces as they were.",
            "",
        ),
    ],
)
def test_what_is_told_beside_that_all_is_well(facts, said, step):
    event = told(found(**facts))
    assert event["ok"], event
    assert said in event["message"]
    assert event["next_step"].endswith(step) if step else event["next_step"] == ""


@pytest.mark.parametrize(
    ("facts", "said", "step"),
    [
        ({"packs": 0}, "Nothing is backed up yet.", "covey backup"),
        (
            {"lost": 2, "offline": ["Cy"], "can_vanish": -1},
            "2 parts of 120 cannot be rebuilt from the 2 friends who answered. Cy is not online.",
            "Check again when Cy can be asked.",
        ),
        (
            {"lost": 1, "given_up": 1, "gone": ["2026-01-02 03:04"]},
            "The snapshot of 2026-01-02 03:04 went with it.",
            "covey backup",
        ),
        ({"lost": 3, "bare": ["Cy"]}, "Cy lacks most of what you gave them.", "can be asked."),
        ({"catalog": ["a page is torn"]}, "is damaged: a page is torn.", "covey check --rebuild"),
        ({"unreadable": ["Monday"]}, "of Monday cannot be read", "covey check --rebuild"),
        ({"missing_new": 4}, "The newest snapshot lacks 4 pieces.", "covey backup"),
        (
            {"roots": RootCopies(none=["Ann", "Bea"])},
            "No friend who answered has the newest record of your backups.",
            "covey backup",
        ),
        (
            {"roots": RootCopies(newest=["Ann"], newer=["Bea"])},
            "Bea has a newer record of your backups than this computer.",
            "takes over what it did.",
        ),
        ({"read": DataRead(120, 119, 1, 1, 1)}, "119 of 120 parts", "covey backup"),
    ],
)
def test_what_is_not_well_comes_with_the_next_step(facts, said, step):
    event = told(found(**facts))
    assert not event["ok"]
    assert said in event["message"]
    assert event["next_step"].endswith(step)
