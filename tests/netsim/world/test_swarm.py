"""Many worlds, as many as there is time for: nothing may break. `make swarm` takes longer.

A seed that broke once is named here with what it showed, so that it is lived through each time.
"""

from __future__ import annotations

import itertools
import time

import pytest

from netsim.world.events import Kind, Plan, draw
from netsim.world.swarm import CHURNS, command_of, plan_of, run_plan, swarm

SECONDS = 45.0
SEEDS = range(1000, 2000)


@pytest.mark.slow
def test_nothing_breaks_in_the_worlds_of_the_time_there_is():
    end = time.monotonic() + SECONDS
    assert swarm(SEEDS, lambda: time.monotonic() > end) >= 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", [20])
def test_a_world_that_once_broke_does_so_no_more(seed: int):
    """20: the only friend's disk was lost, and what its owner was told took no notice of it."""
    run_plan(plan_of(seed))


def test_the_kind_of_world_follows_from_the_seed():
    plans = [plan_of(seed) for seed in range(200)]
    assert plans == [plan_of(seed) for seed in range(200)]
    assert {plan.churn for plan in plans} == set(CHURNS)
    assert {plan.members for plan in plans} == set(range(2, 8))


def test_the_command_tells_all_that_makes_a_world():
    plan = Plan(seed=7, members=5, days=3.0, churn="phones", faults=False, losses=False)
    assert command_of(plan) == (
        "covey sim world --seed 7 --members 5 --days 3 --churn phones --no-faults --no-losses"
    )


def test_permanent_losses_leave_time_for_repair():
    for seed in range(50):
        events = draw(Plan(seed=seed, members=5, days=200))
        at = [event.at_s for event in events if event.kind in (Kind.GONE, Kind.DISK_LOST)]
        assert at
        assert all(later - sooner >= 14 * 86_400 for sooner, later in itertools.pairwise(at))


def test_who_is_there_is_what_the_statistical_model_draws():
    events = draw(Plan(seed=1, members=4, days=30, churn="office", faults=False, losses=False))
    on = sum(event.kind is Kind.ON for event in events)
    off = sum(event.kind is Kind.OFF for event in events)
    assert 4 * 15 < on < 4 * 40
    assert abs(on - off) <= 4
