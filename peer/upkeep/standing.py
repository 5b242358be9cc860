"""How safe each pack is, from what friends list, and which packs nobody can bring back.

When a pack is lost for good. Giving a pack up makes this computer forget its chunks, so that the
next night sends again what the files still have. What only an older snapshot has is gone then, so
it is done only when no friend can change it:

- Only shares count as not there that a friend who answered does not list, or lists and returned
  wrong bytes for, twice.
- A friend who did not answer counts as having all that the catalog places with it, and one share
  of every pack even if the catalog places none: a new catalog does not know of friends who were
  away. No friend gets two shares of a pack. That ends after ninety observed days of absence, or
  with a goodbye (`absence`); till then it holds for who is not on the server's list any more, too.
- So does a friend who answered, but lacks most of what the catalog places with it: a disk that is
  not mounted answers like that. The next complete night takes its word for it (`reconcile`), so
  that a second check, after that night, counts it like everybody else.
- A pack whose shares still lie in the spool is not given up: the next night ships them.

Pure, but for the catalog that is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Set
from dataclasses import dataclass, field

from chunking.formats import ShareName
from peer.catalog import Catalog, PackRow
from signaling.messages import MemberId

Listings = Mapping[MemberId, Set[ShareName]]


@dataclass(slots=True)
class Standing:
    """All packs together. Numbers are the catalog's."""

    packs: int = 0
    unfinished: int = 0
    """Packs of a night that did not end: no snapshot needs them yet."""
    lost: list[int] = field(default_factory=list)
    given_up: list[int] = field(default_factory=list)
    thin: int = 0
    can_vanish: int = 0
    """Friends that any pack can lose, whoever they are."""


def bare_friends(catalog: Catalog, listings: Listings) -> set[MemberId]:
    """Friends who answered, but list less than half of what the catalog places with them."""
    placed: Counter[MemberId] = Counter()
    there: Counter[MemberId] = Counter()
    for row in catalog.packs():
        for number, holder in catalog.placements(row.pack).items():
            placed[holder] += 1
            there[holder] += row.shares[number] in listings.get(holder, ())
    return {holder for holder in listings if 2 * there[holder] < placed[holder]}


def stand(
    catalog: Catalog,
    listings: Listings,
    absent: Collection[MemberId],
    damaged: Collection[int],
    is_spooled: Callable[[PackRow], bool],
) -> Standing:
    """`listings` are without wrong shares; `absent` are friends who may have more than they list.

    `damaged` are packs that all their shares together do not make.
    """
    result = Standing()
    vanish: int | None = None
    for row in catalog.packs():
        if not row.safe:
            result.unfinished += 1
            continue
        result.packs += 1
        holders = {
            number: [member for member, names in listings.items() if name in names]
            for number, name in enumerate(row.shares)
        }
        there = {number for number, some in holders.items() if some}
        if row.pack in damaged:
            there = set()
        spare = _friends_to_lose(row.needed, holders)
        vanish = spare if vanish is None else min(vanish, spare)
        if len(there) < row.needed:
            result.lost.append(row.pack)
            more = _may_come_back(catalog.placements(row.pack), there, listings, absent)
            if len(there) + more < row.needed and not is_spooled(row):
                result.given_up.append(row.pack)
        elif len(there) < row.total:
            result.thin += 1
    result.can_vanish = vanish or 0
    return result


def _may_come_back(
    placements: Mapping[int, MemberId],
    there: Collection[int],
    listings: Listings,
    absent: Collection[MemberId],
) -> int:
    """Shares that friends who could not be believed tonight may still have."""
    count = Counter(
        holder
        for number, holder in placements.items()
        if number not in there and (holder in absent or holder not in listings)
    )
    return sum(count.values()) + sum(member not in count for member in absent)


def _friends_to_lose(needed: int, holders: Mapping[int, list[MemberId]]) -> int:
    """How many friends may vanish, whoever they are, with enough shares left; -1: too few now.

    A share that several friends have counts for the one of them with the fewest, so that this
    rather promises less.
    """
    load: Counter[MemberId] = Counter()
    for some in sorted(holders.values(), key=len):
        if some:
            load[min(some, key=lambda member: (load[member], member))] += 1
    left = load.total()
    if left < needed:
        return -1
    friends = 0
    for _, count in load.most_common():
        left -= count
        if left < needed:
            break
        friends += 1
    return friends
