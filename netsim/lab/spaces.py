"""Network namespaces, and the processes in them: none outlives the lab that made it.

A lab's namespaces are called `cvy<process id>-<name>`. Each is deleted when its context ends, with
every process in it; a lab that was killed leaves some behind, and the next lab takes them away, for
their names tell that their process is gone. Needs root.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

PREFIX = "cvy"
END_S_MAX = 10.0
"""For a process to end when it is asked to; then it is made to."""
COMMAND_S_MAX = 60.0
_OURS = re.compile(rf"{PREFIX}(\d+)-")
_ETC = Path("/etc/netns")
_NEEDED = {"ip": "iproute2", "tc": "iproute2", "nft": "nftables", "turnserver": "coturn"}


class LabError(Exception):
    """The lab cannot be built; the text says why, and what to do."""


class Space:
    """A network namespace: a computer's or a router's network."""

    def __init__(self, name: str) -> None:
        self.name = name

    def ip(self, *arguments: str) -> None:
        """Run `ip` in here. Raises LabError."""
        call("ip", "-n", self.name, *arguments)

    def run(self, *command: str, text: str | None = None) -> str:
        """Run a command in here and return what it prints. Raises LabError."""
        return call(*self.inside(command), text=text)

    def set(self, **switches: int) -> None:
        """Set the kernel's switches, `ipv4__ip_forward=1` for net.ipv4.ip_forward."""
        for name, value in switches.items():
            self.run("sysctl", "-qw", f"net.{name.replace('__', '.')}={value}")

    def hosts(self, names: Mapping[str, Sequence[str]]) -> None:
        """Let these names mean these addresses in here, and ask nobody about others."""
        folder = _ETC / self.name
        folder.mkdir(parents=True, exist_ok=True)
        lines = [f"{address} {name}\n" for name, found in names.items() for address in found]
        (folder / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n" + "".join(lines))
        (folder / "resolv.conf").write_text("")

    def inside(self, command: Sequence[str]) -> list[str]:
        """The command line that runs a command in here, under the process id of the first."""
        return ["ip", "netns", "exec", self.name, *command]

    @contextmanager
    def running(
        self,
        *command: str,
        stdin: int = subprocess.DEVNULL,
        stdout: int | IO[bytes] = subprocess.DEVNULL,
        stderr: int | IO[bytes] = subprocess.DEVNULL,
        env: Mapping[str, str] | None = None,
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A process in here while the context lasts."""
        process = subprocess.Popen(
            self.inside(command),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=os.environ | dict(env or {}),
            start_new_session=True,  # an interrupt from the keyboard is for the lab alone
        )
        try:
            yield process
        finally:
            end(process)


@contextmanager
def new_space(name: str) -> Iterator[Space]:
    """A namespace while the context lasts. Raises LabError."""
    space = Space(f"{PREFIX}{os.getpid()}-{name}")
    call("ip", "netns", "add", space.name)
    try:
        space.ip("link", "set", "lo", "up")
        # Else each device is silent over IPv6 for its first second or two.
        space.set(ipv6__conf__default__accept_dad=0)
        yield space
    finally:
        _delete(space.name)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and close what leads to it."""
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(END_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(END_S_MAX)


def call(*command: str, text: str | None = None) -> str:
    """Run a command and return what it prints. Raises LabError."""
    try:
        done = subprocess.run(
            command,
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_S_MAX,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(f"`{' '.join(command)}` does not run: {error}") from error
    if done.returncode:
        raise LabError(f"`{' '.join(command)}` says: {done.stderr.strip()}")
    return done.stdout


def check_possible() -> None:
    """Raise LabError when no lab can be built here."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        raise LabError("The lab makes network namespaces, so it needs root. Run it with sudo.")
    missing = sorted({package for tool, package in _NEEDED.items() if shutil.which(tool) is None})
    if missing:
        raise LabError(f"The lab needs {', '.join(missing)}. apt-get install {' '.join(missing)}")
    if not os.path.exists("/dev/net/tun"):
        raise LabError("The lab needs TUN devices. Try `modprobe tun`.")


def sweep() -> None:
    """Take away what labs left behind that were killed."""
    for line in call("ip", "netns", "list").splitlines():
        name = line.partition(" ")[0]
        if _is_left(name):
            _delete(name)
    for folder in _ETC.glob(f"{PREFIX}*"):
        if _is_left(folder.name):
            shutil.rmtree(folder, ignore_errors=True)


def _is_left(name: str) -> bool:
    """Whether it is a lab's whose process is gone."""
    found = _OURS.match(name)
    return found is not None and not os.path.exists(f"/proc/{found[1]}")


def _delete(name: str) -> None:
    """A namespace, with its processes: else those would keep it alive unseen."""
    deadline = time.monotonic() + END_S_MAX  # noqa: TID251 - real processes have a real clock
    while time.monotonic() < deadline:  # noqa: TID251
        processes = call("ip", "netns", "pids", name).split()
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
        if not processes:
            break
        time.sleep(0.01)
    call("ip", "netns", "delete", name)
    shutil.rmtree(_ETC / name, ignore_errors=True)
