"""The command line as a person or a script runs it, in a world without a network."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from datachannel.rendezvous import JoinRefused
from peer import service, words
from peer.cli.app import covey
from peer.cli.running import Wishes
from peer.service import Event, Service
from peer.state import Config, Secrets, StateFolder
from tests.support.fake_service import FakeService

STRONG = "gravel-pelican-oboe-thirteen"
MASTER = bytes(range(32))
SERVER = "http://127.0.0.1:8000"


@dataclass
class Joined:
    words: Sequence[str]
    created: bool


@dataclass
class FakeEntry:
    """The composition root of a world with one server, whose groups are `groups`."""

    service: FakeService = field(default_factory=FakeService)
    groups: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    agents: int = 0
    scheduled: bool = True
    take_over: bool = False
    on_join: Callable[[], None] = lambda: None
    problem: Exception | None = None

    @contextlib.asynccontextmanager
    async def open_service(self, state: StateFolder) -> AsyncIterator[Service]:
        if self.problem:
            raise self.problem
        with state.lock():
            yield self.service

    async def run_agent(
        self,
        state: StateFolder,
        beside: Any = None,
        *,
        scheduled: bool = True,
        take_over: bool = False,
    ) -> None:
        self.agents += 1
        self.take_over = take_over
        self.scheduled = scheduled

    async def join(self, state: StateFolder, **wish: Any) -> Joined:
        self.asked.append(wish)
        known = self.groups.get(wish["group"])
        if known is None and not wish["create"]:
            raise JoinRefused("unknown_group", "no such group")
        if known not in (None, wish["password"]):
            raise JoinRefused("wrong_password", "no")
        self.groups[wish["group"]] = wish["password"]
        make_member(state)
        self.on_join()
        return Joined(words.words_of(MASTER), created=known is None)

    async def recover(self, state: StateFolder, **wish: Any) -> AsyncIterator[Event]:
        self.asked.append(wish)
        yield service.progress("fetch")
        yield service.done(ok=True, message="Everything is here again.")


def make_member(state: StateFolder) -> None:
    config = Config(group="smiths", server=SERVER, member_name="me", offer_bytes=1, created_ns=1)
    state.create(config, Secrets(MASTER, MASTER, MASTER, MASTER))


class Terminal:
    """Runs `covey` as a person or a script would."""

    def __init__(self, home: Path, entry: FakeEntry) -> None:
        self.home = home
        self.state = StateFolder(home)
        self.entry = entry

    def __call__(self, *arguments: str, typed: str = "") -> Result:
        wishes = Wishes(home=self.home, entry=lambda: self.entry)
        return CliRunner().invoke(covey, arguments, obj=wishes, input=typed)

    def json(self, *arguments: str) -> tuple[int, Any]:
        result = self(*arguments, "--json")
        assert len(result.stdout.splitlines()) == 1, result.output
        assert result.stderr == ""
        return result.exit_code, json.loads(result.stdout)
