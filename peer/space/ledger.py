"""Who takes how much, what each has shown to keep, and what each may take: from statements alone.

Pure, so that everybody who has the same statements comes to the same figures.

*Usage* of an owner is what the others say that they keep for it. What an owner says of its own
usage counts nowhere. One holder's word may be a lie, so it counts at most twice as much as the
most that any other witness says it keeps for that owner: shares are spread evenly, hence honest
words differ by little. A holder goes by its own disk for itself.

*Shown* is what the owners say that a member has shown by audits to keep for them, as far as the
member itself claims to keep it: space counts when both sides say so.

*Credit*, what a member may take, is the smaller of its offer, and START_CREDIT_BYTES plus twice
what it has shown. Without the first part nobody could begin; without the second, who gives little
to few could never catch up with a growing group.

What liars can do, alone and together, is in docs/threat-model.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from chunking.statement import Statement
from signaling.messages import MemberId

START_CREDIT_BYTES = 100 * 10**9
"""What a newcomer may take before anybody could audit it: a first backup of a usual computer."""
SHOWN_FACTOR = 2
"""Credit for each byte that was shown: what is shown lags behind what is kept by some nights."""
CLAIM_FACTOR = 2
"""A holder's word counts up to so many times the most that another witness keeps."""


@dataclass(frozen=True, slots=True)
class Account:
    """One member in the ledger; all sizes in bytes."""

    member: MemberId
    offer_bytes: int
    held_bytes: int
    """What it says that it keeps for others."""
    usage_bytes: int
    shown_bytes: int
    credit_bytes: int

    @property
    def left_bytes(self) -> int:
        """What it may still take."""
        return max(0, self.credit_bytes - self.usage_bytes)


class Ledger:
    """What the statements add up to.

    `offers` are those of members' cards, and go before what a statement says: a card is told at
    once, a statement within a night.
    """

    def __init__(
        self,
        statements: Mapping[MemberId, Statement],
        offers: Mapping[MemberId, int] | None = None,
    ) -> None:
        said = {member: statement.offer_bytes for member, statement in statements.items()}
        self._offers = {**said, **(offers or {})}
        self._witnesses = frozenset(statements)
        self._held: dict[MemberId, dict[MemberId, int]] = {}
        """By owner, then by who says that it keeps something."""
        self._shown: dict[MemberId, dict[MemberId, int]] = {}
        """By holder, then by the owner who says so."""
        for member, statement in statements.items():
            for dealing in statement.dealings:
                other = MemberId(dealing.member)
                if other == member:
                    continue
                if dealing.held_bytes:
                    self._held.setdefault(other, {})[member] = dealing.held_bytes
                if dealing.shown_bytes:
                    self._shown.setdefault(other, {})[member] = dealing.shown_bytes

    def members(self) -> list[MemberId]:
        """Everybody of whom anything is known, in order."""
        return sorted({*self._offers, *self._held, *self._shown})

    def counted(self, holder: MemberId, owner: MemberId) -> int:
        """What of a holder's claim counts, in bytes.

        Where nobody else could know, in a group of two, the claim counts in full.
        """
        claims = self._held.get(owner, {})
        claim = claims.get(holder, 0)
        witnesses = len(self._witnesses) - sum(one in self._witnesses for one in (holder, owner))
        if not witnesses:
            return claim
        most = max((size for other, size in claims.items() if other != holder), default=0)
        return min(claim, CLAIM_FACTOR * most)

    def usage(
        self, owner: MemberId, *, seen_by: MemberId | None = None, held_bytes: int = 0
    ) -> int:
        """What an owner takes of the others, in bytes.

        A holder (`seen_by`) goes by its own `held_bytes`, and by the others' words for the rest.
        """
        holders = self._held.get(owner, {})
        words = sum(self.counted(holder, owner) for holder in holders if holder != seen_by)
        return words + (held_bytes if seen_by is not None else 0)

    def shown(self, holder: MemberId) -> int:
        """What a member has shown to keep for others, in bytes."""
        return sum(
            min(shown, self._held.get(owner, {}).get(holder, 0))
            for owner, shown in self._shown.get(holder, {}).items()
        )

    def held(self, holder: MemberId) -> int:
        """What a member says that it keeps for others, in bytes; only to be shown to people."""
        return sum(claims.get(holder, 0) for claims in self._held.values())

    def offer(self, member: MemberId) -> int:
        """What a member gives, in bytes; 0 when nothing is known of it."""
        return self._offers.get(member, 0)

    def credit(self, member: MemberId) -> int:
        """What a member may take, in bytes."""
        return credit_for(self.offer(member), self.shown(member))

    def account(self, member: MemberId) -> Account:
        """One member's figures."""
        return Account(
            member,
            offer_bytes=self.offer(member),
            held_bytes=self.held(member),
            usage_bytes=self.usage(member),
            shown_bytes=self.shown(member),
            credit_bytes=self.credit(member),
        )


def credit_for(offer_bytes: int, shown_bytes: int) -> int:
    """What may be taken by who gives and has shown so much."""
    return min(offer_bytes, START_CREDIT_BYTES + SHOWN_FACTOR * shown_bytes)
