"""Every night's audits: each friend who is awake shows a few blocks, and its score follows.

Asked for is what the catalog places with a friend: shares in doubt first, then some by lot. A
share that was wrong or gone two nights running is lost: it is no longer placed there, so that
repair makes it anew, and deleted there (the friend's trash has it for 14 days), or else the friend
would go on listing it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from chunking.formats import ShareName
from peer.catalog import PackRow
from peer.member import Emit, Member
from peer.service import note, progress
from peer.upkeep import reconcile
from peer.upkeep.audit import Piece, Spot, Verdict, audit, choose_spots
from peer.upkeep.scores import Scores, read_scores, write_scores
from signaling.messages import MemberId

DOUBTS_PER_NIGHT = 64
"""Shares in doubt asked for again in one night, of all friends together."""


@dataclass(slots=True)
class Challenged:
    """What came of it."""

    asked: int = 0
    passed: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    """By friend, as a person knows them."""
    lost: int = 0
    """Shares that are to be made anew."""

    @property
    def sentence(self) -> str:
        """For the log and the night's events."""
        if not self.asked:
            return "No friend could be asked to show what it keeps."
        text = f"Friends showed {self.passed} of {self.asked} parts that they were asked for"
        if not self.failed:
            return f"{text}."
        return f"{text}; {' and '.join(sorted(self.failed))} could not."


async def challenge(member: Member, emit: Emit) -> Challenged:
    """Audit every friend who is awake, keep the scores, and take off what is lost."""
    friends = member.friends.members()
    awake = {friend.member for friend in friends.values() if friend.online}
    seed = int.from_bytes(member.random_bytes(8), "big")
    spots = await member.run_blocking(_choose, member, awake, random.Random(seed))
    fetched = 0

    def heard(size: int) -> None:
        nonlocal fetched
        fetched += size
        emit(progress("care", bytes_done=fetched))

    results = await audit(member, spots, heard)
    outcome, lost = await member.run_blocking(judge, member, results)
    for name in sorted(outcome.failed):
        emit(note("", f"{name} could not show a part of what it keeps for you"))
    garbage: dict[MemberId, list[ShareName]] = {}
    for piece in lost:
        garbage.setdefault(piece.holder, []).append(piece.name)
    await reconcile.delete_garbage(member.friends, garbage)
    return outcome


def _choose(member: Member, awake: set[MemberId], chance: random.Random) -> list[Spot]:
    """Shares in doubt, and some by lot."""
    catalog, doubts = member.catalog, set(read_scores(member.catalog).doubts())
    placed: dict[MemberId, set[ShareName]] = {friend: set() for friend in sorted(awake)}
    again: list[Spot] = []
    for row in _safe_packs(member):
        for number, holder in catalog.placements(row.pack).items():
            if holder in awake and number < row.total:
                name = row.shares[number]
                placed[holder].add(name)
                if (holder, name) in doubts and len(again) < DOUBTS_PER_NIGHT:
                    again.append(Spot(Piece(row, number, holder), 0))
    asked = {(spot.piece.holder, spot.piece.name) for spot in again}
    by_lot = choose_spots(_safe_packs(member), placed, chance)
    return again + [s for s in by_lot if (s.piece.holder, s.piece.name) not in asked]


def _safe_packs(member: Member) -> Iterator[PackRow]:
    return (row for row in member.catalog.packs() if row.safe)


def judge(
    member: Member, results: Iterable[tuple[Spot, Verdict]]
) -> tuple[Challenged, list[Piece]]:
    """Keep the scores; what is lost is no longer placed, and returned. It blocks."""
    catalog, now_ns = member.catalog, member.wall_clock()
    outcome, lost = Challenged(), list[Piece]()
    scores = read_scores(catalog)
    for spot, verdict in results:
        piece = spot.piece
        if verdict is Verdict.GOOD:
            scores.passed(piece.holder, piece.name)
            outcome.passed += 1
        elif verdict in (Verdict.WRONG, Verdict.GONE):
            name = member.friend_name(piece.holder)
            outcome.failed[name] = outcome.failed.get(name, 0) + 1
            if scores.failed(piece.holder, piece.name, now_ns):
                lost.append(piece)
        outcome.asked += verdict in (Verdict.GOOD, Verdict.WRONG, Verdict.GONE)
    _keep(member, scores)
    outcome.lost = len(lost)
    if lost:
        catalog.forget_placements([(piece.row.pack, piece.number) for piece in lost])
    return outcome, lost


def _keep(member: Member, scores: Scores) -> None:
    known: Mapping[MemberId, int] = member.catalog.shares_per_holder()
    scores.keep_only({*known, *member.friends.members()})
    write_scores(member.catalog, scores)


def shown_bytes(member: Member) -> Mapping[MemberId, int]:
    """For each friend, how many bytes of ours audits have shown that it keeps. It blocks."""
    scores = read_scores(member.catalog)
    placed = member.catalog.bytes_per_holder()
    return {friend: scores.of(friend).shown_bytes(size) for friend, size in placed.items()}
