"""A restore while friends come and go: it waits for them, and everything comes back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.trees import compare_trees
from datachannel.link import PeerSession
from peer.restore.job import RestoreJob
from peer.service import Event, Problem
from signaling.messages import MemberId
from tests.support.small_group import Holder, SmallGroup, small_group


@pytest.fixture
def files(tmp_path) -> Path:
    chance = random.Random(2)
    root = tmp_path / "files"
    root.mkdir()
    for number in range(12):
        (root / f"file {number}").write_bytes(chance.randbytes(2_000_000))
    return root


async def patient_restore(
    group: SmallGroup,
    target: Path,
    emit: Callable[[Event], None] = lambda event: None,
    *,
    patience_s: float = 30,
) -> Event:
    row = group.member.catalog.snapshots()[-1]
    job = RestoreJob(group.member, row, str(target), [], "always", emit, patience_s=patience_s)
    return await job.run()


def leave(holder: Holder) -> None:
    holder.online = False
    for link in holder.links:
        link.cut()


class RestlessFriends:
    """Friends who leave when they are dialled, or in the middle of what they send."""

    def __init__(self, group: SmallGroup, seed: int) -> None:
        self._group, self._chance = group, random.Random(seed)
        self.left = 0

    reached = True

    def members(self) -> dict[MemberId, Holder]:
        return self._group.members()

    async def session(self, member: MemberId) -> PeerSession:
        holder = self._group.holders[member]
        if self._chance.random() < 0.4:
            self._leave(holder)
        session = await self._group.session(member)
        far = holder.links[-1].other
        if far.cut_after_bytes is None:
            far.cut_after_bytes = self._chance.randint(1, 12_000_000)
        return session

    def _leave(self, holder: Holder) -> None:
        self.left += 1
        leave(holder)

    async def come_back(self) -> None:
        """One after the other, for ever."""
        while True:
            await asyncio.sleep(self._chance.uniform(0.01, 0.1))
            self._chance.choice(list(self._group.holders.values())).online = True


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_a_restore_completes_while_friends_come_and_go(files, tmp_path, seed):
    async with small_group(tmp_path, friends=5, timeout_s=120) as group:
        assert (await group.backup(files))["ok"]
        restless = group.member.friends = RestlessFriends(group, seed)
        coming = asyncio.create_task(restless.come_back())
        try:
            done = await patient_restore(group, tmp_path / "back")
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
        assert done["ok"], done["message"]
        assert compare_trees(files, Path(f"{tmp_path}/back{files}")).differences == ()
        assert restless.left
        assert sum(len(holder.links) for holder in group.holders.values()) > 5


async def test_a_restore_waits_for_a_friend_who_comes_later(files, tmp_path):
    async with small_group(tmp_path, friends=3) as group:
        assert (await group.backup(files))["ok"]
        for holder in group.holders.values():
            leave(holder)

        waited_for: list[str] = []

        def come_when_waited_for(event: Event) -> None:
            if event.get("stage") == "wait":
                waited_for.extend(event["waiting_for"])
                for holder in group.holders.values():
                    holder.online = True

        assert (await patient_restore(group, tmp_path / "back", come_when_waited_for))["ok"]
        assert set(waited_for) == {"friend 0", "friend 1", "friend 2"}


async def test_a_restore_gives_up_when_nobody_comes_and_says_why(files, tmp_path):
    async with small_group(tmp_path, friends=3) as group:
        assert (await group.backup(files))["ok"]
        for holder in group.holders.values():
            leave(holder)
        with pytest.raises(Problem) as problem:
            await patient_restore(group, tmp_path / "back", patience_s=0.3)
        assert "only 0 of the" in problem.value.text
        assert "repeat" in problem.value.next_step
