"""Two deputies never act for one owner at the same time, whatever order messages come in."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peer.duty.lease import LEASE_S, TRUSTED_PART, Leases, Mandate
from signaling.messages import MemberId

OWNER = b"o" * 32
MEMBERS = [MemberId(bytes([number]) * 32) for number in range(1, 6)]


@dataclass
class Holder:
    """A member as a holder: its own monotonic clock, which begins anew with each start."""

    leases: Leases
    offset: float = 0.0


@dataclass
class World:
    """Deputies who ask, holders who answer, and messages that take their time or get lost."""

    now: float = 0.0
    holders: dict[MemberId, Holder] = field(default_factory=dict)
    mandates: dict[MemberId, Mandate] = field(default_factory=dict)
    asked: list[tuple[MemberId, MemberId, float]] = field(default_factory=list)
    answered: list[tuple[MemberId, MemberId, float, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for member in MEMBERS:
            self.holders[member] = Holder(Leases({}, 0.0))
            self.mandates[member] = Mandate(MEMBERS)

    def clock(self, holder: Holder) -> float:
        return self.now - holder.offset

    def ask(self, deputy: MemberId, holder: MemberId) -> None:
        self.asked.append((deputy, holder, self.now))

    def answer(self, number: int) -> None:
        if self.asked:
            deputy, member, asked_at = self.asked.pop(number % len(self.asked))
            holder = self.holders[member]
            said = holder.leases.ask(OWNER, deputy, self.clock(holder))
            self.answered.append((deputy, member, asked_at, said))

    def hear(self, number: int) -> None:
        if self.answered:
            deputy, holder, asked_at, said = self.answered.pop(number % len(self.answered))
            if said:
                self.mandates[deputy].given(holder, asked_at=asked_at, seconds=LEASE_S)
            else:
                self.mandates[deputy].lost(holder)

    def restart(self, member: MemberId) -> None:
        """What was given is remembered on disk, and the time since the start begins anew."""
        holder = self.holders[member]
        before = holder.leases.given(self.clock(holder))
        self.holders[member] = Holder(Leases(before, 0.0), offset=self.now)

    def acting(self) -> list[MemberId]:
        return [m for m, mandate in self.mandates.items() if mandate.is_enough(self.now)]


members = st.sampled_from(MEMBERS[:2])
"""Two deputies that want to act are the worst case; all five give leases."""
some = st.sets(st.sampled_from(MEMBERS)).map(sorted)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), members, some),
        st.tuples(st.just("answer"), st.integers(1, 9), st.integers(0, 50)),
        st.tuples(st.just("hear"), st.integers(1, 9), st.integers(0, 50)),
        st.tuples(st.just("lose"), st.booleans(), st.integers(0, 50)),
        st.tuples(st.just("round"), members, some),
        st.tuples(st.just("pass"), st.sampled_from([0.1, 0.4, 0.89, 0.91, 1.0, 1.2]), st.just(0)),
        st.tuples(st.just("restart"), st.sampled_from(MEMBERS), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_never_do_two_deputies_act_at_once(steps):
    world = World()
    for step, one, two in steps:
        if step == "ask":
            for member in two:
                world.ask(one, member)
        elif step == "answer":
            for _ in range(one):
                world.answer(two)
        elif step == "hear":
            for _ in range(one):
                world.hear(two)
        elif step == "round":
            give(world, one, two)
        elif step == "lose":
            waiting = world.asked if one else world.answered
            if waiting:
                waiting.pop(two % len(waiting))
        elif step == "pass":
            world.now += one * LEASE_S
        else:
            world.restart(one)
        assert len(world.acting()) <= 1


def give(world: World, deputy: MemberId, members: list[MemberId]) -> None:
    """These are asked, and all that is under way arrives."""
    for member in members:
        world.ask(deputy, member)
    while world.asked:
        world.answer(0)
    while world.answered:
        world.hear(0)


def everybody_gives(world: World, deputy: MemberId) -> None:
    give(world, deputy, MEMBERS)


def test_a_deputy_whom_most_give_their_lease_acts_until_it_ends_and_then_another_may():
    world = World()
    everybody_gives(world, MEMBERS[0])
    assert world.acting() == [MEMBERS[0]]
    assert world.mandates[MEMBERS[0]].ends(world.now) == LEASE_S * TRUSTED_PART
    everybody_gives(world, MEMBERS[1])
    assert world.acting() == [MEMBERS[0]]
    world.now = LEASE_S
    assert world.acting() == []
    everybody_gives(world, MEMBERS[1])
    assert world.acting() == [MEMBERS[1]]


def test_half_of_the_deputies_are_not_enough():
    mandate = Mandate(MEMBERS[:4])
    for member in MEMBERS[:2]:
        mandate.given(member, asked_at=0.0, seconds=LEASE_S)
    assert not mandate.is_enough(1.0)
    assert mandate.ends(1.0) == 1.0
    mandate.given(MEMBERS[4], asked_at=0.0, seconds=LEASE_S)  # who is no deputy
    assert not mandate.is_enough(1.0)
    mandate.given(MEMBERS[2], asked_at=0.0, seconds=LEASE_S)
    assert mandate.is_enough(1.0)
    mandate.lost(MEMBERS[0])
    assert not mandate.is_enough(1.0)


def test_nobody_acts_for_an_owner_who_named_nobody():
    assert not Mandate([]).is_enough(0.0)
