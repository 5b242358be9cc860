"""`covey leave`: hand over what is held for friends, say goodbye, and be no member any more.

Friends hear from this member's card that it is going. Each one that is awake then takes what it has
here elsewhere, deletes it here, and says that it is done; nothing new is taken meanwhile. Friends
who are asleep are not waited for: they make what was here anew from others, as after any loss. The
goodbye is another card, and the end of the membership at the server.

Until the goodbye everything can be taken back, and is when this is broken off.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Set
from typing import Protocol

from datachannel.credentials import GOING, GONE, STAYS
from datachannel.errors import Unavailable
from peer.member import Emit
from peer.ports import Friends, RunBlocking
from peer.service import Event, Problem, done, progress
from signaling.messages import MemberId

log = logging.getLogger("covey.leaving")

PATIENCE_S = 6 * 3600.0
"""Friends who are awake and at work are waited for so long: a slow line takes hours for what is
held. Whoever has less time says so (`--now`)."""
IDLE_S = 600.0
"""A friend of whom nothing was heard or fetched for so long is not waited for any more."""
LOOK_EVERY_S = 2.0
SETTLE_S = 1.0
"""For the goodbye to leave this computer before its connection is closed."""

Announce = Callable[[int], Awaitable[None]]
"""Tells the group by this member's card: STAYS, GOING or GONE."""


class Kept(Protocol):
    """What this member keeps for friends."""

    limit_bytes: int

    def shares_by_owner(self) -> Mapping[bytes, int]: ...


class Leaving:
    """The way out of a group. Use `run` once."""

    def __init__(
        self,
        friends: Friends,
        kept: Kept,
        run_blocking: RunBlocking,
        *,
        announce: Announce,
        leave: Callable[[], Awaitable[None]],
        forget: Callable[[], Awaitable[None]],
        handed_over: Set[MemberId],
        patience_s: float = PATIENCE_S,
        idle_s: float = IDLE_S,
    ) -> None:
        """`leave` ends the membership at the server, `forget` the one on this disk. `handed_over`
        is who said since that it need not be waited for."""
        self._friends, self._kept, self._run_blocking = friends, kept, run_blocking
        self._announce, self._leave, self._forget = announce, leave, forget
        self._handed_over = handed_over
        self._patience_s, self._idle_s = patience_s, idle_s
        self.is_gone = asyncio.Event()
        """Set after the goodbye: nothing here is needed any more."""

    async def run(self, emit: Emit, *, now: bool) -> Event:
        """Leave; with `now` without handing over, and also when nobody can be told.

        Raises Problem when the group cannot be told.
        """
        if not self._friends.reached and not now:
            raise Problem(
                "The server cannot be reached, so nobody would hear of it.",
                "Try again when it can be. `covey leave --now` leaves without a word; friends "
                "notice in time.",
            )
        begun = await self._sizes()
        left = begun if now else await self._hand_over(begun, emit)
        told = await self._say_goodbye()
        await self._forget()  # at once: nobody comes back by a crash after the goodbye
        self.is_gone.set()
        return _told(begun, left, told=told)

    async def _hand_over(self, begun: Mapping[MemberId, int], emit: Emit) -> Mapping[MemberId, int]:
        """Wait until friends who are awake have taken what they can; what is left, by owner."""
        limit = self._kept.limit_bytes
        self._kept.limit_bytes = 0  # nothing new comes here
        try:
            await self._announce(GOING)
            return await self._wait(begun, emit)
        except BaseException:
            self._kept.limit_bytes = limit
            await self._announce(STAYS)
            raise

    async def _wait(self, begun: Mapping[MemberId, int], emit: Emit) -> Mapping[MemberId, int]:
        loop = asyncio.get_running_loop()
        start = loop.time()
        moved_at = dict.fromkeys(begun, start)
        left = begun
        while True:
            now = loop.time()
            before, left = left, await self._sizes()
            moved_at |= {m: now for m in begun if left.get(m, 0) < before.get(m, 0)}
            waiting = [
                member
                for member in sorted(left)
                if member not in self._handed_over
                and self._is_awake(member)
                and now - moved_at.get(member, start) < self._idle_s
            ]
            emit(self._progress(begun, left, waiting))
            if not waiting or now - start > self._patience_s:
                return left
            await asyncio.sleep(LOOK_EVERY_S)

    async def _sizes(self) -> dict[MemberId, int]:
        used = await self._run_blocking(self._kept.shares_by_owner)
        return {MemberId(owner): size for owner, size in used.items() if size}

    def _is_awake(self, member: MemberId) -> bool:
        friend = self._friends.members().get(member)
        return friend is not None and friend.online

    def _progress(
        self, begun: Mapping[MemberId, int], left: Mapping[MemberId, int], waiting: list[MemberId]
    ) -> Event:
        total = sum(begun.values())
        friends = self._friends.members()
        names = [friends[member].card.name for member in waiting if member in friends]
        over = max(0, total - sum(left.values()))
        return progress("hand over", bytes_done=over, bytes_total=total, waiting_for=names)

    async def _say_goodbye(self) -> bool:
        """Whether the group was told."""
        try:
            await self._announce(GONE)
            await self._leave()
        except Unavailable as error:
            log.warning("nobody hears the goodbye: %s", error)
            return False
        return True


def _told(begun: Mapping[MemberId, int], left: Mapping[MemberId, int], *, told: bool) -> Event:
    """The event that ends it."""
    text = "This computer has left the group."
    if not told:
        text += " Nobody could be told; friends notice in time."
    elif left:
        text += " What was not handed over is made anew by its owners, from others."
    owners = len(begun.keys() - left.keys())
    return done(
        ok=True,
        message=text,
        next_step="Within 14 days `covey recover` brings your backups back, with your words.",
        summary={
            "told": told,
            "handed_over_bytes": max(0, sum(begun.values()) - sum(left.values())),
            "left_bytes": sum(left.values()),
            "owners": len(begun),
            "owners_done": owners,
        },
    )
