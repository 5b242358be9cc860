"""From a command to the pages: the agent is started once, found again, and missed when it died."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from bench.group import covey
from peer.state import StateFolder

pytestmark = [pytest.mark.system, pytest.mark.slow]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateFolder]:
    """A folder without a member; the agent that was started for it ends with the test."""
    made = StateFolder(tmp_path / "state")
    yield made
    end(made, signal.SIGTERM)


def address_of(state: StateFolder) -> str:
    """What `covey url` prints."""
    done = subprocess.run(
        covey("--json", "--home", str(state.home), "url"),
        check=True,
        capture_output=True,
        timeout=60,
    )
    return str(json.loads(done.stdout)["url"])


def pid_of(state: StateFolder) -> int:
    told = json.loads((state.home / "pages.json").read_bytes())
    return int(told["pid"])


def end(state: StateFolder, how: signal.Signals) -> None:
    agent = psutil.Process(pid_of(state))
    agent.send_signal(how)
    agent.wait(30)


def key_in(address: str) -> str:
    return urllib.parse.parse_qs(urllib.parse.urlsplit(address).query)["key"][0]


def test_the_agent_is_started_once_and_each_address_lets_in_anew(state: StateFolder):
    first = address_of(state)
    agent = pid_of(state)
    second = address_of(state)
    assert pid_of(state) == agent
    assert key_in(first) != key_in(second)


def test_an_agent_that_was_killed_is_noticed_and_another_started(state: StateFolder):
    address_of(state)
    killed = pid_of(state)
    end(state, signal.SIGKILL)
    address_of(state)
    assert pid_of(state) != killed


def test_a_double_click_starts_one_agent(state: StateFolder):
    with ThreadPoolExecutor(2) as clicks:
        addresses = list(clicks.map(address_of, [state, state]))
    assert len({urllib.parse.urlsplit(address).netloc for address in addresses}) == 1
    assert len({key_in(address) for address in addresses}) == 2


def test_the_agent_outlives_the_command_that_started_it(state: StateFolder):
    address_of(state)
    assert os.getsid(pid_of(state)) != os.getsid(0)


def test_an_agent_that_cannot_stay_says_why(tmp_path: Path):
    broken = StateFolder(tmp_path / "state")
    broken.prepare()
    broken.config_file.write_text("no json")
    done = subprocess.run(
        covey("--home", str(broken.home), "url"), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "could not stay" in done.stderr
    assert "agent.log" in done.stderr
