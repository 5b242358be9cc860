"""The main job, end to end, on this computer: `make demo`, or `make demo FOLDER=/some/folder`.

A signaling server and six members are started, each a process of its own. One of them backs a
folder up to the other five over WebRTC. Three of those are killed, and so is the owner, whose
whole state folder is deleted. From the group's name, the password and the recovery words the
folder comes back, and is compared with the original: every byte, mode, time and link. The exit
code is 0 only when there is no difference.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.group import LocalGroup, MemberProcess, covey
from bench.trees import Comparison, compare_trees

OWNER, FRIENDS = "anna", ("ben", "carla", "david", "emma", "finn")
KILLED = ("ben", "david", "emma")
console = Console(highlight=False)


def make_default_folder(target: Path) -> Path:
    """Some of Python's own library, and what is awkward: links, holes, odd names, attributes."""
    target.mkdir()
    library = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(
        library,
        target / "python",
        symlinks=True,
        ignore=shutil.ignore_patterns("__pycache__", "test", "tests", "site-packages", "*.a"),
    )
    odd = target / "odd things"
    odd.mkdir()
    (odd / "empty").touch()
    (odd / "letter.txt").write_text("Dear Grandmother,\n" * 40)
    os.link(odd / "letter.txt", odd / "the same letter.txt")
    (odd / "a link").symlink_to("letter.txt")
    (odd / "a link to nowhere").symlink_to("/nowhere/at/all")
    (Path(os.fsdecode(os.fsencode(odd) + b"/not \xff utf-8"))).write_bytes(b"a name from long ago")
    (odd / "photo.raw").write_bytes(os.urandom(3_000_000))
    with (odd / "disk image with holes").open("wb") as file:
        file.truncate(8 << 20)
        file.seek(4 << 20)
        file.write(os.urandom(100_000))
    private = odd / "private.txt"
    private.write_text("for my eyes only")
    private.chmod(0o600)
    try:
        os.setxattr(private, "user.comment", b"an attribute")
    except OSError:
        console.print("  (this file system has no extended attributes)")
    os.utime(odd / "letter.txt", ns=(1, 1_234_567_890_123_456_789))
    return target


def step(text: str) -> float:
    """Tell what comes next; the time now."""
    console.print(f"[bold]» {text}[/bold]")
    return time.monotonic()


def run_visibly(member: MemberProcess, *arguments: str) -> None:
    """A command as a person sees it, with its progress. Ends the demo when it fails."""
    result = subprocess.run(covey("--home", str(member.home), *arguments), check=False)
    if result.returncode:
        raise SystemExit(f"covey {arguments[0]} ended with {result.returncode}")


def play(folder: Path, work: Path) -> bool:
    """The whole story; whether everything came back."""
    with LocalGroup(work / "group", group="The Smiths") as group:
        begun = step("A server and six members, each a process of its own")
        owner = group.join(OWNER)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(group.join, FRIENDS))
        group.wait_online(owner, len(FRIENDS))
        console.print(f"  {group.url}, six members, {time.monotonic() - begun:.1f} s")

        step(f"{OWNER} marks {folder} and backs it up")
        owner.run("mark", str(folder))
        start = time.monotonic()
        run_visibly(owner, "backup", "--wait")
        backup_s = time.monotonic() - start
        space = owner.run("space")
        snapshot = owner.run("snapshots")["snapshots"][-1]

        step(f"SIGKILL for {', '.join(KILLED)}; {OWNER}'s computer is lost with all its state")
        for name in KILLED:
            group.members[name].kill()
        group.lose(OWNER)

        step("A new computer: group name, password, recovery words")
        start = time.monotonic()
        new = group.recover("anna-new", OWNER)
        recover_s = time.monotonic() - start
        target = work / "restored"
        start = time.monotonic()
        run_visibly(new, "restore", "latest", "--to", str(target))
        restore_s = time.monotonic() - start

    step("Comparing every byte, mode, time, attribute and link")
    comparison = compare_trees(folder, Path(f"{target}{folder}"))
    for difference in comparison.differences[:20]:
        console.print(f"  [red]{difference}[/red]", markup=True)
    seconds = {"backup": backup_s, "recover": recover_s, "restore": restore_s}
    show(comparison, snapshot, space, seconds)
    return not comparison.differences


def show(
    comparison: Comparison,
    snapshot: dict[str, Any],
    space: dict[str, Any],
    seconds: dict[str, float],
) -> None:
    """The short table."""
    size = snapshot["bytes"]
    rows = (
        ("in", f"{snapshot['files']:,} files, {size / 1e6:,.1f} MB"),
        ("packed and encrypted", f"{space['packed_bytes'] / 1e6:,.1f} MB"),
        ("stored at friends", f"{space['stored_bytes'] / 1e6:,.1f} MB"),
        ("code", f"any {space['needed']} of {space['total']} shares"),
        ("backup", f"{seconds['backup']:.1f} s, {size / 1e6 / seconds['backup']:.1f} MB/s"),
        ("killed", f"{', '.join(KILLED)}; {OWNER} and all her state"),
        ("recovered from words in", f"{seconds['recover']:.1f} s"),
        ("restore", f"{seconds['restore']:.1f} s, {size / 1e6 / seconds['restore']:.1f} MB/s"),
        ("came back", f"{comparison.files:,} files, {comparison.bytes / 1e6:,.1f} MB"),
        ("differences", str(len(comparison.differences))),
    )
    table = Table(show_header=False)
    for name, value in rows:
        table.add_row(name, value)
    console.print(table)


def main() -> None:
    """Run the demo in a scratch folder that is removed at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="what to back up; some files by default")
    folder: Path | None = parser.parse_args().folder
    if folder is not None and not folder.exists():
        raise SystemExit(f"{folder} is not there")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("stopped"))  # end all members, also when closed
    with tempfile.TemporaryDirectory(prefix="covey-demo-") as scratch:
        work = Path(scratch)
        start = time.monotonic()
        chosen = folder.absolute() if folder else make_default_folder(work / "files")
        whole = play(chosen, work)
        console.print(f"{time.monotonic() - start:.1f} s in all")
    if not whole:
        console.print("[red bold]Something did not come back.[/red bold]")
        sys.exit(1)
    console.print("[green bold]Everything came back.[/green bold]")


if __name__ == "__main__":
    main()
