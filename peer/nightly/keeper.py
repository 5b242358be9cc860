"""The agent's task that keeps the nights: begins them, holds them back, ends them, notes and tells.

Everything it decides by is in pure modules beside it. It looks at the computer again and again, and
while nothing is under way and nothing hinders it, begins the night that is due. A night of its own
ends when the battery gets low, the network is paid by the byte, nights are paused, or a person asks
for something else; it goes on when it may. Nothing that goes wrong here ends the agent, on which
friends rely.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from peer.nightly.journal import Journal, NightEntry
from peer.nightly.manners import Manners, Sample
from peer.nightly.schedule import Zone, due_ns, morning_after_ns
from peer.nightly.throttle import Throttle
from peer.nightly.words import notices
from peer.ports import RunBlocking, WallClock
from peer.service import Answer, Event, Problem, Service, done

log = logging.getLogger("covey.night")

LOOK_EVERY_S, LOOK_SELDOM_S = 1.0, 15.0
"""How often the computer is looked at: while a night waits or is under way, and otherwise."""
PATIENCE_S = 12 * 3600.0
"""On a computer that is busy for so long while it is on, a night begins and is held back: one that
never rests needs a backup as well."""
TRAFFIC_EVERY_S = 60.0
NOTICES_EVERY_S = 900.0
PAUSE_HOUR_NS = 3600 * 10**9

_by_itself: ContextVar[bool] = ContextVar("by_itself", default=False)
"""Whether what runs here is a night that the keeper began."""

Notify = Callable[[str], Awaitable[None]]
"""Shows a person a sentence on their desktop."""


class Traffic(Protocol):
    """What the links carried since the start."""

    def carried(self) -> tuple[int, int]:
        """Bytes sent and received."""
        ...


@dataclass(frozen=True, slots=True)
class World:
    """What the keeper lives in."""

    wall_clock: WallClock
    zone: Callable[[], Zone]
    run_blocking: RunBlocking
    look: Callable[[int], Sample]
    """Looks at the computer; is told the bytes that the links carried so far."""
    throttle: Throttle
    traffic: Traffic
    notify: Notify
    keep_wanted: Callable[[bool], Awaitable[None]]
    """Remembers for the next start whether nights come by themselves."""


class Keeper:
    """Keeps the nights of one member. `service` does them."""

    def __init__(
        self, journal: Journal, world: World, member: bytes, since_ns: int, *, wanted: bool = True
    ) -> None:
        self._journal, self._world = journal, world
        self._member, self._since_ns = member, since_ns
        self._wanted, self._allowed = wanted, False
        self._manners = Manners()
        self._running = False
        self._own: asyncio.Task[None] | None = None
        self._ended_because = ""
        self._ended = asyncio.Event()
        """A night ended, and nothing was counted or told since."""
        self._waits_since: float | None = None
        self._carried = (0, 0)

    # --- what others ask --------------------------------------------------------------------

    def facts(self) -> Answer:
        """next_night_ns (0 when none will come by itself), paused_until_ns, waiting_because."""
        now_ns = self._world.wall_clock()
        due = self._due_ns(now_ns) if self._scheduled() else 0
        paused = self._paused_until_ns(now_ns)
        waits = self._is_due() and not self._running
        return {
            "next_night_ns": max(due, paused) if due else 0,
            "paused_until_ns": paused,
            "waiting_because": self._manners.waiting_because() if waits else "",
        }

    def activity(self) -> Answer:
        """See Service."""
        return self._journal.as_answer()

    def schedule(self) -> Answer:
        """See Service."""
        return {"by_itself": self._wanted, **self.facts()}

    async def set_schedule(self, by_itself: bool) -> Answer:
        """See Service."""
        await self._world.keep_wanted(by_itself)
        self._wanted = by_itself
        return self.schedule()

    async def pause(self, until: str) -> Answer:
        """See Service."""
        now_ns = self._world.wall_clock()
        if until == "hour":
            end_ns = now_ns + PAUSE_HOUR_NS
        elif until == "tomorrow":
            end_ns = morning_after_ns(now_ns, self._world.zone())
        elif until == "no":
            end_ns = 0
        else:
            raise Problem(f"«{until}» is no time.", "Say hour, tomorrow or no.", code="bad_request")
        await self._world.run_blocking(self._journal.pause, end_ns)
        return self.facts()

    async def step_aside(self) -> bool:
        """End a night that came by itself, since a person wants something; False without one."""
        if self._own is None or _by_itself.get():
            return False
        self._end_own("You asked for something else.")
        await asyncio.wait([self._own])
        return True

    @contextlib.asynccontextmanager
    async def night(self, friends: int) -> AsyncIterator[Callable[[Event], None]]:
        """A night is under way in here; what it gives is told the event that ends it."""
        call, clock = self._world.run_blocking, asyncio.get_running_loop()
        begun_ns, begun = self._world.wall_clock(), clock.time()
        ended: list[Event] = []
        interrupted = False
        self._running = True
        try:
            await call(self._journal.begin_night, begun_ns)
            yield ended.append
        except Problem as problem:
            ended.append(done(ok=False, message=problem.text))
            raise
        except asyncio.CancelledError:
            if interrupted := _by_itself.get() and bool(self._ended_because):
                text = f"{self._ended_because} The backup goes on later."
                ended.append(done(ok=False, message=text))
            raise
        except Exception:
            ended.append(done(ok=False, message="The backup ended unexpectedly."))
            raise
        finally:
            self._running = False
            if ended:
                seconds, asked_for = clock.time() - begun, not _by_itself.get()
                entry = _entry(ended[-1], begun_ns, seconds, friends, asked_for)
                await call(lambda: self._journal.end_night(entry, interrupted=interrupted))
            self._ended.set()

    # --- the task ---------------------------------------------------------------------------

    async def run(self, service: Service, *, scheduled: bool) -> None:
        """Until cancelled. Unless `scheduled`, no night comes by itself, and all else goes on."""
        self._allowed = scheduled
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._world.throttle.run())
            tasks.create_task(self._keep_books(service))
            while True:
                waits = False
                with _nothing_ends_the_agent():
                    waits = await self._step(service)
                await asyncio.sleep(LOOK_EVERY_S if waits else LOOK_SELDOM_S)

    async def _step(self, service: Service) -> bool:
        """Look, and do the night if it is due and nothing hinders it. Whether one waits."""
        await self._look()
        if not self._is_due() or self._running:
            self._waits_since = None
            return False
        if self._hindered():
            return True
        self._waits_since = None
        await self._begin(service)
        return False

    def _scheduled(self) -> bool:
        return self._allowed and self._wanted

    def _is_due(self) -> bool:
        now_ns = self._world.wall_clock()
        paused = self._paused_until_ns(now_ns)
        return self._scheduled() and not paused and self._due_ns(now_ns) <= now_ns

    def _hindered(self) -> bool:
        if self._manners.forbidden_because():
            return True
        now = asyncio.get_running_loop().time()
        if self._waits_since is None:
            self._waits_since = now
        return bool(self._manners.busy_because()) and now - self._waits_since < PATIENCE_S

    async def _begin(self, service: Service) -> None:
        """Do the night that is due, if there is something to do and nothing else is under way."""
        status = await service.status()
        if not status["marks"] or status["doing"]:
            return
        self._ended_because = ""
        self._own = asyncio.create_task(_do(service))
        pacing = asyncio.create_task(self._pace())
        try:
            await asyncio.wait([self._own])
        finally:
            self._world.throttle.set_pace(1.0)
            self._own.cancel()
            pacing.cancel()
            await asyncio.gather(self._own, pacing, return_exceptions=True)
            self._own = None

    async def _pace(self) -> None:
        """Hold the own night back as the computer demands, or end it."""
        while True:
            with _nothing_ends_the_agent():
                await self._look()
                if because := self._may_not_go_on():
                    self._end_own(because)
                    return
                self._world.throttle.set_pace(self._manners.pace())
            await asyncio.sleep(LOOK_EVERY_S)

    def _may_not_go_on(self) -> str:
        if not self._wanted:
            return "You switched nights off."
        paused = self._paused_until_ns(self._world.wall_clock())
        return "You paused backups." if paused else self._manners.forbidden_because()

    def _end_own(self, because: str) -> None:
        if self._own is None or self._ended_because:
            return  # a second cancellation would break what tidies up after the first
        self._ended_because = because
        self._world.throttle.set_pace(1.0)  # what is stopped cannot end
        self._own.cancel()

    async def _look(self) -> None:
        carried = sum(self._world.traffic.carried())
        self._manners.hear(await self._world.run_blocking(self._world.look, carried))

    async def _keep_books(self, service: Service) -> None:
        """Count what travelled and tell what must be told, now and then and after each night."""
        clock, told = asyncio.get_running_loop(), 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TRAFFIC_EVERY_S):
                    await self._ended.wait()
            with _nothing_ends_the_agent():
                await self._count_traffic()
            if self._ended.is_set() or clock.time() - told >= NOTICES_EVERY_S:
                self._ended.clear()
                told = clock.time()
                with _nothing_ends_the_agent():
                    await self._tell(service)

    async def _count_traffic(self) -> None:
        now = self._world.traffic.carried()
        up, down = max(0, now[0] - self._carried[0]), max(0, now[1] - self._carried[1])
        self._carried = now
        now_ns = self._world.wall_clock()
        await self._world.run_blocking(self._journal.count_traffic, now_ns, up, down)

    async def _tell(self, service: Service) -> None:
        now_ns = self._world.wall_clock()
        try:
            facts = (await service.status(), await service.friends(), await service.space())
        except Problem as problem:
            log.warning("nothing can be told: %s", problem.text)
            return
        for notice in notices(facts[0], list(facts[1]), facts[2], self._since_ns, now_ns):
            said_ns = self._journal.last_said_ns(notice.key)
            if not said_ns or now_ns - said_ns >= notice.again_ns:
                said = (now_ns, notice.level, notice.text, notice.key)
                await self._world.run_blocking(self._journal.say, *said)
                await self._world.notify(notice.text)

    # --- times ------------------------------------------------------------------------------

    def _due_ns(self, now_ns: int) -> int:
        done = self._journal.done(self._since_ns)
        return due_ns(now_ns, done, self._member, self._world.zone())

    def _paused_until_ns(self, now_ns: int) -> int:
        """0 when nights are not paused."""
        until_ns = self._journal.paused_until_ns
        if until_ns <= now_ns:
            return 0
        # A clock that was set back must not make a pause of an hour one of a year.
        longest = max(morning_after_ns(now_ns, self._world.zone()), now_ns + PAUSE_HOUR_NS)
        return until_ns if until_ns <= longest else 0


async def _do(service: Service) -> None:
    """One night, in a task of its own, so that it can be ended."""
    _by_itself.set(True)
    try:
        async with contextlib.aclosing(_generator(service.backup())) as events:
            async for event in events:
                if event["event"] == "done":
                    log.info("the night ended: %s", event["message"])
    except Problem as problem:
        log.info("the night could not be: %s", problem.text)
    except Exception:
        log.exception("the night ended unexpectedly")


@contextlib.contextmanager
def _nothing_ends_the_agent() -> Iterator[None]:
    try:
        yield
    except Exception:
        log.exception("something went wrong beside the nights; they go on")


def _entry(
    event: Event, begun_ns: int, seconds: float, friends: int, asked_for: bool
) -> NightEntry:
    summary = event["summary"]
    return NightEntry(
        time_ns=begun_ns,
        ok=bool(event["ok"]),
        seconds=round(seconds, 1),
        files=int(summary.get("files", 0)),
        new_bytes=int(summary.get("packed_bytes", 0)),
        shipped_bytes=int(summary.get("shipped_bytes", 0)),
        message=str(event["message"]),
        friends=friends,
        asked_for=asked_for,
    )


async def _generator(events: AsyncIterator[Event]) -> AsyncGenerator[Event, None]:
    async for event in events:
        yield event
