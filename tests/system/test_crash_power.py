"""Power cuts at every storage call of a night, one after the other: what was not synced is lost.

The catalog's last commits are never synced by themselves, nor is the spool.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.crash_points import Bases, Point
from tests.support.faults import Fault, Plan

pytestmark = pytest.mark.slow


def cut_power_at_every_call(bases: Bases, memory: Path, scene: str, *, loses: str) -> None:
    for at in range(1, bases.counts[scene] + 1):
        folder = memory / f"power {at}"
        folder.mkdir()
        plan = Plan((), Fault.POWER, at, seed=at, loses=loses)
        point = Point(at, bases, folder, scene=scene, plan=plan)
        try:
            point.play()
        except BaseException as error:
            error.add_note(str(point))
            raise
        finally:
            shutil.rmtree(folder)


@pytest.mark.xfail(
    raises=KeyError,
    strict=True,
    reason="Shipper._drop runs once for each share of a damaged spool file, so that `broken` has "
    "the pack twice and Night._forget_broken drops it twice: catalog.drop_pack raises KeyError",
)
def test_a_spool_that_lost_its_ends_is_made_anew(bases: Bases, memory: Path) -> None:
    cut_power_at_every_call(bases, memory, "adoption", loses="files")


@pytest.mark.xfail(
    strict=True,
    reason="make_root writes the root record durably while the commits that it rests on (packs, "
    "acknowledgements) may still be lost; the next night then forgets packs as unsafe that the "
    "record's index lists, and has friends delete them: a complete snapshot is lost",
)
def test_a_root_record_is_never_ahead_of_the_catalog(bases: Bases, memory: Path) -> None:
    cut_power_at_every_call(bases, memory, "first nights", loses="commits")
