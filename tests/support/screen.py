"""A desktop of its own for programs with windows: a screen, a window manager, a session bus.

Everything is started in a home folder of its own and ended by its own process id.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

SIZE = "1280x800x24"
PATIENCE_S = 30.0
LOOK_EVERY_S = 0.1


class VirtualScreen:
    """Use as a context manager; `environment` is for what shall run on it."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self._folder, self._started = folder, list[subprocess.Popen[bytes]]()
        run = folder / "run"
        for made in (self.home, run):
            made.mkdir(parents=True)
        run.chmod(0o700)
        kept = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
        self.environment: dict[str, str] = {
            **kept,
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(run),
            "LANG": "C.UTF-8",
            "NO_AT_BRIDGE": "1",
        }

    def __enter__(self) -> VirtualScreen:
        try:
            display = self._told("Xvfb", "-displayfd", "{fd}", "-screen", "0", SIZE)
            self.environment["DISPLAY"] = f":{display}"
            self.start("openbox")
            bus = self._told("dbus-daemon", "--session", "--nofork", "--print-address={fd}")
            self.environment["DBUS_SESSION_BUS_ADDRESS"] = bus
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._started):
            process.terminate()
        for process in reversed(self._started):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)

    def start(self, *command: str, fds: Sequence[int] = ()) -> subprocess.Popen[bytes]:
        """A program on this screen; it ends with it."""
        with (self._folder / "screen.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=fds,
            )
        self._started.append(process)
        return process

    def _told(self, *command: str) -> str:
        """Start a server; the line that it writes when it is ready."""
        reading, writing = os.pipe()
        try:
            self.start(*(word.replace("{fd}", str(writing)) for word in command), fds=[writing])
        finally:
            os.close(writing)
        with os.fdopen(reading) as file:
            return file.readline().strip()

    def do(self, *arguments: str) -> str:
        """One xdotool command."""
        done = subprocess.run(
            ["xdotool", *arguments],
            env=self.environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        return done.stdout

    def window_of(self, name: str) -> str:
        """The window of a program, in front and quiet: it looks the same twice in a row."""
        window = self.do("search", "--sync", "--onlyvisible", "--class", name).split()[0]
        self.do("windowactivate", "--sync", window)
        self.settle()
        return window

    def settle(self, still_s: float = 1.0) -> None:
        """Return when nothing on the screen has moved for a while."""
        assert self.rests(still_s, PATIENCE_S), "the screen does not come to rest"

    def rests(self, still_s: float, within_s: float) -> bool:
        """Wait until nothing on the screen has moved for a while; False when that does not come."""
        deadline = time.monotonic() + within_s
        before, since = b"", time.monotonic()
        while time.monotonic() - since < still_s:
            if time.monotonic() > deadline:
                return False
            now = self._pixels()
            if now != before:
                before, since = now, time.monotonic()
            time.sleep(LOOK_EVERY_S)
        return True

    def _pixels(self) -> bytes:
        return subprocess.run(
            ["import", "-silent", "-window", "root", "-resize", "25%", "ppm:-"],
            env=self.environment,
            check=True,
            capture_output=True,
            timeout=PATIENCE_S,
        ).stdout

    def picture(self, path: Path) -> None:
        """What is on the screen."""
        path.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["import", "-silent", "-window", "root", str(path)],
            env=self.environment,
            check=True,
            timeout=PATIENCE_S,
        )

    def run(self, command: Sequence[str], more: Mapping[str, str]) -> str:
        """A command as a person on this screen would give it; what it prints."""
        done = subprocess.run(
            command,
            env={**self.environment, **more},
            check=True,
            timeout=60,
            capture_output=True,
            text=True,
        )
        return done.stdout
