"""Who has which share, as the catalog remembers it and as friends say themselves.

The catalog is asked for a pack when that pack is fetched, so that bringing one file back does not
read a million rows. What friends say is kept by the shares' names, one friend's list bounded: it is
believed only until a share is asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from chunking.formats import ShareName
from peer.ports import RunBlocking
from signaling.messages import MemberId

HEARD_PER_FRIEND_MAX = 2_000_000
"""Names kept of one friend's list: some 300 MB, and at least a terabyte at that friend."""
REMEMBERED_PACKS_MAX = 4096

Remember = Callable[[int], Mapping[int, MemberId]]
"""The holders of a pack's shares by number, given the pack's row in the catalog. May block."""


class Whereabouts:
    """What is known now; it grows."""

    def __init__(self, remember: Remember | None = None) -> None:
        self._remember = remember
        self._remembered: OrderedDict[int, Mapping[int, MemberId]] = OrderedDict()
        self._heard: dict[ShareName, tuple[MemberId, ...]] = {}
        self.asked: set[MemberId] = set()

    def add(self, name: ShareName, member: MemberId) -> None:
        """This friend says that it has this share."""
        before = self._heard.get(name, ())
        if member not in before:
            self._heard[name] = (*before, member)

    def of(self, name: ShareName) -> tuple[MemberId, ...]:
        """The friends that said so."""
        return self._heard.get(name, ())

    async def look_up(self, row: int, run_blocking: RunBlocking) -> None:
        """Have what the catalog remembers of a pack at hand for `holders`."""
        if self._remember is None:
            return
        if row not in self._remembered:
            self._remembered[row] = await run_blocking(self._remember, row)
        self._remembered.move_to_end(row)
        while len(self._remembered) > REMEMBERED_PACKS_MAX:
            self._remembered.popitem(last=False)

    def holders(self, row: int, names: Sequence[ShareName]) -> list[set[MemberId]]:
        """The friends who may have each share of a pack, by number."""
        remembered = self._remembered.get(row, {})
        found = [set(self.of(name)) for name in names]
        for number, member in remembered.items():
            if number < len(found):
                found[number].add(member)
        return found
