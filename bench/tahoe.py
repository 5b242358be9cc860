"""The whole job beside Tahoe-LAFS: the same data, k and n; five friends, five storage nodes.

Tahoe-LAFS is the one other program of our kind that is kept: it encrypts, codes with zfec and
spreads the shares over nodes, which talk TLS. Here both run on this computer, every node in a
process of its own: for us a server, the owner and five friends; for Tahoe an introducer, a client
and five storage nodes, as `tahoe` makes them, with our k and n and with happiness n, so that
nothing is left out.

Tahoe-LAFS comes from the package index into an environment of its own, which is thrown away.
"""

from __future__ import annotations

import argparse
import contextlib
import filecmp
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import whole
from bench.group import LocalGroup
from bench.server import free_port

VERSION = "tahoe-lafs==1.20.0"
NODES = len(whole.FRIENDS)
START_S_MAX = 120.0
INSTALL_S_MAX = 900.0
COMMAND_S_MAX = 1800.0
HERE = "127.0.0.1"
LETTERS = 300
LETTER_BYTES = 40_000


class NotToBeHad(Exception):
    """Tahoe-LAFS cannot be installed here."""


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds of one backup and one restore."""

    backup_s: float
    restore_s: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Medians of both, of so many runs each: of a few large files, and of many small ones."""

    needed: int
    total: int
    runs: int
    covey: list[Run]
    tahoe: list[Run]


def install(folder: Path) -> Path:
    """The `tahoe` command in a new environment. Raises NotToBeHad."""
    venv.create(folder, with_pip=True)
    pip = folder / "bin" / "pip"
    done = subprocess.run(
        [pip, "install", "--quiet", "--disable-pip-version-check", VERSION],
        capture_output=True,
        text=True,
        check=False,
        timeout=INSTALL_S_MAX,
    )
    if done.returncode:
        raise NotToBeHad(done.stderr.strip()[-300:])
    return folder / "bin" / "tahoe"


class Grid:
    """An introducer, storage nodes and a client. Made by `grid`."""

    def __init__(self, tahoe: Path, folder: Path, client: Path, page: str) -> None:
        self._tahoe, self._folder, self._client, self._page = tahoe, folder, client, page

    def wait(self) -> None:
        """Return when the client is connected to every storage node."""
        deadline = time.perf_counter() + START_S_MAX
        while self._connected() < NODES:
            if time.perf_counter() > deadline:
                raise RuntimeError("the grid does not come together")
            time.sleep(0.2)

    def run(self, *arguments: str) -> float:
        """A command of the client; how many seconds it took."""
        begun = time.perf_counter()
        subprocess.run(
            [self._tahoe, "-d", self._client, *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=COMMAND_S_MAX,
        )
        return time.perf_counter() - begun

    def _connected(self) -> int:
        try:
            with urllib.request.urlopen(self._page + "?t=json", timeout=5) as answer:
                servers = json.load(answer)["servers"]
        except (OSError, urllib.error.URLError, ValueError):
            return 0
        return sum("onnected" in one["connection_status"] for one in servers)


@contextmanager
def grid(tahoe: Path, folder: Path, needed: int, total: int) -> Iterator[Grid]:
    """A grid on this computer while the context lasts."""
    folder.mkdir(parents=True)
    page = f"http://{HERE}:{free_port()}/"
    code = (
        f"--shares-needed={needed}",
        f"--shares-happy={total}",
        f"--shares-total={total}",
    )

    def make(kind: str, name: str, *options: str) -> Path:
        place = folder / name
        command: list[str | Path] = [tahoe, kind, *options, place]
        subprocess.run(command, check=True, capture_output=True, timeout=COMMAND_S_MAX)
        return place

    def at() -> tuple[str, str]:
        port = free_port()
        return f"--port=tcp:{port}:interface={HERE}", f"--location=tcp:{HERE}:{port}"

    with ExitStack() as stack:
        introducer = make("create-introducer", "introducer", *at())
        stack.enter_context(_running(tahoe, introducer))
        furl = _read_soon(introducer / "private" / "introducer.furl")
        how = (f"--introducer={furl}", "--webport=none")
        for number in range(NODES):
            node = make("create-node", f"node {number}", *at(), *how)
            stack.enter_context(_running(tahoe, node))
        web = f"--webport={page.removeprefix('http://').rstrip('/').replace(HERE + ':', 'tcp:')}"
        web += f":interface={HERE}"
        client = make("create-client", "client", f"--introducer={furl}", web, *code)
        stack.enter_context(_running(tahoe, client))
        made = Grid(tahoe, folder, client, page)
        made.wait()
        yield made


@contextmanager
def _running(tahoe: Path, place: Path) -> Iterator[None]:
    with (place.parent / f"{place.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [tahoe, "run", "--allow-stdin-close", place],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # as our members: the system shares processors by sessions
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)


def _read_soon(path: Path) -> str:
    deadline = time.perf_counter() + START_S_MAX
    while True:
        with contextlib.suppress(OSError):
            if text := path.read_text().strip():
                return text
        if time.perf_counter() > deadline:
            raise RuntimeError(f"{path.name} does not come")
        time.sleep(0.1)


def make_letters(target: Path) -> None:
    """Small files that do not compress, as most files of most people are small."""
    target.mkdir(parents=True)
    for number in range(LETTERS):
        (target / f"letter {number}").write_bytes(os.urandom(LETTER_BYTES))


def run_covey(work: Path, folders: Sequence[Path]) -> tuple[list[Run], int, int]:
    """A backup and a restore of each folder in a new group; and what k and n were."""
    found = []
    with LocalGroup(work / "group") as group:
        owner = group.join("anna")
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(group.join, whole.FRIENDS))
        group.wait_online(owner, NODES)
        for folder in folders:
            owner.run("mark", str(folder))
            begun = time.perf_counter()
            owner.run("backup")
            backed_up = time.perf_counter()
            owner.run("restore", "latest", "--to", str(work / "back"), str(folder))
            found.append(Run(backed_up - begun, time.perf_counter() - backed_up))
            check(folder, work / "back")
        code = owner.run("space")
    return found, code["needed"], code["total"]


