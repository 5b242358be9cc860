"""A group of simulated computers, and the course of their lives: first anything, then a quiet week.

While faults go on, everything must be safe (`invariants.py`, after every event). Then the faults
end, whoever is not gone is on, and a week later all must be well: nights succeed, no pack is thin,
and of each owner all that it last backed up comes back byte by byte to an empty disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from netsim.world.clock import WallClock, chance_of
from netsim.world.disk import steady_name
from netsim.world.events import DAY_S, Event, Kind, Plan, draw
from netsim.world.friends import Server
from netsim.world.invariants import Violation, Watch
from netsim.world.member import Computer, State
from netsim.world.network import Line, Network
from netsim.world.outsider import believed, member_of_group, stranger
from netsim.world.person import Look, Person
from netsim.world.trace import Trace
from peer.service import Event as NightEvent
from signaling.messages import MemberId

log = logging.getLogger("covey.sim")

OFFER_BYTES = 8 << 20
QUIET_DAYS = 7.0
DISK_ERRORS = 0.2
DRIFT_MAX = 2e-5
"""Two seconds a day: a bad crystal."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a world."""

    plan: Plan
    trace_hash: str
    events: int
    """Noted in the trace: switched on, nights, faults."""
    checks: int
    nights: int
    failed_nights: int
    lost_packs: int
    stored_bytes: int
    sent_bytes: int
    last: tuple[str, ...]


