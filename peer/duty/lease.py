"""Only one deputy acts for an owner at a time: leases, and how many of them are enough. Pure.

A holder gives the lease for an owner to one deputy at a time; it ends by itself. A deputy acts only
while more than half of all deputies of the duty, itself included, have given it theirs. Any two
majorities have a holder in common, and that one gave its lease to one of them only.

A deputy counts a lease from the moment before it asked, a holder from the moment when it gave, and
the deputy's ends sooner: so it never believes in a lease that has ended. Clocks here are monotonic
ones; a holder that starts anew gives each lease that it had once more, for the whole time.

This holds for deputies who go by the same duty. Where an owner has just changed its deputies, two
may act at once for a while, which costs traffic and nothing else: what they make is the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from signaling.messages import MemberId

LEASE_S = 3600
"""Long enough for some packs on a slow line, short enough that a deputy who falls asleep does not
keep others from acting for a night."""
TRUSTED_PART = 0.9
"""So much of a lease a deputy uses: monotonic clocks differ by far less."""


class Leases:
    """What one holder has given."""

    def __init__(self, before: Mapping[bytes, MemberId], now: float) -> None:
        """`before` is what it had given when it ended, owner to deputy."""
        self._given = {owner: (deputy, now + LEASE_S) for owner, deputy in before.items()}

    def ask(self, owner: bytes, deputy: MemberId, now: float) -> bool:
        """Give it, or give it again; False while another deputy has it."""
        if self.holder(owner, now) not in (None, deputy):
            return False
        self._given[owner] = (deputy, now + LEASE_S)
        return True

    def holder(self, owner: bytes, now: float) -> MemberId | None:
        """Who has the lease for this owner."""
        deputy, ends = self._given.get(owner, (None, now))
        return deputy if ends > now else None

    def given(self, now: float) -> dict[bytes, MemberId]:
        """All that is to be remembered over a restart."""
        return {owner: deputy for owner, (deputy, ends) in self._given.items() if ends > now}


class Mandate:
    """What one deputy was given for one owner."""

    def __init__(self, electors: Collection[MemberId]) -> None:
        """`electors` are all deputies of the duty."""
        self._electors = frozenset(electors)
        self._ends: dict[MemberId, float] = {}

    def given(self, by: MemberId, *, asked_at: float, seconds: float) -> None:
        """This elector has given its lease for so long; it was asked then."""
        if by in self._electors:
            self._ends[by] = asked_at + min(seconds, LEASE_S) * TRUSTED_PART

    def lost(self, by: MemberId) -> None:
        """This elector has refused."""
        self._ends.pop(by, None)

    def givers(self, now: float) -> set[MemberId]:
        """Whose leases count now."""
        return {elector for elector, ends in self._ends.items() if ends > now}

    def is_enough(self, now: float) -> bool:
        """Whether this deputy alone may act now."""
        return 2 * len(self.givers(now)) > len(self._electors)

    def ends(self, now: float) -> float:
        """When it will not be enough any more, unless leases are given again; `now` or later."""
        needed = len(self._electors) // 2 + 1
        times = sorted((ends for ends in self._ends.values() if ends > now), reverse=True)
        return times[needed - 1] if len(times) >= needed else now
