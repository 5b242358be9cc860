"""Whose shares may go, and when: after a goodbye, after a long silence, and never by a clock."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chunking.share import Share
from peer.holding.observed import ObservedTime
from peer.holding.owners import GOODBYE_DAYS, SILENT_DAYS, Owners
from peer.holding.store import NoRoom, ShareStore
from signaling.messages import MemberId
from tests.peer.holding.test_store import (
    ANNA_ID,
    BEN_ID,
    Clock,
    a_share,
    open_store,
    put,
    read,
    size_on_disk,
)

CARL_ID = MemberId(b"c" * 32)
SIZE = 150_000


@pytest.fixture
def clock() -> Clock:
    return Clock()


def of(owner: MemberId, *seeds: int) -> list[Share]:
    return [a_share(seed, SIZE, owner) for seed in seeds]


def full_store(root: Path, clock: Clock) -> tuple[ShareStore, list[Share], list[Share]]:
    """Room for six shares: Anna has three here, and Ben two."""
    store = open_store(root, clock, limit=6 * (SIZE + 100))
    annas, bens = of(ANNA_ID, 1, 2, 3), of(BEN_ID, 4, 5)
    for owner, shares in ((ANNA_ID, annas), (BEN_ID, bens)):
        store.see(owner)
        for share in shares:
            put(store, share, owner)
        store.see(owner)
    return store, annas, bens


def here(store: ShareStore, owner: MemberId, shares: list[Share]) -> int:
    return sum(read(store, share, owner) is not None for share in shares)


def pass_days(store: ShareStore, clock: Clock, days: int, *seen: MemberId) -> None:
    while days:
        clock.pass_days(step := min(days, 30))
        days -= step
        for owner in seen:
            store.see(owner)
    store.expire()


def test_an_owner_that_is_silent_keeps_its_shares_until_space_is_needed(tmp_path, clock):
    store, annas, _ = full_store(tmp_path, clock)
    pass_days(store, clock, 3 * SILENT_DAYS, BEN_ID)
    assert here(store, ANNA_ID, annas) == 3
    assert store.owners.unseen_days(ANNA_ID) == 3 * SILENT_DAYS


def test_the_longest_silent_owner_loses_no_more_than_is_needed(tmp_path, clock):
    store, annas, bens = full_store(tmp_path, clock)
    pass_days(store, clock, SILENT_DAYS, BEN_ID)
    for share in of(CARL_ID, 6, 7):
        put(store, share, CARL_ID)
    assert here(store, ANNA_ID, annas) == 2
    assert here(store, BEN_ID, bens) == 2
    assert store.used_bytes == size_on_disk(tmp_path) <= store.limit_bytes


def test_before_that_nobody_loses_anything_however_much_space_is_wanted(tmp_path, clock):
    store, annas, _ = full_store(tmp_path, clock)
    pass_days(store, clock, SILENT_DAYS - 1, BEN_ID)
    put(store, a_share(6, SIZE, CARL_ID), CARL_ID)
    with pytest.raises(NoRoom):
        put(store, a_share(7, SIZE, CARL_ID), CARL_ID)
    assert here(store, ANNA_ID, annas) == 3


def test_who_is_seen_again_in_time_loses_nothing(tmp_path, clock):
    store, annas, _ = full_store(tmp_path, clock)
    pass_days(store, clock, 2 * SILENT_DAYS, BEN_ID)
    store.see(ANNA_ID)
    store.expire()
    put(store, a_share(6, SIZE, CARL_ID), CARL_ID)
    with pytest.raises(NoRoom):
        put(store, a_share(7, SIZE, CARL_ID), CARL_ID)
    assert here(store, ANNA_ID, annas) == 3


@pytest.mark.parametrize("years", [1, 50])
def test_a_clock_that_jumps_years_silences_nobody(tmp_path, clock, years):
    store, _, _ = full_store(tmp_path, clock)
    clock.wall += years * 365 * 86_400
    store.expire()
    again = open_store(tmp_path, clock, limit=store.limit_bytes)  # and a restart counts one day
    assert again.owners.unseen_days(ANNA_ID) <= 1
    clock.wall -= 2 * years * 365 * 86_400
    assert open_store(tmp_path, clock).owners.unseen_days(ANNA_ID) <= 1


def test_after_a_goodbye_shares_stay_for_some_days_and_then_all_goes(tmp_path, clock):
    store, annas, bens = full_store(tmp_path, clock)
    store.say_goodbye(ANNA_ID)
    pass_days(store, clock, GOODBYE_DAYS - 1, BEN_ID)
    assert here(store, ANNA_ID, annas) == 3
    store = open_store(tmp_path, clock, limit=store.limit_bytes)
    pass_days(store, clock, 1, BEN_ID)
    assert here(store, ANNA_ID, annas) == 0
    assert here(store, BEN_ID, bens) == 2
    assert ANNA_ID not in store.used_by_owner()
    assert store.used_bytes == size_on_disk(tmp_path)


def test_a_goodbye_that_is_regretted_in_time_is_taken_back(tmp_path, clock):
    store, annas, _ = full_store(tmp_path, clock)
    store.say_goodbye(ANNA_ID)
    pass_days(store, clock, GOODBYE_DAYS - 1, BEN_ID)
    store.see(ANNA_ID)
    pass_days(store, clock, GOODBYE_DAYS + 1, ANNA_ID, BEN_ID)
    assert here(store, ANNA_ID, annas) == 3


def test_what_somebody_who_left_has_here_goes_first_when_space_is_needed(tmp_path, clock):
    store, annas, bens = full_store(tmp_path, clock)
    pass_days(store, clock, SILENT_DAYS, BEN_ID)  # Anna is silent, and then Ben leaves
    store.say_goodbye(BEN_ID)
    for share in of(CARL_ID, 6, 7):
        put(store, share, CARL_ID)
    assert (here(store, ANNA_ID, annas), here(store, BEN_ID, bens)) == (3, 1)


class Days:
    """Observed days, with a computer that is switched off and a wall clock that lies."""

    def __init__(self, root: Path) -> None:
        self.root, self.wall, self.monotonic = root, 1e9, 0.0
        self.on_days = 0.0
        self.starts = 0
        self.start()

    def start(self) -> None:
        self.time = ObservedTime(
            self.root / "observed.json",
            wall_s=lambda: self.wall,
            monotonic_s=lambda: self.monotonic,
        )
        self.owners = Owners(self.root / "owners.json", [ANNA_ID], lambda: self.time.day)

    def run(self, days: float) -> None:
        self.monotonic += days * 86_400
        self.wall += days * 86_400
        self.on_days += days


steps = st.lists(
    st.one_of(
        st.tuples(st.just("run"), st.floats(0, 60)),
        st.tuples(st.just("jump"), st.floats(-20_000, 20_000)),
        st.tuples(st.just("restart"), st.just(0.0)),
    ),
    max_size=25,
)


@settings(max_examples=25, deadline=None)
@given(steps)
def test_nobody_is_silent_for_longer_than_this_computer_was_on_and_a_day_a_start(
    tmp_path_factory, steps
):
    days = Days(tmp_path_factory.mktemp("days"))
    days.owners.see(ANNA_ID)
    for step, amount in steps:
        if step == "run":
            days.run(amount)
        elif step == "jump":
            days.wall += amount * 86_400
        else:
            days.monotonic = 0.0
            days.starts += 1
            days.start()
        assert 0 <= days.owners.unseen_days(ANNA_ID) <= days.on_days + days.starts + 1
        if days.on_days + days.starts + 1 < SILENT_DAYS:
            assert days.owners.spare() == []
