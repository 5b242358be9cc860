"""What audits say about each friend: a score, and how much of ours it has shown to keep.

As in Storj's reputation (docs, "Storage node reputation", after Jøsang's beta reputation): two sums
of passed and failed audits that fade with each further audit; the score is the passed ones' part.
Storj lets go of a node at once, below 0.96. Among friends a bad score has mild consequences: no new
shares, and what is there is brought elsewhere step by step. Nothing is ever deleted because of it
that is not ours, and the score is good again after good audits.

A share that was wrong or gone is in doubt, and asked for again the next night. If it is wrong or
gone then too, it is lost: one bad answer may have been a bad moment.

An audit proves that a friend can read the bytes, not that they lie on its own disk.

Pure, but for `read_scores` and `write_scores`, which keep them in the catalog.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from chunking.formats import ShareName
from peer.upkeep.presence import FRIENDS_MAX, Keeper
from signaling.messages import MemberId

KEPT_PART = 0.98
"""What an audit leaves of the weight of those before it: about fifty count, two weeks' worth."""
TRUST = 20.0
"""Passed audits that everybody begins with, so that one failure condemns nobody."""
GOOD_FROM = 0.9
"""Below it a friend gets nothing new: more than a tenth of what it was asked for was not there."""
TOLD_AUDITS = 100
"""A failed audit is told until about so many later ones have passed: for about a month."""
DOUBTS_MAX = 1024
"""Shares in doubt that are remembered; the others are met again by chance."""
VERSION = 1

_KEY = "scores"


class Score(msgspec.Struct, array_like=True):
    """Of one friend: faded counts of audits, and the last night on which it failed one."""

    passed: float = 0.0
    failed: float = 0.0
    failed_ns: int = 0
    failed_shares: int = 0

    @property
    def value(self) -> float:
        """From 0, nothing was there, to 1."""
        return (TRUST + self.passed) / (TRUST + self.passed + self.failed)

    @property
    def is_good(self) -> bool:
        """Whether it gets new shares."""
        return self.value >= GOOD_FROM

    @property
    def sentence(self) -> str:
        """For a person; empty when nothing is wrong."""
        if self.failed < KEPT_PART**TOLD_AUDITS:
            return ""
        parts = "part" if self.failed_shares == 1 else "parts"
        text = f"could not show {self.failed_shares:,} {parts} of what it keeps for you"
        return text if self.is_good else f"{text}, and gets nothing new until it can again"

    def shown_bytes(self, placed_bytes: int) -> int:
        """How much of what is placed there counts as shown."""
        audits = self.passed + self.failed
        return min(placed_bytes, int(placed_bytes * self.passed / audits)) if audits else 0


class _Stored(msgspec.Struct, array_like=True):
    version: int
    scores: dict[bytes, Score]
    doubts: list[tuple[bytes, bytes]]


class Scores:
    """The scores of all friends, and the shares in doubt."""

    def __init__(self, data: bytes | None = None) -> None:
        """From what `encode` gave. What cannot be read is begun anew."""
        self._scores: dict[MemberId, Score] = {}
        self._doubts: dict[tuple[MemberId, ShareName], None] = {}
        if data is None:
            return
        try:
            stored = msgspec.msgpack.decode(data, type=_Stored)
        except msgspec.MsgspecError:
            return
        if stored.version == VERSION:
            self._scores = {MemberId(member): score for member, score in stored.scores.items()}
            self._doubts = {(MemberId(m), ShareName(name)): None for m, name in stored.doubts}

    def encode(self) -> bytes:
        """To be kept until the next night."""
        scores = {bytes(member): score for member, score in self._scores.items()}
        doubts = [(bytes(member), bytes(name)) for member, name in self._doubts]
        return msgspec.msgpack.encode(_Stored(VERSION, scores, doubts))

    def of(self, member: MemberId) -> Score:
        """One friend's."""
        return self._scores.get(member, Score())

    def doubts(self) -> list[tuple[MemberId, ShareName]]:
        """Shares to ask for again, with who has them."""
        return list(self._doubts)

    def bad(self) -> set[MemberId]:
        """Friends who get nothing new."""
        return {member for member, score in self._scores.items() if not score.is_good}

    def passed(self, holder: MemberId, name: ShareName) -> None:
        """A friend has shown a share."""
        score = self._faded(holder)
        score.passed += 1
        self._doubts.pop((holder, name), None)

    def failed(self, holder: MemberId, name: ShareName, now_ns: int) -> bool:
        """A friend could not show a share; whether it was so for the second time, so that the
        share is lost. `now_ns` is the night's time, the same for all of its audits."""
        score = self._faded(holder)
        score.failed += 1
        score.failed_shares = 1 + score.failed_shares * (score.failed_ns == now_ns)
        score.failed_ns = now_ns
        if (holder, name) in self._doubts:
            del self._doubts[holder, name]
            return True
        if len(self._doubts) < DOUBTS_MAX:
            self._doubts[holder, name] = None
        return False

    def keep_only(self, members: Iterable[MemberId]) -> None:
        """Forget everybody else; FRIENDS_MAX at most stay."""
        stay = set(sorted(members)[:FRIENDS_MAX])
        self._scores = {member: s for member, s in self._scores.items() if member in stay}
        self._doubts = {doubt: None for doubt in self._doubts if doubt[0] in stay}

    def _faded(self, holder: MemberId) -> Score:
        score = self._scores.setdefault(holder, Score())
        score.passed *= KEPT_PART
        score.failed *= KEPT_PART
        return score


def read_scores(keeper: Keeper) -> Scores:
    """What is known by now."""
    return Scores(keeper.get_meta(_KEY))


def write_scores(keeper: Keeper, scores: Scores) -> None:
    """Keep them until the next night."""
    keeper.set_meta(_KEY, scores.encode())
