"""Nights after nights: little more is stored than is needed, and little more sent than is new."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from bench.trees import compare_trees
from chunking.formats import PACK_INDEX
from peer.backup.messages import NightReady, PackMade
from peer.catalog import Catalog
from tests.peer.conftest import LocalMember

FILES = 800
NIGHTS = 60
CHANGED_PART = 0.02


@dataclass
class Ledger:
    """What was really new, and what went out."""

    new_bytes: int = 0
    shipped_bytes: int = 0


def write(path: Path, source: random.Random) -> int:
    """Bytes that nothing can compress; how many."""
    size = source.randrange(2_000, 20_000)
    path.write_bytes(source.randbytes(size))
    return size


def change_some(files: list[Path], source: random.Random) -> int:
    return sum(write(path, source) for path in source.sample(files, int(FILES * CHANGED_PART)))


def live_bytes(member: LocalMember) -> int:
    """What the kept snapshots need: the sealed chunks that any of them leads to."""
    catalog = Catalog(member.catalog_path)
    numbers: set[int] = set()
    stack = list(catalog.numbers_of([row.id for row in catalog.snapshots()]).values())
    while stack:
        number = stack.pop()
        if number not in numbers:
            numbers.add(number)
            nodes, leaves = catalog.node(number)
            numbers |= set(leaves)
            stack += nodes
    size = sum(
        length
        for use in catalog.uses()
        for number, length in zip(use.numbers, use.lengths, strict=True)
        if number in numbers
    )
    catalog.close()
    return size


@pytest.mark.slow
def test_after_sixty_nights_little_more_is_stored_than_needed_and_little_more_went_out_than_new(
    tmp_path,
):
    source = random.Random(60)
    member = LocalMember(tmp_path / "member")
    member.recipe = msgspec.structs.replace(member.recipe, pack_bytes=256 << 10)
    root = tmp_path / "files"
    files = [root / f"folder {n % 40}" / f"file {n}" for n in range(FILES)]
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(new_bytes=sum(write(path, source) for path in files))
    for night in range(NIGHTS):
        if night:
            ledger.new_bytes += change_some(files, source)
        heard = member.night(root)
        (ready,) = heard.of(NightReady)
        assert not ready.gone
        ledger.shipped_bytes += sum(made.length for made in heard.of(PackMade))
    stored, needed = member.stored_bytes(), live_bytes(member)
    print(f"stored/needed {stored / needed:.3f}")
    print(f"shipped/new {ledger.shipped_bytes / ledger.new_bytes:.3f}")
    assert stored < 1.35 * needed
    assert ledger.shipped_bytes < 1.25 * ledger.new_bytes
    catalog = Catalog(member.catalog_path)
    snapshots = len(catalog.snapshots())
    assert 10 <= snapshots <= 16
    assert len(list(catalog.packs(kind=PACK_INDEX))) <= 8
    catalog.close()
    member.restore(tmp_path / "newest")
    assert compare_trees(root, Path(f"{tmp_path / 'newest'}{root}")).differences == ()
    for place in range(snapshots):
        heard = member.restore(tmp_path / f"{place}", snapshot=place)
        assert not heard.of(NightReady)
