"""A night under way on a computer at which somebody begins to work: real load, real processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from peer.blocking import run_blocking
from peer.nightly.manners import Manners
from peer.nightly.sampling import Sampler, byte_workers
from peer.nightly.throttle import Throttle

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.long]

SPIN = "while True: pass"
SECONDS = 10  # within which the person has the processor
GOOD_PART = 0.3
BYTE_WORK = [sys.executable, "-c", SPIN, "peer.engine"]  # known by its last word


@pytest.fixture
def night() -> Iterator[list[psutil.Process]]:
    """Byte work: a process for each processor, children of this one."""
    started = [subprocess.Popen(BYTE_WORK) for _ in range(os.cpu_count() or 1)]
    try:
        yield [psutil.Process(process.pid) for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()


@contextlib.contextmanager
def somebody_works() -> Iterator[None]:
    """Load that is none of our descendants: the launcher ends at once, and init adopts the rest."""
    launcher = (
        "import subprocess, sys\n"
        "print(subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL).pid)"
    )
    pids = []
    try:
        for _ in range(os.cpu_count() or 1):
            words = [sys.executable, "-c", launcher, sys.executable, "-c", SPIN]
            told = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
            pids.append(int(told))
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


async def share(processes: list[psutil.Process], seconds: float) -> float:
    """The part of all processors that these take in the next seconds."""

    def spent() -> float:
        return sum(sum(process.cpu_times()[:2]) for process in processes)

    clock, before = asyncio.get_running_loop(), spent()
    begun = clock.time()
    await asyncio.sleep(seconds)
    return (spent() - before) / (clock.time() - begun) / (os.cpu_count() or 1)


async def seconds_until_it_runs(night: list[psutil.Process]) -> float:
    """How long until it has a good part of the processors again; fails after a minute."""
    clock = asyncio.get_running_loop()
    begun = clock.time()
    async with asyncio.timeout(60):
        while await share(night, 1) < GOOD_PART:
            pass
    return clock.time() - begun


async def hold_back(throttle: Throttle, manners: Manners, sampler: Sampler) -> None:
    """What the keeper does while a night is under way."""
    while True:
        manners.hear(await run_blocking(sampler.look))
        throttle.set_pace(manners.pace(asked_for=False))
        await asyncio.sleep(1)


async def test_the_night_takes_less_than_a_tenth_within_ten_seconds_and_comes_back_after(night):
    throttle = Throttle(byte_workers, (psutil.Error,))
    tasks = [
        asyncio.create_task(throttle.run()),
        asyncio.create_task(hold_back(throttle, Manners(), Sampler())),
    ]
    try:
        await asyncio.sleep(8)
        alone = await share(night, 3)
        with somebody_works():
            await asyncio.sleep(SECONDS)
            beside = await share(night, 5)
        after = await seconds_until_it_runs(night)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    print(f"alone {alone:.2f}, beside a busy person {beside:.3f}, again after {after:.0f} s")
    assert beside < 0.1
    assert all(process.status() != psutil.STATUS_STOPPED for process in night)
