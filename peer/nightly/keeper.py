"""The agent's task that keeps the nights: begins them, holds them back, notes and tells.

Everything it decides by is in pure modules beside it. It looks at the computer again and again, and
while nothing is under way and nothing hinders it, begins the night that is due.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from peer.nightly.journal import Journal, NightEntry
from peer.nightly.manners import Manners, Sample
from peer.nightly.schedule import due_ns
from peer.nightly.throttle import Throttle
from peer.nightly.words import notices
from peer.ports import RunBlocking, WallClock
from peer.service import Answer, Event, Problem, Service

log = logging.getLogger("covey.night")

LOOK_EVERY_S, LOOK_SELDOM_S = 1.0, 15.0
"""How often the computer is looked at: while a night is due or under way, and otherwise."""
TRAFFIC_EVERY_S = 60.0
NOTICES_EVERY_S = 900.0
PAUSE_HOUR_NS = 3600 * 10**9
MORNING = datetime.time(9)
"""Until then tomorrow a pause «until tomorrow» lasts."""
_SECOND_NS = 10**9

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
    zone: Callable[[], datetime.tzinfo | None]
    run_blocking: RunBlocking
    look: Callable[[], Sample]
    throttle: Throttle
    traffic: Traffic
    notify: Notify


class Keeper:
    """Keeps the nights of one member. `service` does them."""

    def __init__(self, journal: Journal, world: World, member: bytes, since_ns: int) -> None:
        self._journal, self._world = journal, world
        self._member, self._since_ns = member, since_ns
        self._scheduled = False
        self._manners = Manners()
        self._by_itself = False
        self._running = False
        self._carried = (0, 0)

    # --- what others ask --------------------------------------------------------------------

    def facts(self) -> Answer:
        """next_night_ns (0 when none will come by itself), paused_until_ns, waiting_because."""
        now_ns = self._world.wall_clock()
        due = self._due_ns(now_ns) if self._scheduled else 0
        paused = self._paused_until_ns(now_ns)
        is_due = bool(due) and due <= now_ns and not self._running
        return {
            "next_night_ns": max(due, paused) if due else 0,
            "paused_until_ns": paused,
            "waiting_because": self._manners.waiting_because() if is_due and not paused else "",
        }

    def activity(self) -> Answer:
        """See Service."""
        return self._journal.as_answer()

    async def pause(self, until: str) -> Answer:
        """See Service."""
        now_ns = self._world.wall_clock()
        if until == "hour":
            end_ns = now_ns + PAUSE_HOUR_NS
        elif until == "tomorrow":
            end_ns = self._tomorrow_ns(now_ns)
        elif until == "no":
            end_ns = 0
        else:
            raise Problem(f"«{until}» is no time.", "Say hour, tomorrow or no.", code="bad_request")
        await self._world.run_blocking(self._journal.pause, end_ns)
        return self.facts()

    @contextlib.asynccontextmanager
    async def night(self, friends: int) -> AsyncIterator[Callable[[Event], None]]:
        """A night is under way in here; what it gives is told the event that ends it."""
        call, clock = self._world.run_blocking, asyncio.get_running_loop()
        begun_ns, begun = self._world.wall_clock(), clock.time()
        asked_for, self._by_itself = not self._by_itself, False
        self._running = True
        ended: list[Event] = []
        await call(self._journal.begin_night, begun_ns)
        pacing = asyncio.create_task(self._pace(asked_for=asked_for))
        try:
            yield ended.append
        except Problem as problem:
            ended.append({"ok": False, "message": problem.text, "summary": {}})
            raise
        finally:
            self._running = False
            pacing.cancel()
            await asyncio.gather(pacing, return_exceptions=True)
            self._world.throttle.set_pace(1.0)
            if ended:
                entry = _entry(ended[-1], begun_ns, clock.time() - begun, friends, asked_for)
                await call(self._journal.end_night, entry)

    # --- the task ---------------------------------------------------------------------------

    async def run(self, service: Service, *, scheduled: bool) -> None:
        """Until cancelled. Unless `scheduled`, no night comes by itself, and all else goes on."""
        self._scheduled = scheduled
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._world.throttle.run())
            tasks.create_task(self._every(TRAFFIC_EVERY_S, self._count_traffic))
            tasks.create_task(self._every(NOTICES_EVERY_S, lambda: self._tell(service)))
            while True:
                self._manners.hear(await self._world.run_blocking(self._world.look))
                soon = self._is_due() and (not self._may_begin() or await self._begin(service))
                await asyncio.sleep(LOOK_EVERY_S if soon else LOOK_SELDOM_S)

    def _is_due(self) -> bool:
        now_ns = self._world.wall_clock()
        return (
            self._scheduled
            and now_ns >= self._paused_until_ns(now_ns)
            and self._due_ns(now_ns) <= now_ns
        )

    def _may_begin(self) -> bool:
        return self._is_due() and not self._running and not self._manners.waiting_because()

    async def _begin(self, service: Service) -> bool:
        """Do the night that is due; False when there is nothing to do, or no way to yet."""
        status = await service.status()
        if not status["marks"] or status["doing"]:
            return False
        self._by_itself = True
        try:
            async with contextlib.aclosing(_generator(service.backup())) as events:
                async for event in events:
                    if event["event"] == "done":
                        log.info("the night ended: %s", event["message"])
        except Problem as problem:
            log.warning("the night could not be: %s", problem.text)
        finally:
            self._by_itself = False
        return True

    async def _pace(self, *, asked_for: bool) -> None:
        while True:
            self._world.throttle.set_pace(self._manners.pace(asked_for=asked_for))
            self._manners.hear(await self._world.run_blocking(self._world.look))
            await asyncio.sleep(LOOK_EVERY_S)

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            await work()

    async def _count_traffic(self) -> None:
        now = self._world.traffic.carried()
        up, down = now[0] - self._carried[0], now[1] - self._carried[1]
        self._carried = now
        self._journal.count_traffic(self._world.wall_clock(), max(0, up), max(0, down))
        await self._world.run_blocking(self._journal.flush)

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
                self._journal.say(now_ns, notice.level, notice.text, notice.key)
                await self._world.run_blocking(self._journal.flush)
                await self._world.notify(notice.text)

    # --- times ------------------------------------------------------------------------------

    def _due_ns(self, now_ns: int) -> int:
        done = self._journal.done(self._since_ns)
        return due_ns(now_ns, done, self._member, self._world.zone())

    def _paused_until_ns(self, now_ns: int) -> int:
        until_ns = self._journal.paused_until_ns
        # A clock that was set back must not make a pause of an hour one of a year.
        return until_ns if now_ns < until_ns <= self._tomorrow_ns(now_ns) else 0

    def _tomorrow_ns(self, now_ns: int) -> int:
        zone = self._world.zone()
        now = datetime.datetime.fromtimestamp(now_ns / _SECOND_NS, zone)
        day = now.date() + datetime.timedelta(days=1)
        return int(datetime.datetime.combine(day, MORNING, tzinfo=zone).timestamp()) * _SECOND_NS


def _entry(
    event: Event, begun_ns: int, seconds: float, friends: int, asked_for: bool
) -> NightEntry:
    summary = event["summary"]
    return NightEntry(
        time_ns=begun_ns,
        ok=bool(event["ok"]),
        seconds=round(seconds, 1),
        files=int(summary.get("files", 0)),
        new_bytes=int(summary.get("new_bytes", 0)),
        shipped_bytes=int(summary.get("shipped_bytes", 0)),
        message=str(event["message"]),
        friends=friends,
        asked_for=asked_for,
    )


async def _generator(events: AsyncIterator[Event]) -> AsyncGenerator[Event, None]:
    async for event in events:
        yield event
