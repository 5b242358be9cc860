"""Backup and restore of one folder: our pipeline, restic and borg, in turn, in one run.

Each tool writes to the same disk. Ours makes the shares for five friends (any two rebuild), two
and a half times the bytes that the others write; restic and borg keep one encrypted copy.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sysconfig
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.engine_alone import EngineAlone

ENVIRONMENT = {
    "RESTIC_PASSWORD": "benchmark",
    "BORG_PASSPHRASE": "benchmark",
    "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
}


@dataclass(frozen=True, slots=True)
class Row:
    """Median seconds of one tool: first backup, unchanged night, restore; bytes it keeps."""

    tool: str
    first_s: float
    again_s: float
    restore_s: float
    stored_bytes: int


def make_folder(target: Path) -> tuple[int, int]:
    """About 1 GB in 50,000 mixed files: /usr/share and this Python's library; (files, bytes)."""
    target.mkdir(parents=True)
    sources = (Path("/usr/share"), Path(sysconfig.get_path("stdlib")).parent)
    for source in sources:
        shutil.copytree(source, target / source.name, symlinks=True, ignore_dangling_symlinks=True)
    files = size = 0
    for folder, _, names in os.walk(target):
        for name in names:
            found = os.lstat(os.path.join(folder, name))
            if not os.path.islink(os.path.join(folder, name)):
                files += 1
                size += found.st_size
    return files, size


def _timed(arguments: list[str], **how: str | Path) -> float:
    begun = time.perf_counter()
    subprocess.run(
        arguments,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **ENVIRONMENT},
        cwd=how.get("cwd"),
    )
    os.sync()
    return time.perf_counter() - begun


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def covey(folder: Path, work: Path) -> Row:
    """Our pipeline, once."""
    engine = EngineAlone(work / "covey", workers=max(1, os.cpu_count() or 1))
    first, again = engine.backup(folder), engine.backup(folder)
    return Row("covey", first, again, engine.restore(work / "back"), engine.stored_bytes())


def restic(folder: Path, work: Path) -> Row:
    """restic, once."""
    base = ["restic", "-q", "--no-cache", "-r", str(work / "restic")]
    _timed([*base, "init"])
    first, again = (_timed([*base, "backup", str(folder)]) for _ in range(2))
    restore = _timed([*base, "restore", "latest", "--target", str(work / "back")])
    return Row("restic", first, again, restore, _size(work / "restic"))


def borg(folder: Path, work: Path) -> Row:
    """borg with zstd and its own encryption, once."""
    repository = str(work / "borg")
    _timed(["borg", "init", "-e", "repokey-blake2", repository])
    create = ["borg", "create", "-C", "zstd,3"]
    first = _timed([*create, f"{repository}::one", str(folder)])
    again = _timed([*create, f"{repository}::two", str(folder)])
    (work / "back").mkdir()
    restore = _timed(["borg", "extract", f"{repository}::two"], cwd=work / "back")
    return Row("borg", first, again, restore, _size(Path(repository)))


def measure(folder: Path, work: Path, runs: int) -> list[Row]:
    """Medians of several runs; the tools take turns, so that a slow minute hits all."""
    tools: dict[str, Callable[[Path, Path], Row]] = {
        name: tool
        for name, tool in (("covey", covey), ("restic", restic), ("borg", borg))
        if name == "covey" or shutil.which(name)
    }
    rows: dict[str, list[Row]] = {name: [] for name in tools}
    for number in range(runs):
        for name, tool in tools.items():
            scratch = work / f"{name}-{number}"
            scratch.mkdir()
            rows[name].append(tool(folder, scratch))
            shutil.rmtree(scratch)
    return [
        Row(
            name,
            statistics.median(row.first_s for row in found),
            statistics.median(row.again_s for row in found),
            statistics.median(row.restore_s for row in found),
            found[-1].stored_bytes,
        )
        for name, found in rows.items()
    ]