def run_tahoe(
    tahoe: Path, work: Path, folders: Sequence[Path], needed: int, total: int
) -> list[Run]:
    """The same in a new grid."""
    found = []
    with grid(tahoe, work / "grid", needed, total) as made:
        made.run("create-alias", "bench:")
        for folder in folders:
            back = work / f"back {folder.name}"
            back.mkdir(parents=True)
            backup_s = made.run("backup", str(folder), f"bench:{folder.name}")
            latest = f"bench:{folder.name}/Latest"
            found.append(Run(backup_s, made.run("cp", "--recursive", latest, str(back))))
            check(folder, back)
    return found


def check(folder: Path, back: Path) -> None:
    """Raise RuntimeError unless every file came back as it was."""
    found = {path.name: path for path in back.rglob("*") if path.is_file()}
    for file in folder.iterdir():
        if file.name not in found or not filecmp.cmp(file, found[file.name], shallow=False):
            raise RuntimeError(f"{file.name} did not come back")


def measure(work: Path, runs: int = 3) -> Comparison:
    """Both in turn. Raises NotToBeHad."""
    tahoe = install(work / "tahoe")
    films, letters = work / "films", work / "letters"
    whole.make_folder(films, whole.SIZE)
    make_letters(letters)
    ours: list[list[Run]] = []
    theirs: list[list[Run]] = []
    needed = total = 0
    for number in range(runs):
        here = work / f"run {number}"
        found, needed, total = run_covey(here / "covey", [films, letters])
        ours.append(found)
        theirs.append(run_tahoe(tahoe, here / "tahoe", [films, letters], needed, total))
    return Comparison(needed, total, runs, _medians(ours), _medians(theirs))


def _medians(runs: Sequence[Sequence[Run]]) -> list[Run]:
    """Of all runs, for each folder."""
    return [
        Run(
            statistics.median(one.backup_s for one in of_one),
            statistics.median(one.restore_s for one in of_one),
        )
        for of_one in zip(*runs, strict=True)
    ]


def table(found: Comparison) -> list[str]:
    """As it stands in docs/benchmarks.md."""
    kinds = (
        f"{whole.SIZE // whole.FILE_BYTES} files of {whole.FILE_BYTES / 1e6:.1f} MB",
        f"{LETTERS} files of {LETTER_BYTES / 1e3:.0f} kB",
    )
    rows = []
    for kind, ours, theirs in zip(kinds, found.covey, found.tahoe, strict=True):
        rows += [
            (f"{kind}: backup", ours.backup_s, theirs.backup_s),
            (f"{kind}: restore", ours.restore_s, theirs.restore_s),
        ]
    return [
        f"### Beside a Tahoe-LAFS grid: any {found.needed} of {found.total}, medians of "
        f"{found.runs}",
        "",
        "| | covey | tahoe-lafs 1.20 | tahoe : covey |",
        "|---|---|---|---|",
        *(
            f"| {what} | {ours:.1f} s | {theirs:.1f} s | {theirs / ours:.2f} |"
            for what, ours, theirs in rows
        ),
    ]


def section(work: Path, runs: int) -> list[str]:
    """The table, or why there is none."""
    try:
        return table(measure(work, runs))
    except NotToBeHad as error:
        return [f"Tahoe-LAFS could not be installed, so it was left out: {error}"]


def main() -> None:
    """Measure this alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="covey-tahoe-") as scratch:
        load = os.getloadavg()[0]
        found = measure(Path(scratch), chosen.runs)
        print("\n".join(table(found)))
        print(f"Load before and after: {load:.1f}, {os.getloadavg()[0]:.1f}", file=sys.stderr)


if __name__ == "__main__":
    main()
