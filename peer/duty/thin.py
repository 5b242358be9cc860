"""What a deputy must do for an owner: which shares are gone for certain, and who may take new ones.

Pure. A share that nobody lists may lie with a friend who is just away, and each friend has at most
one share of a pack: so of those that nobody lists, as many as friends are away may be alive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from chunking.formats import PackRef, ShareName
from chunking.index import share_names
from signaling.messages import MemberId

Listings = Mapping[MemberId, Set[ShareName]]


@dataclass(frozen=True, slots=True)
class Thin:
    """A pack that lacks shares and can be rebuilt."""

    ref: PackRef
    sources: dict[int, list[MemberId]]
    """Share number -> who lists it."""
    missing: tuple[int, ...]
    """The numbers to make anew."""

    @property
    def spare(self) -> int:
        """How many more shares may be lost."""
        return len(self.sources) - self.ref.needed


def thin_packs(packs: Iterable[PackRef], listings: Listings, away: int) -> list[Thin]:
    """The packs to see to, the most endangered first; `away` friends may hold what nobody lists."""
    found = []
    for ref in packs:
        sources: dict[int, list[MemberId]] = {}
        missing = []
        for number, name in enumerate(share_names(ref)):
            holders = sorted(member for member, names in listings.items() if name in names)
            if holders:
                sources[number] = holders
            else:
                missing.append(number)
        certain = len(missing) - away
        if certain > 0 and len(sources) >= ref.needed:
            found.append(Thin(ref, sources, tuple(missing[:certain])))
    return sorted(found, key=lambda thin: (thin.spare, thin.ref.pack))


def takers(thin: Thin, listings: Listings) -> list[MemberId]:
    """Who may take a share of this pack: those who have none of it, the emptiest first."""
    busy = {member for holders in thin.sources.values() for member in holders}
    free = [member for member in listings if member not in busy]
    return sorted(free, key=lambda member: (len(listings[member]), member))
