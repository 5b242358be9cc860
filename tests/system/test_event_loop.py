"""The agent's event loop serves friends, the server and the person also in the middle of a backup.

What is measured is the CPU time that the loop's thread spends between two ticks of a timer: other
processes on a busy machine make ticks late, but do not add to it. How late the ticks are is told.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvloop

from bench.group import LocalGroup, MemberProcess
from bench.trees import compare_trees
from peer.assembly import Assembly, assemble
from peer.service import Event
from peer.state import StateFolder

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.quiet]

BLOCKED_S_MAX = 0.050
TICK_S = 0.002
WAIT_S = 30.0


@dataclass
class Ticks:
    """A timer's ticks: the CPU time and the delay of each, the worst kept."""

    count: int = 0
    worst_cpu_s: float = 0.0
    worst_late_s: float = 0.0
    over: list[float] = field(default_factory=list)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        cpu, due = time.thread_time(), loop.time() + TICK_S
        while True:
            await asyncio.sleep(TICK_S)
            now_cpu, now = time.thread_time(), loop.time()
            self.count += 1
            self.worst_cpu_s = max(self.worst_cpu_s, now_cpu - cpu)
            self.worst_late_s = max(self.worst_late_s, now - due)
            if now_cpu - cpu > BLOCKED_S_MAX / 2:
                self.over.append(round(now_cpu - cpu, 4))
            cpu, due = time.thread_time(), loop.time() + TICK_S

    def __str__(self) -> str:
        return (
            f"{self.count} ticks: at most {self.worst_cpu_s * 1000:.1f} ms busy, "
            f"{self.worst_late_s * 1000:.1f} ms late; over half of the limit: {self.over}"
        )


async def last(events) -> Event:
    return [event async for event in events][-1]


def at_work(member: MemberProcess):
    state = StateFolder(member.home)
    return assemble(state, state.config(), state.secrets())


async def see_each_other(*members: Assembly) -> None:
    async with asyncio.timeout(WAIT_S):
        for member in members:
            while not any(  # noqa: ASYNC110 - as a person would look
                friend.online for friend in member.group.members().values()
            ):
                await asyncio.sleep(0.05)


def test_the_loop_is_never_blocked_for_50_ms_during_a_backup_and_a_restore(
    group: LocalGroup, tmp_path: Path
):
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "large").write_bytes(os.urandom(25_000_000))
    for number in range(1000):
        (folder / f"small {number}").write_bytes(os.urandom(5_000))
    anna, ben = (group.join(name, start=False) for name in ("anna", "ben"))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        ticks = runner.run(back_up_and_restore(anna, ben, folder, tmp_path / "back"))
    assert compare_trees(folder, Path(f"{tmp_path / 'back'}{folder}")).differences == ()
    assert ticks.count > 100
    assert ticks.worst_cpu_s < BLOCKED_S_MAX


async def back_up_and_restore(
    anna: MemberProcess, ben: MemberProcess, folder: Path, target: Path
) -> Ticks:
    """Both members on this one loop, which so has twice the work of an agent's."""
    ticks = Ticks()
    async with at_work(anna) as owner, at_work(ben) as friend:
        await see_each_other(owner, friend)
        await owner.node.mark([str(folder)])
        ticking = asyncio.create_task(ticks.run())
        try:
            backup = await last(owner.node.backup())
            print(f"backup: {ticks}")
            restore = await last(owner.node.restore("latest", str(target)))
            print(f"with the restore: {ticks}")
        finally:
            ticking.cancel()
    assert backup["ok"], backup
    assert restore["ok"], restore
    return ticks
