"""Bringing one small file back moves little, whoever of the friends is there."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support.small_group import SmallGroup, small_group

MIB = 1 << 20
LETTER_BYTES = 10_000


@pytest.fixture
def files(tmp_path) -> Path:
    """A hundred megabytes, and in the middle of them one letter in a folder of its own."""
    chance = random.Random(1)
    root = tmp_path / "files"
    for number in range(24):
        folder = root / f"folder {number}" / "below" / "further below"
        folder.mkdir(parents=True)
        (folder / "photo").write_bytes(chance.randbytes(4_000_000))
        for small in range(40):
            (folder / f"note {small}").write_bytes(chance.randbytes(3000))
    letter(root).write_bytes(chance.randbytes(LETTER_BYTES))
    return root


def letter(root: Path) -> Path:
    return root / "folder 12" / "below" / "further below" / "letter"


async def bring_back(group: SmallGroup, files: Path, target: Path) -> int:
    """Restore the letter alone; the bytes that were fetched for it."""
    done = await group.restore(target, paths=[letter(files)])
    assert done["ok"], done["message"]
    assert Path(f"{target}{letter(files)}").read_bytes() == letter(files).read_bytes()
    assert done["summary"]["files"] == 1
    return done["summary"]["fetched_bytes"]


@pytest.mark.slow
async def test_a_letter_of_ten_kilobytes_moves_less_than_a_megabyte_whoever_is_away(
    files, tmp_path
):
    async with small_group(tmp_path, friends=5, timeout_s=300) as group:
        assert (await group.backup(files))["ok"]
        moved = [await bring_back(group, files, tmp_path / "all there")]
        for number, away in enumerate(group.holders.values()):
            away.online = False
            moved.append(await bring_back(group, files, tmp_path / f"without {number}"))
            away.online = True
        print(f"moved {moved}")
        assert max(moved) < MIB
        whole = await group.restore(tmp_path / "everything")
        assert whole["summary"]["fetched_bytes"] > 96_000_000
