"""What a person wants to know of each friend: there or not, what they give, what they keep.

Everything is read from what others have noted; nothing is decided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from datachannel.engine import LinkInfo
from peer.member import Member
from peer.service import Answer
from peer.space.telling import friend_note
from peer.upkeep.absence import read_absences
from peer.upkeep.presence import read_presence
from peer.upkeep.scores import read_scores
from peer.upkeep.statements import ledger_of
from signaling.messages import MemberId

WATCHED_MIN_S = 24 * 3600
"""A friend who was watched for less than a day is not called reliable or otherwise."""
SIZES_GOOD_FOR_S = 60.0
"""What is kept for friends is added up from all files, so that is done once a minute at most."""
COLUMNS_MAX = 200
"""A picture has no room for more; neighbouring packs then share a column."""
_NS = 10**9


class Kept(Protocol):
    """What this member keeps for its friends."""

    def used_by_owner(self) -> Mapping[bytes, int]: ...


class Acquaintance:
    """The friends, with facts about each."""

    def __init__(self, member: Member, kept: Kept) -> None:
        self._m, self._kept = member, kept
        self._sizes: Mapping[bytes, int] = {}
        self._sizes_at = float("-inf")
        self._seen_ns: dict[MemberId, int] = {}

    async def friends(self, links: Iterable[LinkInfo]) -> list[Answer]:
        """As `Service.friends` tells it, sorted by member id."""
        call = self._m.run_blocking
        shares = await call(self._m.catalog.shares_per_holder)
        presence = await call(read_presence, self._m.catalog)
        sizes = await self._sizes_now()
        stored = await call(self._m.catalog.bytes_per_holder)
        ledger = await call(ledger_of, self._m)
        absences = await call(read_absences, self._m.catalog)
        scores = await call(read_scores, self._m.catalog)
        engines = {info.member: info.engine for info in links if info.state == "open"}
        now_ns = self._m.wall_clock()
        answers = []
        for member, friend in sorted(self._m.friends.members().items()):
            if friend.online:
                self._seen_ns[member] = now_ns
            noted_ns = round(presence.last_seen_s(member) * _NS)
            watched = presence.watched_s(member) >= WATCHED_MIN_S
            last_seen_ns = max(noted_ns, self._seen_ns.get(member, 0))
            account, score = ledger.account(member), scores.of(member)
            absence = absences.of(member)
            answers.append(
                {
                    "name": friend.card.name,
                    "member": member.hex(),
                    "online": friend.online,
                    "offer_bytes": friend.card.offer_bytes,
                    "shares": shares.get(member, 0),
                    "engine": engines.get(member),
                    "last_seen_ns": last_seen_ns,
                    "uptime": presence.at_once(member) if watched else None,
                    "held_bytes": sizes.get(bytes(member), 0),
                    "stored_bytes": stored.get(member, 0),
                    "usage_bytes": account.usage_bytes,
                    "shown_bytes": account.shown_bytes,
                    "credit_bytes": account.credit_bytes,
                    "score": round(score.value, 3),
                    "audit": score.sentence,
                    "audit_failed_ns": score.failed_ns,
                    "away_s": absence.away_s,
                    "grace_s": absence.grace_s,
                    "gone": absence.is_gone,
                    "note": friend_note(account, absence, score.sentence),
                }
            )
        return answers

    async def matrix(self) -> Answer:
        """As `Service.matrix` tells it, in the order of `friends`."""
        friends = sorted(self._m.friends.members().items())
        placed = await self._m.run_blocking(lambda: list(self._m.catalog.each_placement()))
        packs, rows = spread(placed, [member for member, _ in friends])
        names = [friend.card.name for _, friend in friends]
        return {"friends": names, "packs": packs, "rows": rows}

    async def _sizes_now(self) -> Mapping[bytes, int]:
        now = asyncio.get_running_loop().time()
        if now - self._sizes_at > SIZES_GOOD_FOR_S:
            self._sizes_at = now
            self._sizes = await self._m.run_blocking(self._kept.used_by_owner)
        return self._sizes


def spread(
    placed: Sequence[tuple[int, int, MemberId]], friends: Sequence[MemberId]
) -> tuple[int, list[list[int]]]:
    """How many packs there are, and how many shares each friend has in each column of them.

    `placed` is sorted by pack. What somebody has who is no friend any more is left out.
    """
    at = {pack: place for place, pack in enumerate(dict.fromkeys(pack for pack, _, _ in placed))}
    columns = min(len(at), COLUMNS_MAX)
    rows = {friend: [0] * columns for friend in friends}
    for pack, _, holder in placed:
        if holder in rows:
            rows[holder][at[pack] * columns // len(at)] += 1
    return len(at), list(rows.values())
