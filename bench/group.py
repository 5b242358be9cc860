"""A real group on this computer: server and members as processes of their own.

Everything that is started is ended, by its own process id, also when a test fails. The programs
are those that a person runs: `covey serve`, `covey join`, `covey agent`.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

START_TIMEOUT_S = 60.0
COMMAND_TIMEOUT_S = 600.0


ALONE = {"COVEY_LAN": "off", "COVEY_MAP_PORTS": "off", "COVEY_NIGHTS": "off"}
"""All members are on this computer: what else is on its network is left alone."""


class CommandFailed(Exception):
    """A command ended with another exit code than 0."""

    def __init__(self, arguments: Sequence[str], code: int, output: str, errors: str) -> None:
        super().__init__(f"covey {' '.join(arguments)} ended with {code}\n{output}\n{errors}")
        self.code, self.output, self.errors = code, output, errors


def covey(*arguments: str) -> list[str]:
    """The command line that runs Covey in this interpreter."""
    return [sys.executable, "-m", "peer", *arguments]


@dataclass(slots=True)
class MemberProcess:
    """A member: its folder, and its agent while that runs."""

    name: str
    home: Path
    agent: subprocess.Popen[bytes] | None = None
    within: Sequence[str] = ()
    """What runs a command elsewhere: `ip netns exec NAME` for a network of its own."""
    environment: dict[str, str] = field(default_factory=ALONE.copy)

    @property
    def log(self) -> Path:
        """Where the agent's messages go."""
        return self.home.with_suffix(".log")

    def run(self, *arguments: str, timeout_s: float = COMMAND_TIMEOUT_S) -> Any:  # noqa: ANN401 - JSON
        """A command with --json; its answer. Raises CommandFailed."""
        done = subprocess.run(
            [*self.within, *covey("--home", str(self.home), "--json", *arguments)],
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            raise CommandFailed(arguments, done.returncode, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def start(self) -> None:
        """Start the agent; returns when it answers."""
        (self.home / "api.json").unlink(missing_ok=True)  # a killed agent left its own
        with self.log.open("ab") as log:
            self.agent = subprocess.Popen(
                [*self.within, *covey("--home", str(self.home), "agent")],
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (self.home / "api.json").exists():
            if self.agent.poll() is not None:
                raise RuntimeError(f"{self.name} ended:\n{self.log.read_text()[-2000:]}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} does not start")
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL the agent and all its processes."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM the agent and see it out."""
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        agent, self.agent = self.agent, None
        if agent is None:
            return
        try:
            if number == signal.SIGKILL:
                os.killpg(agent.pid, number)
            else:
                agent.send_signal(number)
            agent.wait(timeout=30)
        except ProcessLookupError:
            agent.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(agent.pid, signal.SIGKILL)
            agent.wait(timeout=30)


@dataclass(slots=True)
class LocalGroup:
    """A server and its members; use as a context manager."""

    folder: Path
    group: str = "The Testers"
    password: str = field(default_factory=lambda: f"correct {secrets.token_hex(8)} staple")
    members: dict[str, MemberProcess] = field(default_factory=dict)
    server: subprocess.Popen[str] | None = None
    url: str = ""

    def __enter__(self) -> LocalGroup:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.password_file.write_text(self.password + "\n")
        self.start_server()
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members.values():
            member.kill()
        self.stop_server()

    @property
    def password_file(self) -> Path:
        """Where the group's password stands."""
        return self.folder / "password"

    def words_file(self, name: str) -> Path:
        """Where a member's recovery words stand."""
        return self.folder / f"{name}.words"

    def start_server(self, port: int = 0) -> None:
        """Start the signaling server; returns when it has told its URL."""
        with (self.folder / "server.log").open("ab") as log:
            self.server = subprocess.Popen(
                covey("serve", "--port", str(port), "--data", str(self.folder / "server")),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        assert self.server.stdout is not None
        self.url = self.server.stdout.readline().strip()
        if not self.url.startswith("http"):
            raise RuntimeError(f"the server says: {self.url!r}")

    def stop_server(self) -> None:
        """End the signaling server."""
        server, self.server = self.server, None
        if server is not None:
            server.terminate()
            try:
                server.wait(timeout=15)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait(timeout=15)
            assert server.stdout is not None
            server.stdout.close()

    def join(self, name: str, *, space: str = "2GB", start: bool = True) -> MemberProcess:
        """A new member of the group, started unless told otherwise."""
        member = MemberProcess(name, self.folder / name)
        member.run(
            "join",
            self.group,
            "--space",
            space,
            "--name",
            name,
            "--server",
            self.url,
            "--password-file",
            str(self.password_file),
            "--create",
            "--words-file",
            str(self.words_file(name)),
        )
        self.members[name] = member
        if start:
            member.start()
        return member

    def join_all(self, *names: str) -> list[MemberProcess]:
        """New members, two at a time: most of a join is work for a processor."""
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(self.join, names))

    def wait_online(self, member: MemberProcess, friends: int, timeout_s: float = 60.0) -> None:
        """Return when `member` sees so many friends online."""
        deadline = time.monotonic() + timeout_s
        while True:
            status = member.run("status")
            if status["friends_online"] >= friends:
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"{member.name} sees {status['friends_online']} friends only")
            time.sleep(0.2)

    def recover(self, name: str, old: str, *, start: bool = True) -> MemberProcess:
        """The member `old` on a new computer called `name`, from its recovery words."""
        member = MemberProcess(name, self.folder / name)
        member.run(
            "recover",
            self.group,
            "--words-file",
            str(self.words_file(old)),
            "--server",
            self.url,
            "--password-file",
            str(self.password_file),
            "--name",
            name,
        )
        self.members[name] = member
        if start:
            member.start()
        return member

    def lose(self, name: str) -> None:
        """The computer is gone: its processes and all its state."""
        member = self.members.pop(name)
        member.kill()
        shutil.rmtree(member.home)
