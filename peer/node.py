"""One member at work: answers what its owner asks, through the `Service` interface.

The node holds the pieces together and decides who may do what at a time: one backup, restore or
check, while reading status and browsing go on. It starts no threads and opens no sockets itself.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from chunking import chunker
from datachannel.engine import LinkInfo
from peer.acquaintance import Acquaintance
from peer.backup.marks import read_marks
from peer.backup.night import Night
from peer.backup.tagged import mark_and_tag, unmark_and_untag
from peer.catalog import SnapshotRow
from peer.jobs import Work, run_job
from peer.limiting import Limiting
from peer.looking import Looking
from peer.member import Emit, Member
from peer.restore.job import PATIENCE_S, RestoreJob
from peer.service import CHECKS, Answer, Event, Problem
from peer.space.facts import space_facts, status_facts
from peer.upkeep import drill
from peer.upkeep.cared import look_after, read_said
from peer.upkeep.check import Check
from peer.upkeep.handover import HandOver
from peer.upkeep.history import drop_snapshot, end_hold, history, hold_warning, set_keep
from peer.upkeep.renew import rebuild
from signaling.messages import MemberId

READY_S = 15.0
"""How long a command waits for the server and the first friends."""


class Group(Protocol):
    """What the node knows of the group beyond its friends."""

    @property
    def connected(self) -> bool:
        """Whether the server is reached now."""
        ...

    @property
    def near_only(self) -> bool:
        """Whether that is one on the local network, since the group's own is away."""
        ...

    @property
    def problem(self) -> str:
        """Why the server refuses this member; empty when it does not."""
        ...

    @property
    def server(self) -> str:
        """The address of the group's server, or `lan`."""
        ...

    async def move(self, url: str, *, alone: bool) -> None:
        """Move the group, or this member alone, to another server."""
        ...

    async def ready(self, timeout_s: float) -> bool:
        """Wait until the group's members are known; False when the time is over."""
        ...

    def links(self) -> Sequence[LinkInfo]:
        """The links to friends that are open or being opened."""
        ...


class Held(Protocol):
    """What this member keeps for friends."""

    @property
    def used_bytes(self) -> int: ...
    @property
    def limit_bytes(self) -> int: ...
    def used_by_owner(self) -> Mapping[bytes, int]: ...
    async def give(self, offer_bytes: int) -> None: ...


class Leave(Protocol):
    """The way out of the group (peer.leaving)."""

    async def run(self, emit: Emit, *, now: bool) -> Event: ...


class Nights(Protocol):
    """When nights come by themselves, and what came of those before (peer.nightly.keeper)."""

    def facts(self) -> Answer: ...
    def activity(self) -> Answer: ...
    async def pause(self, until: str) -> Answer: ...
    def schedule(self) -> Answer: ...
    async def set_schedule(self, by_itself: bool) -> Answer: ...
    def night(self, friends: int) -> AbstractAsyncContextManager[Emit]: ...
    async def step_aside(self) -> bool: ...


@dataclass(slots=True)
class Identity:
    """How this member and its group are called."""

    group: str
    name: str


