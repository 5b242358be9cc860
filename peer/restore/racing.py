"""Enough parts of a pack from whoever will have sent them first.

A part is the same bytes of one of a pack's shares: all of them, or some blocks. Any `needed` parts
rebuild those bytes of every share; where only some plain slices are wanted, those alone will do,
and cost less. Sources are chosen by when they are expected to be done, with all that they were
asked for before. One that would take more than twice as long as others that could be asked now,
plus a second, is late, and so is one that is silent for four seconds (longer where our own line is
so slow that each waits for its turn at it): then the others are asked as well, what comes first is
taken, and the losers are let go. So a friend who falls silent or is slow holds nothing up for more
than a few seconds while enough others are there, and friends who are all slow are not asked twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from peer.restore.speed import Speeds
from signaling.messages import MemberId

HEDGE_MIN_S = 1.0
"""Nobody is late by less: a wakeful line's hiccup must not double what is sent."""
HEDGE_MAX_S = 4.0
"""Who is silent for so long is late, whatever was expected: what a person bears."""
HEDGE_FACTOR = 2.0
"""Who would take more than so many times as long as others is late."""
LOOK_AGAIN_S = 0.25
"""How often lateness is judged, and friends who came are seen."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Goal:
    """Any `needed` parts, or just all of `wanted`, if any are."""

    needed: int
    wanted: frozenset[int] = frozenset()

    def is_met(self, got: Collection[int]) -> bool:
        """Whether these parts are enough."""
        return len(got) >= self.needed or (bool(self.wanted) and self.wanted <= set(got))


def choose(goal: Goal, coming: Collection[int], offers: Mapping[int, float]) -> list[int] | None:
    """Which parts to ask for beside those that are `coming`, quickest first; None if too few.

    `offers` are the seconds that each other part would take.
    """
    if goal.is_met(coming):
        return []
    count = goal.needed - len(coming)
    quickest = sorted(offers, key=lambda number: (offers[number], number))
    any_of = quickest[:count] if len(quickest) >= count else None
    plain = [number for number in quickest if number in goal.wanted]
    if not goal.wanted or goal.wanted - set(coming) - set(plain):
        return any_of
    if any_of is None:
        return plain
    if len(plain) < count and offers[plain[-1]] <= late_after_s(offers[any_of[-1]]):
        return plain
    return any_of


def late_after_s(others_s: float) -> float:
    """From which expected time on someone is late, when others would take `others_s`."""
    return HEDGE_MIN_S + HEDGE_FACTOR * others_s


@dataclass(eq=False)
class Transfer:
    """One part on its way from one friend; tells `speeds` what happens to it."""

    number: int
    member: MemberId
    size: int
    speeds: Speeds
    is_late: bool = False
    received: int = 0
    _asked: float | None = None
    _answered: bool = False
    _heard: float = 0.0

    def __post_init__(self) -> None:
        self.speeds.begin(self.member, self.size)

    def admit(self) -> None:
        """Its request goes out now."""
        self._asked = self._heard = self.speeds.clock()

    def answer(self) -> None:
        """The friend has it."""
        assert self._asked is not None
        self._heard = self.speeds.clock()
        self._answered = True
        self.speeds.answer(self.member, self._heard - self._asked)

    def arrive(self, size: int) -> None:
        """So many bytes have come; more than were announced count no further."""
        self._heard = self.speeds.clock()
        counted = min(size, self.size - self.received)
        self.received += counted
        self.speeds.arrive(self.member, counted)

    def end(self, _: object = None) -> None:
        """Nothing more will come."""
        self.speeds.end(self.member, self.size - self.received, answered=self._answered)

    def is_overtaken(self, others_s: float) -> bool:
        """Whether others that need so long had better be asked as well."""
        left = self.size - self.received
        late_s = late_after_s(others_s)
        if self.speeds.remaining_s(self.member, left, answered=self._answered) > late_s:
            return True
        turn_s = HEDGE_FACTOR * self.speeds.turn_s()
        if self._asked is None:  # maybe it is dialled; that takes its time, also with others
            return self.speeds.silent_s(self.member) > HEDGE_MAX_S + turn_s
        return self.speeds.clock() - self._heard > min(HEDGE_MAX_S, late_s) + turn_s


@dataclass(slots=True)
class Race(Generic[T]):
    """One race. `sources` tells who has which part now, with the seconds to add to what is
    expected of them; `receive` brings a part, or None when that friend could not give it;
    `look_again` whether asking around has found more sources. Use `run` once."""

    goal: Goal
    part_bytes: int
    speeds: Speeds
    sources: Callable[[], Mapping[int, Mapping[MemberId, float]]]
    receive: Callable[[Transfer], Awaitable[T | None]]
    look_again: Callable[[], Awaitable[bool]]
    got: dict[int, T] = field(default_factory=dict)
    _tried: set[tuple[int, MemberId]] = field(default_factory=set)
    _running: dict[asyncio.Task[T | None], Transfer] = field(default_factory=dict)

    async def run(self) -> bool:
        """Whether the goal is met; `got` has the parts that came, also when it is not."""
        try:
            while not self.goal.is_met(self.got):
                self._start(self._next())
                if not self._running:
                    if await self.look_again():
                        continue
                    self._start([*self._offers(self._coming())])  # of use when others come later
                    if not self._running:
                        return False
                await self._wait()
            return True
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _wait(self) -> None:
        done, _ = await asyncio.wait(
            self._running, timeout=LOOK_AGAIN_S, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            transfer = self._running.pop(task)
            part = task.result()
            if part is not None:
                self.got[transfer.number] = part

    def _next(self) -> list[int]:
        """What to ask for now, in the place of what is late too."""
        for transfer in self._running.values():
            if transfer.is_late or not transfer.is_overtaken(0.0):
                continue
            coming = self._coming(without=transfer)
            offers = self._offers(coming)
            others = self._choose(coming, offers)
            if others and transfer.is_overtaken(max(offers[number][0] for number in others)):
                transfer.is_late = True
        return self._choose(self._coming(), self._offers(self._coming())) or []

    def _choose(
        self, coming: set[int], offers: Mapping[int, tuple[float, MemberId]]
    ) -> list[int] | None:
        return choose(self.goal, coming, {number: offer[0] for number, offer in offers.items()})

    def _coming(self, *, without: Transfer | None = None) -> set[int]:
        running = self._running.values()
        return {*self.got, *(t.number for t in running if not t.is_late and t is not without)}

    def _offers(self, coming: set[int]) -> dict[int, tuple[float, MemberId]]:
        """The quickest friend for each part that is not coming, and when it would have sent it."""
        offers: dict[int, tuple[float, MemberId]] = {}
        for number, members in self.sources().items():
            costs = [
                (self.speeds.expected_s(member, self.part_bytes) + more_s, member)
                for member, more_s in members.items()
                if number not in coming and (number, member) not in self._tried
            ]
            if costs:
                offers[number] = min(costs)
        return offers

    def _start(self, numbers: Collection[int]) -> None:
        for number in numbers:
            offer = self._offers(self._coming()).get(number)  # anew: each start makes one busier
            if offer is None:
                continue
            transfer = Transfer(number, offer[1], self.part_bytes, self.speeds)
            self._tried.add((number, transfer.member))
            task = asyncio.ensure_future(self.receive(transfer))
            task.add_done_callback(transfer.end)
            self._running[task] = transfer
