"""Worlds of real members: the same seed takes the same course, and a bug in a member is found."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from datachannel.messages import Continue, Put, Stored
from datachannel.requests import receive_body
from datachannel.streams import Stream
from netsim.world import world
from netsim.world.events import Plan, draw
from netsim.world.invariants import Violation
from netsim.world.member import Computer
from netsim.world.swarm import command_of, run_plan, swarm
from peer.upkeep import care
from signaling.messages import MemberId

ROOT = Path(__file__).parents[3]
QUIET = Plan(seed=1, members=3, days=1, faults=False, losses=False)
SEEDS_MAX = 12
"""Within so many seeds the swarm must find what is planted."""


@pytest.mark.slow
def test_three_members_back_up_and_get_everything_back():
    result = run_plan(QUIET)
    assert result.nights >= 3 * 7
    assert result.lost_packs == 0
    assert result.stored_bytes > 0


@pytest.mark.slow
def test_one_seed_takes_the_same_course_in_two_processes():
    program = (
        "from netsim.world.swarm import *; "
        "print(run_plan(Plan(seed=2, members=3, days=2)).trace_hash)"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": number},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for number in ("1", "22")
    ]
    assert found[0] == found[1]
    assert len(found[0].strip()) == 32


def test_what_happens_is_the_seeds():
    plan = Plan(seed=3, members=5, days=20)
    assert draw(plan) == draw(plan)
    assert draw(plan) != draw(Plan(seed=4, members=5, days=20))
    assert draw(plan) == sorted(draw(plan))


def test_a_breach_tells_how_to_bring_it_back():
    with pytest.raises(Violation) as found:
        run_plan(QUIET, prepare=_writes_what_was_not_sent)
    assert command_of(QUIET) in " ".join(found.value.__notes__)
    with pytest.raises(Violation) as again:
        run_plan(QUIET, prepare=_writes_what_was_not_sent)
    assert str(again.value) == str(found.value)


# --- planted bugs ---------------------------------------------------------------------------------


def _acknowledges_before_it_stores(computer: Computer) -> None:
    """A holder that says «stored» when the bytes have come, and keeps only half of them."""
    assert computer.parts is not None
    handler = computer.parts.handler

    async def put(remote: MemberId, request: Put, stream: Stream) -> None:
        if request.name[0] % 2:
            await real(remote, request, stream)
            return
        await stream.send(Continue(0))
        async for _ in receive_body(stream, request.length):
            pass
        await stream.send(Stored())

    real = handler._put
    handler._put = put  # type: ignore[method-assign]


def _writes_what_was_not_sent(computer: Computer) -> None:
    """A holder whose store writes a wrong byte and does not look at the name."""
    assert computer.parts is not None
    store = computer.parts.store
    real = store.finish_put

    def finish_put(put: object) -> None:
        hasher = put.hasher  # type: ignore[attr-defined]
        if hasher is not None:
            os.pwrite(put.fd, b"?", put.length // 2)  # type: ignore[attr-defined]
        real(put)  # type: ignore[arg-type]

    store.finish_put = finish_put  # type: ignore[method-assign]


def _forgets_its_limit(computer: Computer) -> None:
    """A holder that takes more than it offers."""
    assert computer.parts is not None
    store = computer.parts.store
    store.limit_bytes = 1000
    store._make_room = lambda more: None  # type: ignore[method-assign]


def _deletes_what_it_was_not_asked_to(computer: Computer) -> None:
    """A holder that takes a wish to delete for a wish to delete everything."""
    assert computer.parts is not None
    store = computer.parts.store
    real = store.delete

    def delete(owner: MemberId, names: tuple[bytes, ...]) -> int:
        page, _ = store.list_after(owner, b"", 10_000)
        return real(owner, tuple(name for name, _ in page))

    store.delete = delete  # type: ignore[method-assign]


@pytest.mark.slow
@pytest.mark.parametrize(
    "plant",
    [
        _writes_what_was_not_sent,
        _forgets_its_limit,
        _deletes_what_it_was_not_asked_to,
    ],
)
def test_the_swarm_finds_a_planted_bug(plant: Callable[[Computer], None]):
    with pytest.raises(Violation):
        swarm(range(1, 1 + SEEDS_MAX), lambda: False, prepare=plant)


@pytest.mark.slow
def test_holders_that_acknowledge_before_they_store_are_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(world, "QUIET_DAYS", 1.0)
    with pytest.raises(Violation):
        run_plan(QUIET, prepare=_acknowledges_before_it_stores)


@pytest.mark.slow
def test_a_world_whose_members_repair_nothing_is_found(monkeypatch: pytest.MonkeyPatch):
    """A friend's disk is lost in this world; a week later each pack has all its shares again."""
    plan = Plan(seed=1, members=4, days=6, faults=False, work=False)
    run_plan(plan)
    steps = tuple(step for step in care.STEPS if step[0] != "repair")
    assert len(steps) < len(care.STEPS)
    monkeypatch.setattr(care, "STEPS", steps)
    with pytest.raises(Violation, match="thin"):
        run_plan(plan)