class Node(Looking):
    """Implements `peer.service.Service`."""

    def __init__(
        self,
        member: Member,
        group: Group,
        held: Held,
        identity: Identity,
        wall_text: Callable[[int], str],
        examine: Work,
        limiting: Limiting,
        nights: Nights,
        leaving: Leave | None = None,
    ) -> None:
        super().__init__(member, self._reached)
        self._group, self._held = group, held
        self._identity, self._wall_text, self._examine = identity, wall_text, examine
        self._limiting, self._nights, self._leaving = limiting, nights, leaving
        self._acquaintance = Acquaintance(member, held)
        self._doing = ""

    # --- looking ----------------------------------------------------------------------------

    async def status(self) -> Answer:
        """See Service."""
        call = self._m.run_blocking
        friends = self._m.friends.members()
        snapshots = await call(self._m.catalog.snapshots)
        spare, packs = await call(self._m.catalog.thinnest)
        unsafe = await call(self._m.catalog.unsafe_packs)
        online = sum(friend.online for friend in friends.values())
        last = snapshots[-1] if snapshots else None
        drilled = await call(drill.last_drill, self._m.catalog)
        held = self._held
        room, scarce = await call(status_facts, self._m, held.limit_bytes, held.used_bytes)
        return {
            "group": self._identity.group,
            "member": self._identity.name,
            "member_id": self._m.member.hex(),
            "server": self._group.server,
            "connected": self._group.connected,
            "friends": len(friends),
            "friends_online": online,
            "marks": [os.fsdecode(mark) for mark in await call(read_marks, self._m.catalog)],
            "last_snapshot": None if last is None else _snapshot(last),
            "can_vanish": max(spare, 0) if packs else None,
            "unsafe_packs": len(unsafe),
            "doing": self._doing,
            **self._nights.facts(),
            "links": [
                _link(info, self._m.friend_name(info.member)) for info in self._group.links()
            ],
            "drill": drill.as_answer(drilled),
            "room": room,
            "care": await call(read_said, self._m.catalog),
            "warnings": [
                *self._warnings(),
                *scarce,
                *drill.warning(drilled),
                *await call(hold_warning, self._m, self._wall_text),
            ],
            "sentence": self._sentence(last, spare, len(unsafe), online, len(friends)),
        }

    def _warnings(self) -> list[str]:
        warnings = []
        if self._group.problem:
            warnings.append(self._group.problem)
        if self._group.near_only:
            warnings.append(
                f"The server {self._group.server} cannot be reached. Friends on the local network "
                "are reached without it."
            )
        if not chunker.COMPILED:
            warnings.append(
                "The fast chunker is missing (fastcdc without its compiled part): backups are "
                "about 200 times slower. Install fastcdc anew with a C compiler present."
            )
        return warnings

    def _sentence(
        self, last: SnapshotRow | None, spare: int, unsafe: int, online: int, friends: int
    ) -> str:
        if last is None:
            return "Nothing is backed up yet."
        night = self._wall_text(last.time_ns)
        if unsafe:
            return (
                f"The backup of {night} is whole; a newer one is not finished: {unsafe:,} parts "
                "wait for friends."
            )
        text = f"All {last.files:,} files of {night} are safe"
        if spare > 0:
            return f"{text} with {friends:,} friends ({online:,} online); any {spare} can vanish."
        return f"{text}, but no friend may vanish: some parts have no spare."

    async def friends(self) -> list[Answer]:
        """See Service."""
        return await self._acquaintance.friends(self._group.links())

    async def matrix(self) -> Answer:
        """See Service."""
        return await self._acquaintance.matrix()

    async def snapshots(self) -> list[Answer]:
        """See Service."""
        return [_snapshot(row) for row in await self._m.run_blocking(self._m.catalog.snapshots)]

    async def history(self) -> Answer:
        """See Service."""
        return await self._m.run_blocking(history, self._m)

    async def keep(self, rule: str) -> Answer:
        """See Service."""
        return await self._m.run_blocking(set_keep, self._m, rule)

    async def move_server(self, url: str, alone: bool = False) -> Answer:
        """See Service."""
        if not alone and not await self._group.ready(READY_S):
            raise Problem(
                "The server at which the group is cannot be reached, so nobody would hear of it.",
                "Try again when it can be. If it is gone for good, every member uses --alone.",
            )
        await self._group.move(url, alone=alone)
        return {"server": url}

    async def confirm(self) -> Answer:
        """See Service."""
        return await self._m.run_blocking(end_hold, self._m)

    async def forget(self, snapshot: str) -> Answer:
        """See Service."""
        row = await self.find_snapshot(snapshot)
        return await self._m.run_blocking(drop_snapshot, self._m, row)

    async def limits(self) -> Answer:
        """See Service."""
        return self._limiting.told()

    async def set_limits(self, up: str = "", down: str = "", spare: bool | None = None) -> Answer:
        """See Service."""
        return await self._limiting.change(up, down, spare)

    async def space(self) -> Answer:
        """See Service."""
        held = self._held
        return await self._m.run_blocking(space_facts, self._m, held.limit_bytes, held.used_bytes)

    async def set_space(self, offer_bytes: int) -> Answer:
        """See Service."""
        await self._held.give(offer_bytes)
        return await self.space()

    async def marks(self) -> list[str]:
        """See Service."""
        marks = await self._m.run_blocking(read_marks, self._m.catalog)
        return [os.fsdecode(mark) for mark in marks]

    async def mark(self, paths: Sequence[str]) -> list[str]:
        """See Service."""
        marks = await self._m.run_blocking(mark_and_tag, self._m.catalog, paths)
        return [os.fsdecode(mark) for mark in marks]

    async def unmark(self, paths: Sequence[str]) -> list[str]:
        """See Service."""
        marks = await self._m.run_blocking(unmark_and_untag, self._m.catalog, paths)
        return [os.fsdecode(mark) for mark in marks]

    # --- doing ------------------------------------------------------------------------------

    def backup(self) -> AsyncIterator[Event]:
        """See Service."""

        async def work(emit: Emit) -> Event:
            await self._ready()
            try:
                async with self._nights.night(len(self._m.friends.members())) as ended:
                    night = await Night(self._m, emit).run()
                    ended(night)
            except Problem:
                await look_after(self._m, self._held, emit)
                raise
            await look_after(self._m, self._held, emit)
            return await drill.drill_after(night, self._m, emit, seed=self._seed())

        return self._exclusive("backing up", work)

    async def activity(self) -> Answer:
        """See Service."""
        return self._nights.activity()

    async def pause(self, until: str) -> Answer:
        """See Service."""
        return await self._nights.pause(until)

    async def schedule(self) -> Answer:
        """See Service."""
        return self._nights.schedule()

    async def set_schedule(self, by_itself: bool) -> Answer:
        """See Service."""
        return await self._nights.set_schedule(by_itself)

    def restore(
        self,
        snapshot: str,
        to: str,
        paths: Sequence[str] = (),
        overwrite: str = "always",
        dry_run: bool = False,
    ) -> AsyncIterator[Event]:
        """See Service."""

        async def work(emit: Emit) -> Event:
            row = await self.find_snapshot(snapshot)
            await self._ready()
            job = RestoreJob(
                self._m,
                row,
                to,
                list(paths),
                overwrite,
                emit,
                dry_run=dry_run,
                patience_s=PATIENCE_S,
            )
            with self._limiting.hurry():
                return await job.run()

        return self._exclusive("restoring", work)

    def check(self, what: str = "listings", percent: float = 100) -> AsyncIterator[Event]:
        """See Service."""
        if what not in CHECKS or not 0 < percent <= 100:
            raise Problem(f"«{what}» of {percent} % is no check.", "`covey check --help` tells.")

        async def work(emit: Emit) -> Event:
            await self._ready()
            if what == "rebuild":
                return await rebuild(self._m, emit)
            if what == "drill":
                row = await self.find_snapshot("latest")
                return drill.told(await drill.Drill(self._m, row, emit, seed=self._seed()).run())
            return await Check(
                self._m,
                emit,
                wall_text=self._wall_text,
                seed=self._seed(),
                percent=percent if what == "data" else 0,
            ).run()

        return self._exclusive("checking", work)

    def leave(self, now: bool = False) -> AsyncIterator[Event]:
        """See Service."""
        if self._leaving is None:
            raise Problem("This member cannot leave from here.")
        return self._exclusive("leaving", partial(self._leaving.run, now=now))

    def take_from(self, leaver: MemberId) -> AsyncIterator[Event]:
        """Bring elsewhere what a friend who is leaving keeps for us."""
        return self._exclusive("moving", lambda emit: HandOver(self._m, leaver, emit).run())

    def doctor(self) -> AsyncIterator[Event]:
        """See Service."""

        async def work(emit: Emit) -> Event:
            await self._group.ready(READY_S)
            return await self._examine(emit)

        return run_job(work)  # also while other work goes on: it may be why somebody asks

    def _seed(self) -> int:
        return int.from_bytes(self._m.random_bytes(8), "big")

    async def _exclusive(self, doing: str, work: Work) -> AsyncIterator[Event]:
        if self._m.busy.locked() and not await self._nights.step_aside():
            raise Problem(f"Covey is busy {self._doing}.", "Wait until that is done.", code="busy")
        async with self._m.busy:
            self._doing = doing
            try:
                async for event in run_job(work):
                    yield event
            finally:
                self._doing = ""

    # --- helping ----------------------------------------------------------------------------

    async def _reached(self) -> None:
        if not await self._group.ready(READY_S):
            raise Problem(
                self._group.problem or f"The server {self._group.server} cannot be reached.",
                "Check this computer's network, or ask whoever runs the server.",
                code="unreachable",
            )


def _snapshot(row: SnapshotRow) -> Answer:
    return {
        "id": row.id.hex(),
        "time_ns": row.time_ns,
        "files": row.files,
        "bytes": row.bytes,
        "complete": True,
    }


def _link(info: LinkInfo, name: str) -> Answer:
    return {
        "friend": name,
        "engine": info.engine,
        "state": info.state,
        "bytes_sent": info.bytes_sent,
        "bytes_received": info.bytes_received,
        "rtt_s": info.rtt_s,
        "relayed": info.relayed,
        "bytes_per_s": info.bytes_per_s,
        "failure": info.failure,
        "failed_s_ago": info.failed_s_ago,
    }


def local_time(time_ns: int) -> str:
    """A moment as a person writes it, in this computer's time zone."""
    moment = datetime.datetime.fromtimestamp(time_ns / 1e9, tz=datetime.UTC).astimezone()
    return moment.strftime("%Y-%m-%d %H:%M")
