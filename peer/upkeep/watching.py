"""The agent's notes on who is online, every quarter of an hour."""

from __future__ import annotations

import asyncio
from typing import Protocol

from peer.member import Member
from peer.upkeep.presence import SAMPLE_S, note_presence

_NS = 10**9


class Connected(Protocol):
    """Whether the server is reached now: without it, nobody is known to be there or away."""

    @property
    def connected(self) -> bool: ...


async def watch_presence(member: Member, group: Connected) -> None:
    """Note who is online, until cancelled."""
    while True:
        if group.connected:
            friends = member.friends.members()
            online = [friend.member for friend in friends.values() if friend.online]
            now_s = member.wall_clock() / _NS
            await member.run_blocking(note_presence, member.catalog, now_s, online, sorted(friends))
        await asyncio.sleep(SAMPLE_S)
