"""Give what you take, as a holder enforces it: no share for an owner who takes more than it may.

A holder goes by its own disk for what the owner has here, and by the newest statements that it
knows for what the owner has elsewhere. Nothing that lies here is ever touched for this rule: it
refuses more, and takes nothing away.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Protocol

from peer.space.book import StatementBook
from peer.space.ledger import Ledger
from peer.space.sizes import size_text
from signaling.messages import MemberId

COUNTED_FOR_S = 60.0
"""What an owner has here is counted anew, file by file, so often; puts are added meanwhile."""
COUNTED_AGAIN_S = 5.0
"""Before a refusal it is counted once more, unless that was just done: it may have been deleted."""


class OverOffer(Exception):
    """The owner would take more than it may; the text says so, with numbers, to the owner."""


class Kept(Protocol):
    """What this member keeps for others."""

    def used_by(self, owner: MemberId) -> int: ...


class Fairness:
    """The rule at one holder. Its methods block and may be called from any thread."""

    def __init__(
        self,
        own: MemberId,
        book: StatementBook,
        kept: Kept,
        *,
        offers: Callable[[], Mapping[MemberId, int]],
        monotonic_s: Callable[[], float],
    ) -> None:
        self._own, self._book, self._kept = own, book, kept
        self._offers, self._monotonic_s = offers, monotonic_s
        self._lock = threading.Lock()
        self._here: dict[MemberId, tuple[float, int]] = {}
        self._added: tuple[int, dict[MemberId, int], Ledger] | None = None

    def to_tell(self) -> list[bytes]:
        """The usage statements that go round."""
        return self._book.to_tell()

    def ledger(self) -> Ledger:
        """What all statements add up to now; added up anew only when something is new."""
        version, offers = self._book.version, dict(self._offers())
        if self._added is None or self._added[:2] != (version, offers):
            self._added = (version, offers, Ledger(self._book.statements(), offers))
        return self._added[2]

    def left(self, owner: MemberId) -> int:
        """What this owner may still put here, as far as this rule goes, in bytes."""
        with self._lock:
            return self._left(self.ledger(), owner, COUNTED_FOR_S)

    def admit(self, owner: MemberId, more_bytes: int) -> None:
        """Let an owner put so many bytes, and count them. Raises OverOffer."""
        with self._lock:
            ledger = self.ledger()
            left = self._left(ledger, owner, COUNTED_FOR_S)
            if more_bytes > left:
                left = self._left(ledger, owner, COUNTED_AGAIN_S)
            counted_at, here = self._here[owner]
            if more_bytes > left:
                raise OverOffer(self._why(ledger, owner, here))
            self._here[owner] = (counted_at, here + more_bytes)

    def _left(self, ledger: Ledger, owner: MemberId, good_for_s: float) -> int:
        now = self._monotonic_s()
        counted_at, here = self._here.get(owner, (float("-inf"), 0))
        if now - counted_at > good_for_s:
            here = self._kept.used_by(owner)
            self._here[owner] = (now, here)
        usage = ledger.usage(owner, seen_by=self._own, held_bytes=here)
        return max(0, ledger.credit(owner) - usage)

    def _why(self, ledger: Ledger, owner: MemberId, here: int) -> str:
        usage = size_text(ledger.usage(owner, seen_by=self._own, held_bytes=here))
        offer, credit = ledger.offer(owner), ledger.credit(owner)
        if credit == offer:
            return f"you take {usage} of the group and give {size_text(offer)}"
        return (
            f"you take {usage} of the group; as long as audits have shown no more than "
            f"{size_text(ledger.shown(owner))} of what you keep, you may take {size_text(credit)}"
        )
