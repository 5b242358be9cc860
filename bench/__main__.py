"""`make bench`: measure, print, and with --write keep the result in docs/benchmarks.md.

Everything is measured in one run on one machine, beside the tool that a person would use instead;
compare the ratios, not the seconds, with another machine's.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import psutil

from bench import link, pipeline, releases, tahoe, whole
from bench.link_ends import KINDS

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
MARK = "<!-- measured: what is below this line is written by `make bench` -->\n"


def machine() -> str:
    """What it was measured on."""
    name = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            name = line.partition(":")[2].strip()
            break
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{os.cpu_count()} cores ({name}), {memory:.0f} GiB of memory, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}"
    )


def versions() -> str:
    """The other tools."""
    found = []
    for tool, arguments in (("restic", ["version"]), ("borg", ["--version"])):
        if shutil.which(tool):
            text = subprocess.run([tool, *arguments], capture_output=True, text=True, check=True)
            found.append(" ".join(text.stdout.split()[:2]))
    return ", ".join(found) or "no other tools"


def pipeline_table(work: Path, runs: int) -> list[str]:
    """The pipeline beside restic and borg."""
    folder = work / "folder"
    files, size = pipeline.make_folder(folder)
    rows = pipeline.measure(folder, work, runs)
    ours = rows[0]
    lines = [
        f"### The pipeline alone: {files:,} files, {size / 1e6:,.0f} MB, medians of {runs}",
        "",
        "| | first backup | MB/s | files/s | unchanged | restore | kept | first : covey |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.tool} | {row.first_s:.1f} s | {size / 1e6 / row.first_s:.0f} | "
        f"{files / row.first_s:,.0f} | {row.again_s:.2f} s | {row.restore_s:.1f} s | "
        f"{row.stored_bytes / 1e6:,.0f} MB | {row.first_s / ours.first_s:.2f} |"
        for row in rows
    ]
    shutil.rmtree(folder)
    return lines


def link_table(runs: int) -> list[str]:
    """One link beside bare channels, without delay or loss; `make bench-link` has the others."""
    found = (link.measure(engine, 0, 0.0, runs=runs) for engine in KINDS)
    return [
        f"### One link between two processes on this machine, medians of {runs}",
        "",
        *link.table([row for row in found if row is not None]),
    ]


def whole_table(work: Path) -> list[str]:
    """The six members."""
    found = whole.measure(work)
    size = found.size / 1e6
    in_rate, out_rate = size / found.backup_s, size / found.restore_s
    return [
        f"### Six members on these {os.cpu_count()} cores: {size:.0f} MB that do not compress",
        "",
        "| | seconds | MB/s of files | MB/s on the wire |",
        "|---|---|---|---|",
        f"| backup, every share acknowledged | {found.backup_s:.1f} | {in_rate:.1f} | "
        f"{found.shipped_bytes / 1e6 / found.backup_s:.1f} |",
        f"| restore | {found.restore_s:.1f} | {out_rate:.1f} | {out_rate:.1f} |",
    ]


def main() -> None:
    """Measure all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="keep it in docs/benchmarks.md")
    chosen = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("stopped"))  # end all members, also when closed
    today = datetime.datetime.now(tz=datetime.UTC).date()
    lines = [f"Measured on {today} on {machine()}; {versions()}.", ""]
    print(lines[0], flush=True)
    with tempfile.TemporaryDirectory(prefix="covey-bench-") as scratch:
        work = Path(scratch)
        tables: tuple[Callable[[], list[str]], ...] = (
            lambda: pipeline_table(work, chosen.runs),
            lambda: releases.section(work, 1),
            lambda: link_table(chosen.runs),
            lambda: whole_table(work),
            lambda: tahoe.section(work / "beside tahoe", chosen.runs),
        )
        for table in tables:
            part = table()
            print("\n" + "\n".join(part), flush=True)
            lines += [*part, ""]
    if chosen.write:
        before = PAGE.read_text().partition(MARK)[0]
        PAGE.write_text(before + MARK + "\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
