"""What friends hold against what the catalog expects.

Friends are asked for lists of names, which cost little. From the answers follow: placements the
catalog did not know, placements that are gone, shares that nothing refers to and second copies
(left by a night that was killed), and packs that could not be rebuilt from who is there.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from chunking.formats import ShareName
from datachannel.errors import Refusal, RemoteError, Unavailable
from datachannel.requests import delete_shares, list_shares
from peer.catalog import Catalog
from peer.ports import Friends
from signaling.messages import MemberId

log = logging.getLogger("covey.upkeep")

LIST_TIMEOUT_S = 120.0
DELETE_TIMEOUT_S = 120.0
Listings = Mapping[MemberId, set[ShareName]]


@dataclass(slots=True)
class Comparison:
    """`found` and `gone` are placements (pack, number, holder); `garbage` is by holder."""

    found: list[tuple[int, int, MemberId]] = field(default_factory=list)
    gone: list[tuple[int, int]] = field(default_factory=list)
    garbage: dict[MemberId, list[ShareName]] = field(default_factory=dict)
    packs: int = 0
    lost_packs: list[int] = field(default_factory=list)
    thin_packs: int = 0
    spare: int | None = None
    """Shares that every pack has beyond those needed, at the least; None without packs."""


def compare(catalog: Catalog, listings: Listings) -> Comparison:
    """Hold the friends' answers against the catalog. Friends who did not answer change nothing,
    but their shares do not count as there."""
    result = Comparison()
    known: set[ShareName] = set()
    garbage: defaultdict[MemberId, list[ShareName]] = defaultdict(list)
    for row in catalog.packs():
        placements = catalog.placements(row.pack)
        taken = set(placements.values())
        there = 0
        for number, name in enumerate(row.shares):
            known.add(name)
            holders = [member for member, names in listings.items() if name in names]
            there += bool(holders)
            holder = placements.get(number)
            if holder is not None and holder not in listings:
                continue  # not confirmed, so that second copies stay for now
            if holder not in holders and holders:
                holder = min(holders, key=lambda member: (member in taken, member))
                result.found.append((row.pack, number, holder))
                taken.add(holder)
            elif holder is not None and not holders:
                result.gone.append((row.pack, number))
            for member in holders:
                if member != holder:
                    garbage[member].append(name)
        result.packs += 1
        spare = there - row.needed
        result.spare = spare if result.spare is None else min(result.spare, spare)
        if spare < 0:
            result.lost_packs.append(row.pack)
        elif there < row.total:
            result.thin_packs += 1
    for member, names in listings.items():
        garbage[member] += names - known
    result.garbage = {member: sorted(names) for member, names in garbage.items() if names}
    return result


def record(catalog: Catalog, comparison: Comparison) -> None:
    """Let the catalog know what was found and what is gone."""
    if comparison.gone:
        catalog.forget_placements(comparison.gone)
    if comparison.found:
        catalog.record_placements(comparison.found, set())


async def ask_all(friends: Friends) -> dict[MemberId, set[ShareName]]:
    """What every friend who can be reached and answers holds of ours."""
    members = sorted(friends.members())
    answers = await asyncio.gather(*(_names_at(friends, member) for member in members))
    return {
        member: names for member, names in zip(members, answers, strict=True) if names is not None
    }


async def _names_at(friends: Friends, member: MemberId) -> set[ShareName] | None:
    names: set[ShareName] = set()
    try:
        async with asyncio.timeout(LIST_TIMEOUT_S):
            async for item in list_shares(await friends.session(member)):
                names.add(ShareName(item.name))
    except (Unavailable, Refusal, RemoteError, TimeoutError) as error:
        log.info("%s cannot say what it holds: %s", member.hex()[:8], error)
        return None
    return names


async def delete_garbage(friends: Friends, garbage: Mapping[MemberId, Iterable[ShareName]]) -> int:
    """Have friends delete shares that nothing refers to; returns how many they deleted."""
    deleted = 0
    for member, names in garbage.items():
        try:
            async with asyncio.timeout(DELETE_TIMEOUT_S):
                deleted += await delete_shares(await friends.session(member), list(names))
        except (Unavailable, Refusal, RemoteError, TimeoutError) as error:
            log.info("%s keeps garbage until next time: %s", member.hex()[:8], error)
    return deleted
