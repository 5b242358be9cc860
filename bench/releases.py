"""Nights of real source trees: releases of packages, unpacked one after the other over one folder.

Input that nobody here wrote. Each release is a night: what it changed, added, removed and touched
(an archive's times are its own) is what a backup meets. Archives come by pip from the Python
package index, are checked by hash, and stay in the user's cache folder.

    python -m bench.releases [--package NAME]... [--runs N]
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from bench.nights import NightCost, measure

PINS = Path(__file__).parent / "releases.txt"
CACHE = platformdirs.user_cache_path("covey-bench") / "releases"
DOWNLOAD_TIMEOUT_S = 600
READ_BYTES = 1 << 20


class NotHere(Exception):
    """An archive could not be downloaded."""


@dataclass(frozen=True, slots=True)
class Release:
    """One source archive; `sha256` in hex."""

    package: str
    version: str
    sha256: str


@dataclass(slots=True)
class Found:
    """What was measured with one package: each night's files and bytes, and each tool's costs."""

    package: str
    versions: list[str]
    files: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    runs: list[dict[str, list[NightCost]]] = field(default_factory=list)

    def last(self, tool: str) -> list[NightCost]:
        """The nights of the last run; bytes differ little between runs."""
        return self.runs[-1][tool]

    def seconds(self, tool: str) -> float:
        """All nights together, median over the runs."""
        return statistics.median(sum(n.seconds for n in run[tool]) for run in self.runs)


def releases() -> dict[str, list[Release]]:
    """The pinned archives by package, in the order of the nights."""
    found: dict[str, list[Release]] = {}
    for line in PINS.read_text().splitlines():
        if line and not line.startswith("#"):
            name, digest = line.split(" --hash=sha256:")
            package, version = name.split("==")
            found.setdefault(package, []).append(Release(package, version, digest))
    return found


# --- archives -----------------------------------------------------------------------------------


def fetch(release: Release) -> Path:
    """The archive, from the cache or by pip. Raises NotHere."""
    kept = CACHE / f"{release.package}-{release.version}.tar.gz"
    if kept.exists() and _sha256(kept) == release.sha256:
        return kept
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        wanted = Path(scratch) / "wanted.txt"
        wanted.write_text(f"{release.package}=={release.version} --hash=sha256:{release.sha256}\n")
        options = ["--no-deps", "--no-binary", release.package, "--require-hashes"]
        pip = [sys.executable, "-m", "pip", "download", "-q", *options]
        try:
            subprocess.run(
                [*pip, "-d", scratch, "-r", str(wanted)],
                check=True,
                capture_output=True,
                timeout=DOWNLOAD_TIMEOUT_S,
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise NotHere(f"{release.package} {release.version}: {error}") from error
        (archive,) = Path(scratch).glob("*.tar.gz")
        archive.replace(kept)
    return kept


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack(archive: Path, folder: Path) -> None:
    """Make the folder what the archive holds, with the archive's times and without its top."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        with tarfile.open(archive) as tar:
            tar.extractall(scratch, filter="data")
        (top,) = Path(scratch).iterdir()
        shutil.rmtree(folder, ignore_errors=True)
        top.rename(folder)


def nights_of(archives: Sequence[Path], folder: Path, found: Found) -> Iterator[None]:
    """One release after the other, counting what there is."""
    for archive in archives:
        unpack(archive, folder)
        sizes = [
            os.lstat(os.path.join(parent, name)).st_size
            for parent, _, names in os.walk(folder)
            for name in names
        ]
        found.files.append(len(sizes))
        found.sizes.append(sum(sizes))
        yield


def measure_package(package: str, wanted: Sequence[Release], work: Path, runs: int) -> Found:
    """All nights of one package, with all tools. Raises NotHere."""
    archives = [fetch(release) for release in wanted]
    found = Found(package, [release.version for release in wanted])
    for _ in range(runs):
        with tempfile.TemporaryDirectory(dir=work) as scratch:
            found.files.clear()
            found.sizes.clear()
            folder = Path(scratch) / "tree"
            nights = nights_of(archives, folder, found)
            found.runs.append(measure(folder, Path(scratch), nights))
    return found


