"""«Back up with Covey» as a person does it: a right click in a real file manager, a real group."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from bench.group import ALONE, LocalGroup, covey
from peer.files.tagging import is_tagged, put_tag
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
    tagged = screen.home / "Music" / "song"
    tagged.parent.mkdir()
    tagged.write_text("la la la")
    put_tag(os.fsencode(tagged))
    group.join_all("ben", "carla")
    anna = group.join("anna", start=False)
    anna.environment |= screen.environment
    anna.start()
    screen.run(covey("--home", str(anna.home), "integrate"), ALONE)
    screen.start(manager, str(documents))

    choose(screen, manager, "mark")
    wanted.append(str(tagged))  # the agent took it up by itself, since nothing was marked
    until(lambda: sorted(anna.run("marks")["marks"]) == wanted)
    until(lambda: emblem_of(screen, documents / FILES[-1]) == "[emblem-covey-marked]")
    screen.settle()
    screen.picture(PICTURES / f"real-{manager}-emblems.png")
    group.wait_online(anna, 2)
    assert anna.run("backup")["ok"]
    assert anna.run("ls", "latest", str(tagged))["entries"]
    found = {one["path"] for one in anna.run("ls", "latest", str(documents))["entries"]}
    assert {Path(path).name for path in found} == {"Family album", *FILES}

    choose(screen, manager, "unmark")
    until(lambda: anna.run("marks")["marks"] == [str(tagged)])
    assert not is_tagged(os.fsencode(documents / FILES[-1]))


def emblem_of(screen: VirtualScreen, path: Path) -> str:
    """The emblem as the desktop keeps it."""
    command = ("gio", "info", "-a", "metadata::emblems", str(path))
    told = screen.run(command, {})
    return told.partition("metadata::emblems:")[2].strip()


def until(true) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.2)
