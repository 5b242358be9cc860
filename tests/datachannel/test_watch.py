"""A network that has changed is noticed, and links that did not outlive it are replaced soon."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from datachannel import link
from datachannel.watch import GAP_S, LOOK_S, Looks, watch
from tests.datachannel.test_link import a_pair, never, settled
from tests.support.sctp_harness import run_virtual

HERE = frozenset({"192.168.1.2"})


@given(st.lists(st.floats(0, LOOK_S + GAP_S - 0.1), max_size=50))
def test_the_same_addresses_and_even_times_are_no_change(steps):
    looks, now = Looks(), 1000.0
    for step in steps:
        assert not looks.changed(now, now + 1e9, HERE)
        now += step


def test_another_address_is_a_change_once():
    looks = Looks()
    assert not looks.changed(0.0, 0.0, HERE)
    assert looks.changed(2.0, 2.0, frozenset({"10.0.0.7"}))
    assert not looks.changed(4.0, 4.0, frozenset({"10.0.0.7"}))


def test_a_computer_that_slept_has_changed_whether_its_loop_knows_it_or_not():
    looks = Looks()
    looks.changed(0.0, 0.0, HERE)
    assert looks.changed(2.0, 3600.0, HERE)
    assert looks.changed(3600.0, 7200.0, HERE)


def test_a_change_is_told_within_seconds():
    async def main() -> None:
        told: list[float] = []
        places = {"at": HERE}
        loop = asyncio.get_running_loop()
        work = watch(lambda: places["at"], loop.time, lambda: told.append(loop.time()))
        watching = asyncio.create_task(work)
        await asyncio.sleep(100)
        places["at"] = frozenset()
        await asyncio.sleep(100)
        watching.cancel()
        assert len(told) == 1
        assert told[0] <= 100 + LOOK_S

    run_virtual(main())


async def test_a_link_that_answers_outlives_a_change_and_one_that_does_not_is_closed(monkeypatch):
    monkeypatch.setattr(link, "CHECK_S", 0.05)
    async with a_pair(never) as pair:
        await pair.alice.check()
        assert not pair.alice.closed
        pair.links[1].stall()
        await pair.alice.check()
        assert pair.alice.closed
        await settled(lambda: pair.bob.closed)
