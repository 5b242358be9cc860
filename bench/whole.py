"""The whole job: six members on this computer, one backs up to the other five, and restores."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.group import LocalGroup

FRIENDS = ("ben", "carla", "david", "emma", "finn")
FILE_BYTES = 8 << 20
SIZE = 64 << 20


@dataclass(frozen=True, slots=True)
class Whole:
    """Bytes in, seconds, bytes that went to friends, and how many of how many parts are needed."""

    size: int
    backup_s: float
    restore_s: float
    shipped_bytes: int
    needed: int
    total: int


def make_folder(target: Path, size: int) -> None:
    """Files that do not compress: what has to travel is what there is."""
    target.mkdir(parents=True)
    for number in range(size // FILE_BYTES):
        (target / f"film {number}").write_bytes(os.urandom(FILE_BYTES))


def measure(work: Path, size: int = SIZE) -> Whole:
    """One run: every member shares these cores with all the others."""
    folder = work / "films"
    make_folder(folder, size)
    with LocalGroup(work / "group") as group:
        owner = group.join("anna")
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(group.join, FRIENDS))
        group.wait_online(owner, len(FRIENDS))
        owner.run("mark", str(folder))
        begun = time.perf_counter()
        summary = owner.run("backup")["summary"]
        backup_s = time.perf_counter() - begun
        begun = time.perf_counter()
        owner.run("restore", "latest", "--to", str(work / "back"))
        restore_s = time.perf_counter() - begun
        code = owner.run("space")
    shipped = summary["shipped_bytes"]
    return Whole(size, backup_s, restore_s, shipped, code["needed"], code["total"])
