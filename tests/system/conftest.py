"""Fixtures of the tests that run real processes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from bench.group import ALONE, LocalGroup
from tests.support.crash_points import make_bases


@pytest.fixture(autouse=True)
def nothing_else_on_the_network(monkeypatch):
    """All that a test needs is on this computer."""
    for name, value in ALONE.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def group(tmp_path):
    """A server; members join as the test wants them. All of it ends with the test."""
    with LocalGroup(tmp_path / "group") as made:
        yield made


@pytest.fixture
def folder(tmp_path) -> Path:
    """Some files, and what is awkward about files."""
    root = tmp_path / "files"
    for number in range(12):
        place = root / f"folder {number % 3}" / f"deeper {number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"file {number}.bin").write_bytes(os.urandom(40_000 * number))
    (root / "empty").touch()
    (root / "letter").write_text("Dear Grandmother,\n" * 500)
    os.link(root / "letter", root / "folder 0" / "same letter")
    (root / "link").symlink_to("letter")
    (root / "dangling").symlink_to("/nowhere/at/all")
    (root / "an empty folder").mkdir(mode=0o700)
    Path(os.fsdecode(os.fsencode(root) + b"/\xff\xfe")).write_bytes(b"odd name")
    with (root / "holes").open("wb") as file:
        file.truncate(50 << 20)
        file.seek(20 << 20)
        file.write(b"in the middle")
    (root / "private").write_text("mine")
    (root / "private").chmod(0o600)
    os.utime(root / "letter", ns=(5, 1_111_111_111_111_111_111))
    os.mkfifo(root / "a fifo")
    return root


@pytest.fixture(scope="session")
def memory(tmp_path_factory):
    """A folder in memory, where the system has one: for many small files that nobody keeps."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path_factory.mktemp("memory")
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="covey-tests-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def bases(memory):
    """A group after each of some nights, for crashes to begin from."""
    folder = memory / "bases"
    folder.mkdir()
    yield from make_bases(folder)
