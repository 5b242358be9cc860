"""One simulated computer: it is switched on and off, keeps its nights, and one day it is gone.

The member on it is the real one (`assembly.py`). Nights come when the real schedule says so, by the
computer's own clock; what a night does is `Node.backup`, as when the agent's keeper begins it.
"""

from __future__ import annotations

import asyncio
import datetime
import enum
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from chunking.keys import MemberKeys
from netsim.world.assembly import Parts, put_together
from netsim.world.clock import WallClock
from netsim.world.disk import Disk
from netsim.world.friends import Server
from netsim.world.tasks import Tasks
from netsim.world.trace import Trace
from peer.backup.marks import add_marks
from peer.nightly.schedule import Done, due_ns
from peer.restore.recover import recover_member
from peer.service import Event, Problem
from signaling.messages import MemberId, member_id_of

_NS = 10**9
LOOK_S_MAX = 6 * 3600.0
"""The wall clock may jump: when the next night is due is asked again after so long."""


class State(enum.Enum):
    """What a computer is doing."""

    ON = "on"
    OFF = "off"
    GONE = "gone"
    """Uninstalled, or broken for good: it never comes back."""


@dataclass(slots=True)
class Nights:
    """What came of a computer's nights."""

    done: int = 0
    failed: int = 0
    last_ok: bool = False
    last_text: str = ""
    journal: Done = field(default_factory=lambda: Done(0))


class Computer:
    """A member's computer. `begins` hears of each night, and `ended` of its last event."""

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        offer_bytes: int,
        chance: random.Random,
        server: Server,
        trace: Trace,
        clock: WallClock,
        begins: Callable[[Computer], None],
        ended: Callable[[Computer, Event], None],
        touched: Callable[[MemberId, MemberId], None],
        blame: Callable[[BaseException], None],
    ) -> None:
        self.name, self.offer_bytes = name, offer_bytes
        self.master = chance.randbytes(32)
        self.keys = MemberKeys.from_master(self.master)
        self.id = member_id_of(self.keys.identity_public_key)
        self.chance, self.clock = chance, clock
        self.disk = Disk(folder, chance)
        self.state, self.nights = State.OFF, Nights()
        self.parts: Parts | None = None
        self.needs_recovery = False
        self._server, self._trace = server, trace
        self._begins, self._ended, self._touched = begins, ended, touched
        self._tasks = Tasks(blame)

    def __repr__(self) -> str:
        return self.name

    @property
    def is_busy(self) -> bool:
        """Whether a night or a restore is under way."""
        return self.parts is not None and self.parts.member.busy.locked()

    # --- on and off -------------------------------------------------------------------------

    def switch_on(self) -> None:
        """Start the agent. Nothing when it is on already, or gone."""
        if self.state is not State.OFF:
            return
        self.state = State.ON
        self.parts = put_together(
            name=self.name,
            master=self.master,
            offer_bytes=self.offer_bytes,
            disk=self.disk,
            clock=self.clock,
            chance=self.chance,
            server=self._server,
            tasks=self._tasks,
            touched=self._touched,
        )
        if not self.needs_recovery:
            add_marks(self.parts.member.catalog, [str(self.disk.files)])
        self._tasks.spawn(self._keep_nights())
        self._trace.note("on", self.name)

    async def switch_off(self, *, politely: bool = True) -> None:
        """End the agent; without politeness as a power cut does."""
        parts, self.parts = self.parts, None
        if parts is None:
            return
        self.state = State.OFF
        self._trace.note("off", self.name, "politely" if politely else "at once")
        parts.group.stop(politely=politely)
        if not politely:
            self._server.network.vanish(self.id)
        for engine in parts.engines:
            engine.kill()
        await self._tasks.stop()
        parts.member.catalog.close()
        parts.store.close()

    async def go(self) -> None:
        """Uninstall: never seen again, and all that it held is gone with it."""
        await self.switch_off()
        self.state = State.GONE
        self._trace.note("gone", self.name)
        self.disk.remove()

    async def lose_disk(self) -> None:
        """The disk breaks; the person has the recovery words and sets the computer up anew."""
        await self.switch_off(politely=False)
        self._trace.note("lost disk", self.name)
        self.disk.lose()
        self.needs_recovery = self.nights.done > 0

    # --- nights -----------------------------------------------------------------------------

    async def _keep_nights(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = due_ns(self.clock.ns(), self.nights.journal, self.id, datetime.UTC)
            wait_s = (due - self.clock.ns()) / _NS
            if wait_s > 0:
                await asyncio.sleep(min(wait_s, LOOK_S_MAX))
                continue
            begun = loop.time()
            await self.night()
            assert loop.time() - begun < LOOK_S_MAX, "a night has no end"

    async def night(self) -> Event:
        """One night now."""
        assert self.parts is not None
        journal = self.nights.journal
        try:
            if self.needs_recovery:
                await self._recover(self.parts)
            self._begins(self)
            event = await _last(self.parts.node.backup())
        except Problem as problem:
            event = {"event": "done", "ok": False, "message": str(problem)}
        now_ns = self.clock.ns()
        if event["ok"]:
            self.nights.done += 1
            self.nights.journal = Done(journal.since_ns, succeeded_ns=now_ns, tried_ns=now_ns)
        else:
            self.nights.failed += 1
            failures = journal.failures + 1
            self.nights.journal = Done(
                journal.since_ns, journal.succeeded_ns, tried_ns=now_ns, failures=failures
            )
        self.nights.last_ok = event["ok"]
        self.nights.last_text = str(event.get("message", ""))
        self._trace.note("night", self.name, event["ok"], self.nights.last_text)
        self._ended(self, event)
        return event

    async def _recover(self, parts: Parts) -> None:
        """Do what the owner of a lost computer does: recover, and bring everything back."""
        await recover_member(parts.member, lambda event: None)
        event = await _last(parts.node.restore("latest", "/"))
        self._trace.note("recovered", self.name, event["ok"], event["message"])
        if not event["ok"]:
            raise Problem(event["message"])
        self.needs_recovery = False

    async def restore_all(self) -> Event:
        """Bring the newest snapshot back to where it was."""
        assert self.parts is not None
        async with self.parts.member.busy:
            pass  # a night that is under way comes first
        return await _last(self.parts.node.restore("latest", "/"))


async def _last(events: AsyncIterator[Event]) -> Event:
    last: Event = {}
    async for event in events:
        last = event
    return last
