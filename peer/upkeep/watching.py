"""The agent's notes on who is online and who is away, every quarter of an hour."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Protocol

from datachannel.credentials import STAYS
from peer.member import Member
from peer.upkeep.absence import note_absences, read_absences
from peer.upkeep.presence import SAMPLE_S, note_presence
from signaling.messages import MemberId

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
            await member.run_blocking(_note, member, now_s, online, sorted(friends))
        await asyncio.sleep(SAMPLE_S)


def friends_not_gone(member: Member) -> set[MemberId]:
    """All who could keep a share for us, now or when they are back. It blocks."""
    friends = member.friends.members()
    staying = {one for one, friend in friends.items() if friend.card.leaving == STAYS}
    here = {one for one in staying if friends[one].online}
    away = (staying - here) | (set(member.catalog.shares_per_holder()) - set(friends))
    return here | (away - read_absences(member.catalog).gone())


def _note(
    member: Member, now_s: float, online: Collection[MemberId], friends: Collection[MemberId]
) -> None:
    note_presence(member.catalog, now_s, online, friends)
    if member.friends.reached:  # or else those elsewhere seem to be away, for a cable that was cut
        # Who has left the registry without a goodbye is away like anybody else.
        keeping = member.catalog.shares_per_holder()
        note_absences(member.catalog, now_s, online, {*friends, *keeping})
