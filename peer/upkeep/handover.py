"""What a friend who is leaving keeps for us goes to others, while it can still be read.

A share is read from the friend who leaves, proven by its name, put where nothing of its pack lies
yet, and only then deleted over there. So it costs each share one transfer where making it anew from
others would cost many, and it may be broken off at any point. What has no other place stays: its
packs have a spare less from then on, and repair and recoding see to them as after any loss.

At the end the friend is told that it need not wait for us.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace

from chunking.erasure import payload_length_of
from chunking.formats import FormatError
from datachannel.errors import Refusal, RemoteError, Unavailable
from datachannel.requests import say_handed_over
from peer.backup.survey import survey
from peer.member import Emit, Member
from peer.service import Event, Problem, done, progress
from peer.upkeep.audit import Piece
from peer.upkeep.moving import MOVES_AT_ONCE, TELL_TIMEOUT_S, NotTaken, move_share
from peer.upkeep.placement import Candidate, place
from signaling.messages import MemberId

log = logging.getLogger("covey.upkeep")


@dataclass(slots=True)
class _Course:
    moved: int = 0
    moved_bytes: int = 0
    stayed: int = 0


class HandOver:
    """Takes from one friend what it keeps for us. Use `run` once."""

    def __init__(self, member: Member, leaver: MemberId, emit: Emit) -> None:
        self._m, self._leaver, self._emit = member, leaver, emit
        self._candidates: dict[MemberId, Candidate] = {}
        self._course = _Course()
        self._total = 0

    async def run(self) -> Event:
        """Move what can be moved, and tell the friend. Raises Unavailable when it is gone."""
        pieces = await self._m.run_blocking(self._pieces)
        self._total = len(pieces)
        try:
            found = await survey(self._m) if pieces else []
        except Problem as problem:
            log.info("nobody takes what a friend who leaves had: %s", problem.text)
            found = []
        self._candidates = {c.member: c for c in found if c.member != self._leaver}
        waiting = iter(pieces)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(MOVES_AT_ONCE):
                tasks.create_task(self._work(waiting))
        await self._tell()
        return self._told()

    def _pieces(self) -> list[Piece]:
        catalog = self._m.catalog
        placed = [(p, n) for p, n, holder in catalog.each_placement() if holder == self._leaver]
        return [Piece(catalog.pack(pack), number, self._leaver) for pack, number in placed]

    async def _work(self, waiting: Iterator[Piece]) -> None:
        for piece in waiting:
            if await self._move(piece):
                self._course.moved += 1
            else:
                self._course.stayed += 1
            self._emit(
                progress(
                    "hand over",
                    files=self._course.moved + self._course.stayed,
                    files_total=self._total,
                    shipped_bytes=self._course.moved_bytes,
                )
            )

    async def _move(self, piece: Piece) -> bool:
        """Bring one share to another friend; False when it has to stay."""
        target = await self._reserve(piece)
        if target is None:
            return False
        try:
            moved = await move_share(self._m, piece, target)
        except NotTaken as error:
            log.info("%s", error)
            self._candidates.pop(target, None)
            return False
        self._course.moved_bytes += moved
        return moved > 0

    async def _reserve(self, piece: Piece) -> MemberId | None:
        row = piece.row
        taken = await self._m.run_blocking(self._m.catalog.placements, row.pack)
        taken.pop(piece.number, None)
        try:
            size = payload_length_of(row.length, row.needed)
        except FormatError:
            return None
        plan = place([piece.number], self._candidates.values(), taken, size, turn=row.id[0])
        target = plan.get(piece.number)
        if target is not None:
            one = self._candidates[target]
            self._candidates[target] = replace(
                one, free_bytes=one.free_bytes - size, fill_bytes=one.fill_bytes + 1
            )
        return target

    async def _tell(self) -> None:
        try:
            async with asyncio.timeout(TELL_TIMEOUT_S):
                await say_handed_over(await self._m.friends.session(self._leaver))
        except (Refusal, RemoteError, TimeoutError) as error:
            raise Unavailable(str(error)) from error

    def _told(self) -> Event:
        course, name = self._course, self._m.friend_name(self._leaver)
        text = f"{course.moved:,} of {self._total:,} parts that {name} kept are with others now."
        summary = {
            "moved": course.moved,
            "moved_bytes": course.moved_bytes,
            "stayed": course.stayed,
        }
        return done(ok=not course.stayed, message=text, summary=summary)