# --- tables -------------------------------------------------------------------------------------


def table(results: Sequence[Found]) -> list[str]:
    """One package a line, then the sum: stored in all, shipped after the first night, seconds."""
    tools = list(results[0].runs[0])
    others = tools[1:]
    lines = [
        "| package | nights | files | MB | | stored, MB | of it metadata "
        "| shipped after the first, MB | s a night |"
        + "".join(f" stored : {o} |" for o in others)
        + "".join(f" shipped : {o} |" for o in others),
        "|---" * (9 + 2 * len(others)) + "|",
    ]
    sums = {tool: [0.0] * 4 for tool in tools}
    for found in results:
        figures = {tool: _figures(found, tool) for tool in tools}
        for tool in tools:
            sums[tool] = [a + b for a, b in zip(sums[tool], figures[tool], strict=True)]
        name = f"{found.package} {found.versions[0]} to {found.versions[-1]}"
        what = f"{name} | {len(found.versions)} | {found.files[-1]:,} | {found.sizes[-1] / 1e6:.0f}"
        lines += _lines(what, figures, len(found.versions))
    count = sum(len(found.versions) for found in results)
    return [*lines, *_lines(f"all | {count} | | ", sums, count)]


def _figures(found: Found, tool: str) -> list[float]:
    """Stored, its metadata, shipped after the first night (bytes); seconds of all nights."""
    nights = found.last(tool)
    return [
        nights[-1].stored_bytes,
        sum(night.metadata_bytes for night in nights),
        sum(night.shipped_bytes for night in nights[1:]),
        found.seconds(tool),
    ]


def _lines(what: str, figures: dict[str, list[float]], nights: int) -> Iterator[str]:
    ours, *others = figures
    for tool, (stored, metadata, shipped, seconds) in figures.items():
        line = (
            f"| {what if tool == ours else ' | | | '} | {tool} | {stored / 1e6:.2f} | "
            f"{f'{metadata / 1e6:.2f}' if tool == ours else ''} | {shipped / 1e6:.2f} | "
            f"{seconds / nights:.2f} |"
        )
        for place in (0, 2):
            for other in others:
                mine, its = figures[ours][place], figures[other][place]
                line += f" {mine / its:.2f} |" if tool == ours else " |"
        yield line


def by_night(found: Found) -> list[str]:
    """What each night shipped, in KB."""
    tools = list(found.runs[0])
    lines = [
        "| night | files | MB | " + " | ".join(tools) + " | of covey's, metadata |",
        "|---" * (4 + len(tools)) + "|",
    ]
    for place, version in enumerate(found.versions):
        costs = [found.last(tool)[place] for tool in tools]
        shipped = " | ".join(f"{cost.shipped_bytes / 1e3:,.0f}" for cost in costs)
        lines.append(
            f"| {version} | {found.files[place]:,} | {found.sizes[place] / 1e6:.1f} | {shipped} | "
            f"{costs[0].metadata_bytes / 1e3:,.0f} |"
        )
    return lines


def section(work: Path, runs: int, packages: Sequence[str] = ()) -> list[str]:
    """The part of docs/benchmarks.md."""
    pinned = releases()
    lines = [
        "### Nights of real source trees",
        "",
        "Seconds are means; `stored : restic` is ours divided by restic's, and so on.",
        "",
    ]
    results = []
    for package in packages or pinned:
        try:
            results.append(measure_package(package, pinned[package], work, runs))
        except NotHere as error:
            lines += [f"Left out, since it could not be downloaded: {error}", ""]
    if results:
        lines += table(results)
        for found in results:
            lines += ["", f"KB shipped by each night of {found.package}:", "", *by_night(found)]
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--package", action="append", default=[], choices=list(releases()))
    parser.add_argument("--runs", type=int, default=1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="covey-releases-") as scratch:
        print("\n".join(section(Path(scratch), chosen.runs, chosen.package)))


if __name__ == "__main__":
    main()
