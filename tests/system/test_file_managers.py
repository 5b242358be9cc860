"""«Back up with Covey» as a person does it: a right click in a real file manager, a real group."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from bench.group import ALONE, LocalGroup, covey
from tests.support.screen import VirtualScreen

pytestmark = [pytest.mark.system, pytest.mark.slow]

PICTURES = Path(__file__).parents[2] / "build" / "screenshots"
FILES = ("photo é.jpg", "plain.txt", "tax 100% 'mine' $2025.txt")
PATIENCE_S = 30.0

FIRST_ITEM = {"thunar": ("243", "133"), "nemo": ("237", "150")}
"""Where a fresh window shows the first item of a folder, warning bar for root or not."""
WAYS = {
    "thunar": {"mark": ["Up"] * 3, "unmark": ["Up"] * 2},
    "nemo": {"mark": ["Down"] * 2, "unmark": ["Down"] * 3},
}
"""The keys that lead to an entry, wherever the menu opens."""


@pytest.fixture
def screen(tmp_path: Path):
    with VirtualScreen(tmp_path / "screen") as made:
        yield made


def choose(screen: VirtualScreen, manager: str, verb: str) -> None:
    """Select all, right click on the first item, and take Covey's entry."""
    window = screen.window_of(manager)
    at = ("mousemove", "--window", window, *FIRST_ITEM[manager], "click")
    screen.do(*at, "1")
    screen.do("key", "ctrl+a")
    screen.settle(0.5)
    screen.do(*at, "3")
    screen.settle(0.5)
    screen.do("key", "--delay", "100", *WAYS[manager][verb])
    screen.settle(0.5)
    screen.picture(PICTURES / f"real-{manager}-{verb}.png")
    screen.do("key", "Return")


@pytest.mark.parametrize("manager", sorted(FIRST_ITEM))
def test_a_right_click_backs_up_what_is_selected_and_another_stops_it(
    manager: str, group: LocalGroup, screen: VirtualScreen
):
    documents = screen.home / "Documents"
    (documents / "Family album").mkdir(parents=True)
    (documents / "Family album" / "grandmother.jpg").write_bytes(os.urandom(50_000))
    for name in FILES:
        (documents / name).write_text(name)
    wanted = sorted(str(path) for path in documents.iterdir())
    group.join_all("ben", "carla", "anna")
    anna = group.members["anna"]
    screen.run(covey("--home", str(anna.home), "integrate"), ALONE)
    screen.start(manager, str(documents))

    choose(screen, manager, "mark")
    until(lambda: sorted(anna.run("marks")["marks"]) == wanted)
    group.wait_online(anna, 2)
    assert anna.run("backup")["ok"]
    found = {one["path"] for one in anna.run("ls", "latest", str(documents))["entries"]}
    assert {Path(path).name for path in found} == {Path(path).name for path in wanted}

    choose(screen, manager, "unmark")
    until(lambda: anna.run("marks")["marks"] == [])


def until(true) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.2)
