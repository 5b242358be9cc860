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


def test_a_spool_that_lost_its_ends_is_made_anew(bases: Bases, memory: Path) -> None:
    cut_power_at_every_call(bases, memory, "adoption", loses="files")


def test_a_root_record_is_never_ahead_of_the_catalog(bases: Bases, memory: Path) -> None:
    cut_power_at_every_call(bases, memory, "first nights", loses="commits")
