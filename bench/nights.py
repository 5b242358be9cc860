"""Night after night over one folder with each tool: what is stored, what is shipped, how long.

Bytes are those before erasure coding, as restic and borg keep one copy. All of it counts: ours are
the packs of files, of trees and of the index, and each night's root record.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.engine_alone import EngineAlone
from bench.pipeline import ENVIRONMENT
from bench.trees import compare_trees


@dataclass(frozen=True, slots=True)
class NightCost:
    """One night of one tool: wall time, bytes that left the computer, bytes kept afterwards."""

    seconds: float
    shipped_bytes: int
    stored_bytes: int
    metadata_bytes: int = 0
    """Of what was shipped, where the tool tells: all that is not content of files."""


class Tool(Protocol):
    """A backup program with a repository of its own."""

    def night(self, folder: Path) -> NightCost:
        """Back the folder up once."""
        ...

    def restore(self, target: Path) -> Path:
        """Restore the newest snapshot below `target`; where the folder is then."""
        ...


class Covey:
    """The engine with a folder for friends."""

    def __init__(self, work: Path) -> None:
        self._engine = EngineAlone(work / "home", workers=max(1, os.cpu_count() or 1))
        self._folder = Path()

    def night(self, folder: Path) -> NightCost:
        self._folder = folder
        seconds = self._engine.backup(folder)
        night = self._engine.last_night
        shipped = night.data_bytes + night.metadata_bytes
        return NightCost(seconds, shipped, night.stored_bytes, night.metadata_bytes)

    def restore(self, target: Path) -> Path:
        self._engine.restore(target)
        return Path(f"{target}{self._folder}")


class Restic:
    """restic with its defaults and its cache, as a person uses it."""

    def __init__(self, work: Path) -> None:
        self._repository = work / "repository"
        self._base = ["restic", "-q", "--cache-dir", str(work / "cache")]
        self._base += ["-r", str(self._repository)]
        self._folder = Path()
        _run([*self._base, "init"])

    def night(self, folder: Path) -> NightCost:
        self._folder = folder
        before = _sizes(self._repository)
        seconds = _timed([*self._base, "backup", str(folder)])
        return _cost(seconds, before, _sizes(self._repository), self._repository)

    def restore(self, target: Path) -> Path:
        _run([*self._base, "restore", "latest", "--target", str(target)])
        return Path(f"{target}{self._folder}")


class Borg:
    """borg with its own encryption and zstd at our level."""

    def __init__(self, work: Path) -> None:
        self._repository = work / "repository"
        self._home = {"BORG_BASE_DIR": str(work / "base")}
        self._nights = 0
        self._folder = Path()
        _run(["borg", "init", "-e", "repokey-blake2", str(self._repository)], self._home)

    def night(self, folder: Path) -> NightCost:
        self._nights += 1
        self._folder = folder
        archive = f"{self._repository}::{self._nights}"
        before = _sizes(self._repository)
        seconds = _timed(["borg", "create", "-C", "zstd,3", archive, str(folder)], self._home)
        # Its index and hints are made by the repository's end: they are stored and not shipped.
        return _cost(seconds, before, _sizes(self._repository), self._repository / "data")

    def restore(self, target: Path) -> Path:
        target.mkdir()
        archive = f"{self._repository}::{self._nights}"
        _run(["borg", "extract", archive], self._home, cwd=target)
        return Path(f"{target}{self._folder}")


TOOLS: dict[str, Callable[[Path], Tool]] = {"covey": Covey, "restic": Restic, "borg": Borg}


def tools_here() -> list[str]:
    """Those that can run on this machine, ours first."""
    return [name for name in TOOLS if name == "covey" or shutil.which(name)]


def measure(folder: Path, work: Path, nights: Iterable[None]) -> dict[str, list[NightCost]]:
    """Every tool after every change: each step of `nights` makes the folder what it is next.

    The tools take turns. In the end each restores, and what it restores is compared with the
    folder. Raises RuntimeError when that differs.
    """
    tools: dict[str, Tool] = {}
    for name in tools_here():
        (work / name).mkdir(parents=True)
        tools[name] = TOOLS[name](work / name)
    costs: dict[str, list[NightCost]] = {name: [] for name in tools}
    for _ in nights:
        for name, tool in tools.items():
            costs[name].append(tool.night(folder))
    for name, tool in tools.items():
        target = work / f"{name} back"
        found = compare_trees(folder, tool.restore(target))
        if found.differences:
            raise RuntimeError(f"{name} restored something else: {found.differences[:3]}")
        shutil.rmtree(target)
    return costs


def _run(arguments: list[str], more: dict[str, str] | None = None, cwd: Path | None = None) -> None:
    subprocess.run(
        arguments,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **ENVIRONMENT, **(more or {})},
        cwd=cwd,
    )


def _timed(arguments: list[str], more: dict[str, str] | None = None) -> float:
    begun = time.perf_counter()
    _run(arguments, more)
    os.sync()
    return time.perf_counter() - begun


def _sizes(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def _cost(
    seconds: float, before: dict[Path, int], after: dict[Path, int], shipped: Path
) -> NightCost:
    """Files of a repository are new or grow: what they grew by below `shipped` has travelled."""
    new = sum(
        size - before.get(path, 0) for path, size in after.items() if path.is_relative_to(shipped)
    )
    return NightCost(seconds, new, sum(after.values()))
