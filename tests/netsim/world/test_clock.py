"""A loop whose clock jumps, and wall clocks that are wrong."""

from __future__ import annotations

import asyncio

import pytest

from netsim.world.clock import FIRST_NS, Deadlock, WallClock, chance_of, run_at_once

YEAR_S = 365 * 86_400.0


def test_a_year_passes_at_once():
    async def sleep() -> float:
        await asyncio.sleep(YEAR_S)
        return asyncio.get_running_loop().time()

    assert run_at_once(sleep()) == pytest.approx(YEAR_S)


def test_timers_go_on_after_years_although_times_are_rounded():
    async def tick() -> int:
        await asyncio.sleep(10 * YEAR_S)
        for _ in range(100):
            await asyncio.sleep(0.001)
        return 100

    assert run_at_once(tick()) == 100


def test_what_waits_for_nothing_is_found_at_once():
    async def wait() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        run_at_once(wait())


def test_tasks_are_in_sets_in_the_order_in_which_they_were_made():
    async def order() -> list[str]:
        names = [f"task {number}" for number in range(200)]
        tasks = {asyncio.ensure_future(asyncio.sleep(1)): name for name in names}
        found = [tasks[task] for task in set(tasks)]
        await asyncio.gather(*tasks)
        return found

    assert run_at_once(order()) == run_at_once(order())


def test_wall_clocks_drift_and_jump():
    async def clocks() -> tuple[int, int]:
        fast = WallClock(drift=1e-3)
        await asyncio.sleep(1000)
        before = fast.ns()
        fast.jump(-3600)
        return before - FIRST_NS, before - fast.ns()

    assert run_at_once(clocks()) == (1001 * 10**9, 3600 * 10**9)


def test_chance_is_the_seeds_and_the_purposes():
    assert chance_of(1, "disk", 2).random() == chance_of(1, "disk", 2).random()
    assert chance_of(1, "disk", 2).random() != chance_of(1, "disk", 3).random()
    assert chance_of(2, "disk", 2).random() != chance_of(1, "disk", 2).random()
