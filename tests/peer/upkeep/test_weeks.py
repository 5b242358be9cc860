"""Weeks in the life of a group: friends sleep, leave for good and join, and nothing thins out."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from bench.trees import compare_trees
from netsim.world.clock import run_at_once
from peer.backup.night import Night
from peer.upkeep.absence import DAY_S, note_absences
from peer.upkeep.challenge import challenge
from peer.upkeep.presence import SAMPLE_S
from peer.upkeep.rebalance import rebalance
from peer.upkeep.repair import repair
from tests.support.crash_world import DAY_NS, FIRST_NS, CrashGroup

FRIENDS = 6
NIGHTS = 45
LEAVE_EVERY = 12
NEW_AFTER = 3
QUIET = 9
"""The last nights, in which nobody leaves: three of grace, and the rest to mend."""


class Life:
    """One member's nights, and what becomes of its friends."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.files = folder / "files"
        self.files.mkdir(parents=True)
        self.group = CrashGroup(folder / "group", FRIENDS, seed=str(seed), now_ns=FIRST_NS)
        self.group.mark(self.files)
        self.joined, self.gone = FRIENDS, set[bytes]()

    async def live(self) -> None:
        """All nights."""
        for night in range(NIGHTS):
            self._befall(night)
            self._pass_a_day()
            await self._night(night)

    def _befall(self, night: int) -> None:
        """Who sleeps tonight, who left, who joined."""
        here = [one for one in self.group.holders.values() if one.member not in self.gone]
        for holder in here:
            holder.online = True
        quiet = night >= NIGHTS - QUIET
        if night % LEAVE_EVERY == LEAVE_EVERY - 1 and not quiet:
            leaver = self.chance.choice(here)
            leaver.online = False
            for link in leaver.links:
                link.cut()
            self.gone.add(leaver.member)
        elif night % LEAVE_EVERY == NEW_AFTER and night > NEW_AFTER:
            self.group.add_friend(self.joined)
            self.joined += 1
        elif not quiet:
            self.chance.choice(here).online = False

    def _pass_a_day(self) -> None:
        group = self.group
        for _ in range(round(DAY_S / SAMPLE_S)):
            group.now_ns += round(SAMPLE_S * 10**9)
            online = [one.member for one in group.holders.values() if one.online]
            note_absences(group.member.catalog, group.now_ns / 10**9, online, list(group.holders))
        assert (group.now_ns - FIRST_NS) % DAY_NS == 0

    async def _night(self, night: int) -> None:
        name = self.files / f"file {night % 20}"
        name.write_bytes(self.chance.randbytes(30_000))
        event = await Night(self.group.member, lambda event: None).run()
        assert event["ok"], event
        for step in (challenge, repair, rebalance):
            await step(self.group.member, lambda event: None)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_after_weeks_of_coming_and_going_nothing_is_thin_or_uneven_and_all_comes_back(
    tmp_path: Path, seed: int
):
    async def live() -> None:
        life = Life(tmp_path, seed)
        group, catalog = life.group, life.group.member.catalog
        await life.live()
        assert len(life.gone) == 3
        for row in catalog.packs():
            placed = catalog.placements(row.pack)
            assert len(placed) == row.total
            assert len(set(placed.values())) == row.total  # at as many friends
            assert life.gone.isdisjoint(placed.values())
        levels = catalog.bytes_per_holder()
        assert max(levels.values()) - min(levels.values()) <= 0.35 * max(levels.values())
        here = [one for one in group.holders.values() if one.member not in life.gone]
        for holder in life.chance.sample(here, 2):  # any two may vanish now
            holder.online = False
            for link in holder.links:
                link.cut()
        back = tmp_path / "back"
        assert (await group.restore(back))["ok"]
        assert compare_trees(life.files, Path(f"{back}{life.files}")).differences == ()
        await group.close()

    run_at_once(live())
