"""Hundreds of deaths and failures, at every kind of storage call of a night and of a restore.

Each seed chooses what goes on (a backup, one that thins out and compacts, one that adopts what was
compacted, a restore, a repair, moves to a friend who joined), what happens (a kill, a power cut, a
full disk, a failing disk, a cut link, a friend that dies) and at which storage call. Afterwards
every snapshot that the root record calls complete is restored byte for byte; after one more night
nothing is left over anywhere.

The seed is in the failure's note. To play it again: COVEY_CRASH_SEEDS=17, or 1000-3000 for others.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.support.crash_points import Bases, Point

pytestmark = pytest.mark.slow

SEEDS = 300
SEEDS_TOGETHER = 3
"""So few that a failing test says enough, and so many that its beginning costs little."""


def seeds() -> list[range]:
    """Those of CI, or those that the environment names."""
    first, _, last = os.environ.get("COVEY_CRASH_SEEDS", f"0-{SEEDS - 1}").partition("-")
    end = int(last or first) + 1
    return [range(n, min(n + SEEDS_TOGETHER, end)) for n in range(int(first), end, SEEDS_TOGETHER)]


@pytest.mark.parametrize("some", seeds(), ids=lambda some: f"{some[0]}-{some[-1]}")
def test_after_any_death_or_failure_all_snapshots_restore_and_nothing_is_left_over(
    some: range, bases: Bases, memory: Path
) -> None:
    for seed in some:
        folder = memory / str(seed)
        folder.mkdir()
        point = Point(seed, bases, folder)
        try:
            point.play()
        except BaseException as error:
            error.add_note(str(point))
            raise
        finally:
            shutil.rmtree(folder)
        print(point)
