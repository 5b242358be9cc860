"""How much memory a backup takes: bounded, whatever the size and the number of the files."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

import pytest

from bench.group import LocalGroup, MemberProcess
from bench.memory import MemoryOf

pytestmark = [pytest.mark.system, pytest.mark.slow]

LIMIT_BYTES = 400 << 20
PIECE_BYTES = 4096
HEADER_BYTES = 32
"""Random bytes in each piece of the large file: all chunks are distinct, and compress well."""


def backed_up(owner: MemberProcess, folder: Path) -> dict[str, object]:
    """Back up a folder, hold the memory against the limit, and tell what it was."""
    owner.run("mark", str(folder))
    assert owner.agent is not None
    began = time.monotonic()
    with MemoryOf(owner.agent.pid) as memory:
        result = owner.run("backup")
    print(
        f"{memory.most >> 20} MiB at most, {memory.made_of}, {memory.samples} samples, "
        f"{time.monotonic() - began:.1f} s"
    )
    assert memory.samples > 20
    assert memory.most < LIMIT_BYTES, memory.made_of
    return dict(result["summary"])


@pytest.fixture
def owner(group: LocalGroup) -> MemberProcess:
    # All of it is said to fit: what compresses is not known before it is read.
    made = group.join("anna", space="20GB")
    group.join("ben", space="20GB")
    group.wait_online(made, 1)
    return made


@pytest.fixture
def folder(tmp_path: Path):
    made = tmp_path / "files"
    made.mkdir()
    yield made
    shutil.rmtree(made)


def test_a_file_of_4_gib(owner: MemberProcess, folder: Path):
    chance = random.Random(4)
    block = bytearray(chance.randbytes(PIECE_BYTES) * ((16 << 20) // PIECE_BYTES))
    size = 4 << 30
    with (folder / "large").open("wb", buffering=0) as file:
        for _ in range(size // len(block)):
            for start in range(0, len(block), PIECE_BYTES):
                block[start : start + HEADER_BYTES] = chance.randbytes(HEADER_BYTES)
            file.write(block)
    summary = backed_up(owner, folder)
    assert summary["bytes"] == size
    assert summary["packed_bytes"] > size // PIECE_BYTES * HEADER_BYTES


def test_200_000_small_files(owner: MemberProcess, folder: Path):
    number = 0
    for outer in range(20):
        for inner in range(20):
            place = folder / f"{outer}" / f"{inner}"
            place.mkdir(parents=True)
            for _ in range(500):
                number += 1
                with open(f"{place}/{number}", "wb", buffering=0) as file:
                    file.write(b"the content of small file %d\n" % number)
    summary = backed_up(owner, folder)
    assert summary["files"] == number == 200_000
