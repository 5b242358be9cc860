"""How many shares a pack gets under each policy that is compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from peer.upkeep.redundancy import HOLDERS_MAX, Code, choose_code


class Policy(Protocol):
    """A rule from the friends who are there to a code."""

    @property
    def name(self) -> str: ...

    @property
    def adapts(self) -> bool:
        """Whether packs are coded anew when the rule wants a smaller k for fewer friends."""
        ...

    def code(self, within_day: Sequence[float]) -> Code:
        """The code for friends who are each seen within a day with these chances."""
        ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """The same code for everybody, as far as there are friends: k of n."""

    name: str
    needed: int
    total: int
    adapts: bool = False

    def code(self, within_day: Sequence[float]) -> Code:
        """Fewer friends than n get what can be had; fewer than k cannot keep anything."""
        return Code(self.needed, min(self.total, len(within_day)))


@dataclass(frozen=True, slots=True)
class Covey:
    """What the real nights do: the very function that they call."""

    name: str = "covey"
    adapts: bool = True

    def code(self, within_day: Sequence[float]) -> Code:
        """See peer.upkeep.redundancy."""
        return choose_code(within_day)


POLICIES: dict[str, Policy] = {
    "replication": Fixed("replication", 1, 3),
    "fixed": Fixed("fixed", 3, 10),
    "covey": Covey(),
}
SHARES_MAX = HOLDERS_MAX
