"""Somebody begins to work during a night that came by itself: real load, a real night, real links.

Only the wall clock is simulated: it is a day ahead, so that the night is due at once. Whoever else
works at this computer meanwhile is a busy person too, so this wants the machine for itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from bench.group import LocalGroup, MemberProcess
from peer import assembly
from peer.assembly import Assembly, assemble
from peer.nightly.sampling import byte_workers
from peer.state import StateFolder
from peer.upkeep.reconcile import ask_all

pytestmark = [pytest.mark.system, pytest.mark.long]

WITHIN_S = 10  # the person has the processor
SHARE_MAX = 0.1
GOOD_PART = 0.3
PATIENCE_S = 45
ANSWER_S_MAX = 2.0
DAY_NS = 86_400 * 10**9
FILES, FILE_BYTES = 60_000, 4_000
PROCESSORS = os.cpu_count() or 1


@pytest.fixture
def files(memory: Path) -> Path:
    """As many as take two processors for about a minute."""
    root = memory / "busy person"
    for number in range(FILES):
        if number % 1000 == 0:
            (folder := root / str(number)).mkdir(parents=True)
        (folder / str(number)).write_bytes(os.urandom(FILE_BYTES))
    return root


@contextlib.contextmanager
def somebody_works() -> Iterator[None]:
    """Load that is none of our descendants: the launcher ends at once, and init adopts the rest."""
    launcher = (
        "import subprocess, sys\n"
        "spin = [sys.executable, '-c', 'while True: pass']\n"
        "print(subprocess.Popen(spin, stdout=subprocess.DEVNULL).pid)"
    )
    pids = []
    try:
        for _ in range(PROCESSORS):
            words = [sys.executable, "-c", launcher]
            told = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
            pids.append(int(told))
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


def a_day_ahead() -> int:
    return time.time_ns() + DAY_NS


async def share(seconds: float) -> float:
    """The part of all processors that this process, two members, and all byte work take."""

    def spent() -> dict[int, float]:
        times = {}
        for process in (psutil.Process(), *byte_workers()):
            with contextlib.suppress(psutil.Error):
                times[process.pid] = sum(process.cpu_times()[:2])
        return times

    clock, before = asyncio.get_running_loop(), spent()
    begun = clock.time()
    await asyncio.sleep(seconds)
    after = spent()
    used = sum(after[pid] - before[pid] for pid in after.keys() & before.keys())
    return used / (clock.time() - begun) / PROCESSORS


async def seconds_until(true: Callable[[], object]) -> float:
    clock = asyncio.get_running_loop()
    begun = clock.time()
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110 - as a person would look
            await asyncio.sleep(0.05)
    return clock.time() - begun


async def slowest_answer(owner: Assembly, seconds: float) -> float:
    """How long the friend took at most to answer over its link, asked again and again."""
    clock, slowest = asyncio.get_running_loop(), 0.0
    end = clock.time() + seconds
    while (asked := clock.time()) < end:
        assert len(await ask_all(owner.group)) == 1, "the friend did not answer"
        slowest = max(slowest, clock.time() - asked)
        await asyncio.sleep(0.5)
    return slowest


async def seconds_until_it_is_back(owner: Assembly) -> float:
    clock = asyncio.get_running_loop()
    begun = clock.time()
    while (part := await share(1)) < GOOD_PART:
        assert (await owner.node.status())["doing"], "the night was over too soon"
        if clock.time() - begun > PATIENCE_S:
            pytest.fail(f"{part:.2f} of the processors; who else works here?")
    return clock.time() - begun


@contextlib.asynccontextmanager
async def at_work(member: MemberProcess):
    state = StateFolder(member.home)
    async with assemble(state, state.config(), state.secrets()) as member_at_work:
        yield member_at_work


async def a_night_with_a_person(anna: MemberProcess, ben: MemberProcess, files: Path):
    seen = SimpleNamespace()
    async with at_work(anna) as owner, at_work(ben) as friend:
        await seconds_until(lambda: any(f.online for f in owner.group.members().values()))
        await seconds_until(lambda: any(f.online for f in friend.group.members().values()))
        await owner.node.mark([str(files)])
        keeping = asyncio.create_task(owner.keeper.run(owner.node, scheduled=True))
        try:
            try:
                seen.begins_s = await seconds_until(byte_workers)
            except TimeoutError:
                pytest.fail(f"no night began: {owner.keeper.facts()['waiting_because']}")
            await asyncio.sleep(2)
            seen.alone = await share(3)
            with somebody_works():
                await asyncio.sleep(WITHIN_S)
                measured = asyncio.gather(share(6), slowest_answer(owner, 6))
                seen.beside, seen.answer_s = await measured
                seen.links = [link["state"] for link in (await owner.node.status())["links"]]
                seen.doing = (await owner.node.status())["doing"]
            seen.back_s = await seconds_until_it_is_back(owner)
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
    return seen


def test_a_busy_person_is_not_disturbed_and_no_link_is_lost(
    group: LocalGroup, files: Path, monkeypatch
):
    made = assembly.real_keeper

    def tomorrow(*given: Any, **facts: Any):
        home, member, created_ns, links, _, *rest = given
        return made(home, member, created_ns, links, a_day_ahead, *rest, **facts)

    monkeypatch.setattr(assembly, "real_keeper", tomorrow)
    anna, ben = (group.join(name, start=False) for name in ("anna", "ben"))
    seen = asyncio.run(a_night_with_a_person(anna, ben, files))
    print(
        f"begun after {seen.begins_s:.0f} s; share of the processors alone {seen.alone:.2f}, "
        f"beside a person {seen.beside:.3f}, again {seen.back_s:.0f} s after them; "
        f"the friend answered within {seen.answer_s:.2f} s"
    )
    assert seen.alone > GOOD_PART
    assert seen.beside < SHARE_MAX
    assert (seen.doing, seen.links) == ("backing up", ["open"])
    assert seen.answer_s < ANSWER_S_MAX
    assert not byte_workers()