class World:
    """One run of a plan. Use `run` once."""

    def __init__(self, plan: Plan, root: Path, *, prepare: Callable[[Computer], None]) -> None:
        """`prepare` is told of each computer that was switched on: where tests plant bugs."""
        self._plan, self._root, self._prepare = plan, root, prepare
        self.trace = Trace()
        self.network = Network(chance_of(plan.seed, "network"), self.trace)
        self.server = Server(self.network)
        self.computers: dict[MemberId, Computer] = {}
        self._people: dict[MemberId, Person] = {}
        self._backed_up: dict[MemberId, Look] = {}
        """What each person had when the last night that succeeded began."""
        self.watch = Watch(self.computers, asyncio.get_running_loop().time)
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sent_bytes = 0

    async def run(self, *, ends_quietly: bool = True) -> Result:
        """Live through all of it, with the quiet week at the end or without. Raises Violation."""
        life = asyncio.ensure_future(self._live(ends_quietly=ends_quietly))
        try:
            await asyncio.wait([life, self._broken], return_when=asyncio.FIRST_COMPLETED)
            if self._broken.done():
                self._broken.result()
            await life
        finally:
            life.cancel()
            self._broken.cancel()
            await asyncio.gather(life, self._broken, return_exceptions=True)
            for computer in self.computers.values():
                await computer.switch_off()
        return self._result()

    def _result(self) -> Result:
        computers = self.computers.values()
        return Result(
            plan=self._plan,
            trace_hash=self.trace.hash(),
            events=self.trace.events,
            checks=self.watch.checks,
            nights=sum(computer.nights.done for computer in computers),
            failed_nights=sum(computer.nights.failed for computer in computers),
            lost_packs=len(self.watch.lost),
            stored_bytes=self.watch.stored_bytes(),
            sent_bytes=sum(self.network.line(one).sent_bytes for one in self.computers),
            last=tuple(self.trace.last),
        )

    async def _live(self, *, ends_quietly: bool) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(self._plan.members):
            self._add_computer()
        for event in draw(self._plan):
            await asyncio.sleep(max(event.at_s - loop.time(), 0.0))
            await self._happen(event)
            self._look()
        if ends_quietly:
            await self._be_quiet()
        else:
            await asyncio.sleep(max(self._plan.days * DAY_S - loop.time(), 0.0))

    # --- computers --------------------------------------------------------------------------

    def _add_computer(self) -> Computer:
        number = len(self.computers)
        chance = chance_of(self._plan.seed, "computer", number)
        computer = Computer(
            f"m{number}",
            self._root / f"m{number}",
            offer_bytes=OFFER_BYTES,
            chance=chance,
            server=self.server,
            trace=self.trace,
            clock=WallClock(chance.uniform(-DRIFT_MAX, DRIFT_MAX)),
            begins=self._night_begins,
            ended=self._night_ended,
            touched=self._touched,
            blame=self._blame,
        )
        self.network.plug_in(computer.id, Line(latency_s=chance.uniform(0.005, 0.1)))
        self.computers[computer.id] = computer
        person = self._people[computer.id] = Person(computer.disk.files, chance)
        person.begin(computer.clock.ns())
        return computer

    def _switch_on(self, computer: Computer) -> None:
        if computer.state is State.OFF:
            computer.switch_on()
            self._prepare(computer)

    def _number(self, number: int) -> Computer | None:
        """Computer number `number`, unless it has not come yet."""
        found = list(self.computers.values())
        return found[number] if number < len(found) else None

    # --- what computers tell ----------------------------------------------------------------

    def _night_begins(self, computer: Computer) -> None:
        self._people[computer.id].seen = self._people[computer.id].look()

    def _night_ended(self, computer: Computer, event: NightEvent) -> None:
        if event["ok"]:
            self._backed_up[computer.id] = self._people[computer.id].seen
            spare = event["summary"]["can_vanish"]
            self._guard(self.watch.reported_safe, computer.id, spare)

    def _touched(self, holder: MemberId, owner: MemberId) -> None:
        self._guard(self.watch.touched, holder, owner)

    def _look(self) -> None:
        self._guard(self.watch.check)

    def _guard(self, check: Callable[..., None], *args: MemberId | int) -> None:
        """A breach ends the world, wherever in the members' code it was found."""
        try:
            check(*args)
        except Violation as violation:
            self._blame(violation)

    def _blame(self, error: BaseException) -> None:
        if not self._broken.done():
            self._broken.set_exception(error)

    # --- what happens -----------------------------------------------------------------------

    async def _happen(self, event: Event) -> None:
        kind = event.kind
        if kind is Kind.JOINS:
            self._switch_on(self._add_computer())
            return
        if kind in (Kind.HEAL, Kind.SERVER_DOWN, Kind.SERVER_UP, Kind.PARTITION):
            self._happen_to_network(event)
            return
        computer = self._number(event.who)
        if computer is None or computer.state is State.GONE:
            return
        self.trace.note(kind.value, computer, f"{event.value:g}")
        match kind:
            case Kind.ON:
                self._switch_on(computer)
            case Kind.OFF:
                await computer.switch_off()
            case Kind.POWER_CUT:
                await computer.switch_off(politely=False)
            case Kind.GONE:
                await self._go(computer)
            case Kind.DISK_LOST:
                await computer.lose_disk()
                self._guard(self.watch.disk_gone, computer.id)
            case Kind.DISK_FULL:
                computer.disk.is_full = True
            case Kind.DISK_BROKEN:
                computer.disk.errors = DISK_ERRORS
            case Kind.DISK_WELL:
                computer.disk.is_full, computer.disk.errors = False, 0.0
            case Kind.CLOCK:
                computer.clock.jump(event.value)
            case Kind.CUT:
                self.network.cut(lambda own, remote: computer.id in (own, remote))
            case Kind.WORK:
                if not computer.needs_recovery and not computer.is_busy:
                    self._people[computer.id].work(computer.clock.ns())
            case Kind.STRANGER:
                self._call_of_stranger(computer)
            case _:
                raise AssertionError(kind)

    async def _go(self, computer: Computer) -> None:
        await computer.go()
        self._guard(self.watch.forgotten, computer.id)
        self._guard(self.watch.disk_gone, computer.id)

    def _happen_to_network(self, event: Event) -> None:
        self.trace.note(event.kind.value)
        match event.kind:
            case Kind.PARTITION:
                chosen = [self._number(who) for who in event.others]
                self.network.partition([one.id for one in chosen if one is not None])
            case Kind.HEAL:
                self.network.heal()
            case Kind.SERVER_DOWN:
                self.server.up = False
            case Kind.SERVER_UP:
                self.server.up = True
        self.server.check()

    def _call_of_stranger(self, computer: Computer) -> None:
        chance = chance_of(self._plan.seed, "stranger", self.trace.events)
        caller = stranger(chance)
        if found := believed(caller, member_of_group(computer.keys), chance):
            self._blame(Violation(f"{computer} believed {' and '.join(found)} of a stranger"))

    # --- a quiet week -----------------------------------------------------------------------

    async def _be_quiet(self) -> None:
        """All faults end; a week later all must be well."""
        self.trace.note("quiet")
        self.network.heal()
        self.network.break_chance = 0.0
        self.server.up = True
        for computer in self._staying():
            computer.disk.is_full, computer.disk.errors = False, 0.0
            self._switch_on(computer)
        self.server.check()
        await asyncio.sleep(QUIET_DAYS * DAY_S)
        self._look()
        self._guard(self.watch.check_all)
        unlucky = {owner for owner, _ in self.watch.lost}
        for computer in self._staying():
            if computer.id not in unlucky:
                self._check_well(computer)
        for computer in self._staying():
            if computer.id not in unlucky:
                await self._check_restore(computer)

    def _staying(self) -> Iterable[Computer]:
        return [one for one in self.computers.values() if one.state is not State.GONE]

    def _check_well(self, computer: Computer) -> None:
        nights, friends = computer.nights, len(list(self._staying())) - 1
        if not friends:
            return
        if not nights.last_ok:
            raise Violation(f"after a quiet week a night of {computer} failed: {nights.last_text}")
        missing = self.watch.missing(computer.id, friends)
        if missing is None or missing > 0:
            raise Violation(f"after a quiet week packs of {computer} are thin: {missing} missing")

    async def _check_restore(self, computer: Computer) -> None:
        """The disk goes, and everything comes back: the one proof of a backup that there is."""
        if computer.id not in self._backed_up:
            return
        wanted = self._backed_up[computer.id]
        self._people[computer.id].sweep()
        event = await computer.restore_all()
        found = self._people[computer.id].look()
        if not event["ok"] or found != wanted:
            raise Violation(f"{computer} did not get back what it had: {event['message']}")


async def live(
    plan: Plan, root: Path, *, prepare: Callable[[Computer], None] = lambda computer: None
) -> Result:
    """A world in a folder. Run it on a `clock.JumpingLoop`. Raises Violation."""
    with steady_name(root) as steady:
        world = World(plan, steady, prepare=prepare)
        try:
            return await world.run()
        except BaseException:
            log.error("the last events were:\n%s", "\n".join(list(world.trace.last)[-60:]))
            raise
