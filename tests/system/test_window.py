"""The real window on a screen of its own, by Debian's WebKitGTK: an invited person joins in it.

WebKitGTK's bindings are made for Debian's own Python. pywebview and what it needs are plain Python,
so that this Python can borrow them from the environment of the tests.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.group import ALONE, LocalGroup, covey
from gui import links
from gui.links import Invitation
from tests.support.screen import VirtualScreen

pytestmark = [pytest.mark.system, pytest.mark.slow]

PYTHON = "/usr/bin/python3"
BORROWED = ("webview", "bottle", "proxy_tools", "typing_extensions")
SHOW = "import sys; from gui.window.window import show; show(sys.argv[1])"
ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "build" / "screenshots"
PATIENCE_S = 60.0
SHOWN_S = 12.0
"""By then a page is drawn, although something on it may go on moving, like a text cursor."""
PASSWORD = ("600", "507")
"""Where the invited person finds the field on the screen."""


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[VirtualScreen]:
    with VirtualScreen(tmp_path / "screen") as made:
        made.environment |= ALONE
        yield made


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """What Debian's Python borrows."""
    folder = tmp_path / "library"
    folder.mkdir()
    for name in BORROWED:
        found = importlib.util.find_spec(name)
        assert found is not None
        assert found.origin is not None
        place = Path(found.origin)
        place = place.parent if place.name == "__init__.py" else place
        (folder / place.name).symlink_to(place)
    (folder / "gui").symlink_to(ROOT / "gui")
    return folder


def comes(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.1)


def windows(screen: VirtualScreen) -> list[str]:
    """Windows of that name; a search fails too when another one goes while it looks."""
    try:
        return screen.do("search", "--onlyvisible", "--name", "^Covey$").split()
    except subprocess.CalledProcessError:
        return []


def test_an_invited_person_joins_in_the_window_and_the_agent_outlives_it(
    group: LocalGroup, screen: VirtualScreen, library: Path, tmp_path: Path
):
    group.join_all("ben")
    state = tmp_path / "state"
    agent = screen.start(*covey("--home", str(state), "agent"))
    comes((state / "pages.json").exists, "the agent's pages")
    told = screen.run(covey("--json", "--home", str(state), "url"), {})
    page = urllib.parse.quote(links.page_of(Invitation(group.group, group.url)), safe="")
    address = f"{json.loads(told)['url']}&page={page}"
    screen.environment["PYTHONPATH"] = str(library)
    window = screen.start(PYTHON, "-c", SHOW, address)
    comes(lambda: windows(screen), "the window")
    screen.do("windowactivate", "--sync", windows(screen)[0])
    screen.rests(1.0, SHOWN_S)
    screen.picture(PICTURES / "real-window-join.png")

    screen.do("mousemove", *PASSWORD, "click", "1")
    screen.do("type", group.password)
    screen.do("key", "Return")
    comes((state / "config.json").exists, "the member")
    screen.rests(1.0, SHOWN_S)
    screen.picture(PICTURES / "real-window-words.png")

    screen.do("key", "alt+F4")
    assert window.wait(30) == 0
    assert agent.poll() is None
