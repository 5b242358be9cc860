"""Shares move from full friends to empty ones, as few as it takes, after somebody joined.

The plan is pure. Fill levels are bytes of ours at each friend who is there; as long as the fullest
has more than a band above the emptiest who can take more, a share goes from the one to the other,
the largest shares first. So what moves is about what the emptiest lack until they are in the band,
and nothing moves back and forth. No friend gets a second share of a pack.

A friend that gives less than it keeps (it lowered its offer) is relieved first: of our part of its
surplus, whatever the levels are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from chunking.erasure import payload_length_of
from chunking.formats import FormatError
from datachannel.errors import Refusal, RemoteError, Unavailable
from datachannel.messages import Space
from datachannel.requests import query_space
from peer.catalog import PackRow
from peer.member import Emit, Member
from peer.service import progress
from peer.upkeep.audit import Piece
from peer.upkeep.moving import MOVES_AT_ONCE, NotTaken, move_share
from peer.upkeep.scores import read_scores
from signaling.messages import MemberId

log = logging.getLogger("covey.upkeep")

BAND = 0.2
"""The fullest and the emptiest may differ by this part of the mean, or by two shares."""
NIGHT_BYTES = 5 << 30
"""Moved in one night: an hour or two of a usual line in each direction."""
ASK_TIMEOUT_S = 32.0


@dataclass(frozen=True, slots=True)
class Move:
    """One share and where it goes."""

    piece: Piece
    target: MemberId
    size: int


@dataclass(slots=True)
class Level:
    """A friend who is there. `surplus_bytes` is our part of what it keeps above its offer."""

    fill_bytes: int
    free_bytes: int
    surplus_bytes: int = 0


def band_of(levels: Iterable[Level], largest: int) -> int:
    """How far the fullest and the emptiest may be apart, in bytes. Pure."""
    fills = [level.fill_bytes for level in levels]
    return max(round(BAND * sum(fills) / len(fills)), 2 * largest) if fills else 0


def is_even(levels: Mapping[MemberId, Level]) -> bool:
    """Whether nothing needs to move, whatever the shares are. Pure."""
    if any(level.surplus_bytes for level in levels.values()):
        return False
    fills = [level.fill_bytes for level in levels.values()]
    return len(fills) < 2 or max(fills) - min(fills) <= band_of(levels.values(), 0)


class Plan:
    """What is to move. Pure; `levels` are changed as the plan goes on."""

    def __init__(
        self,
        packs: Iterable[tuple[PackRow, Mapping[int, MemberId]]],
        levels: dict[MemberId, Level],
        night_bytes: int,
    ) -> None:
        self._levels, self._left = levels, night_bytes
        self._holders: dict[int, set[MemberId]] = {}
        self._pieces: dict[MemberId, list[tuple[int, Piece]]] = {one: [] for one in levels}
        self._places: dict[tuple[MemberId, MemberId], int] = {}
        self._moved: set[tuple[int, int]] = set()
        for row, placed in packs:
            try:
                size = payload_length_of(row.length, row.needed)
            except FormatError:
                continue
            self._holders[row.pack] = set(placed.values())
            for number, holder in placed.items():
                if holder in levels and number < row.total:
                    self._pieces[holder].append((size, Piece(row, number, holder)))
        for pieces in self._pieces.values():
            pieces.sort(key=lambda one: (-one[0], one[1].row.pack))
        self._largest = max((some[0][0] for some in self._pieces.values() if some), default=0)

    def moves(self) -> Iterator[Move]:
        """All moves, in their order."""
        for source in sorted(self._levels):
            while self._levels[source].surplus_bytes > 0:
                move = self._from(source, forced=True)
                if move is None:
                    break
                yield move
        while (move := self._even_out()) is not None:
            yield move

    def _even_out(self) -> Move | None:
        for source in sorted(self._levels, key=lambda one: (-self._levels[one].fill_bytes, one)):
            move = self._from(source, forced=False)
            if move is not None:
                return move
        return None

    def _from(self, source: MemberId, *, forced: bool) -> Move | None:
        """A share of this friend for the emptiest who can have it."""
        targets = sorted(self._levels, key=lambda one: (self._levels[one].fill_bytes, one))
        for target in targets:
            move = self._between(source, target, forced=forced)
            if move is not None:
                return move
        return None

    def _between(self, source: MemberId, target: MemberId, *, forced: bool) -> Move | None:
        full, empty = self._levels[source], self._levels[target]
        gap = full.fill_bytes - empty.fill_bytes
        if source == target or empty.surplus_bytes > 0:
            return None
        if not forced and gap <= band_of(self._levels.values(), self._largest):
            return None
        pieces = self._pieces[source]
        place = self._places.get((source, target), 0)
        while place < len(pieces):
            size, piece = pieces[place]
            fits = size <= min(empty.free_bytes, self._left) and (forced or 2 * size <= gap)
            key = (piece.row.pack, piece.number)
            if fits and key not in self._moved and target not in self._holders[piece.row.pack]:
                self._places[source, target] = place + 1
                return self._take(Move(piece, target, size))
            place += 1
        if not forced:
            self._places[source, target] = place
        return None

    def _take(self, move: Move) -> Move:
        piece, full, empty = move.piece, self._levels[move.piece.holder], self._levels[move.target]
        full.fill_bytes -= move.size
        full.surplus_bytes = max(0, full.surplus_bytes - move.size)
        empty.fill_bytes += move.size
        empty.free_bytes -= move.size
        self._left -= move.size
        self._moved.add((piece.row.pack, piece.number))
        holders = self._holders[piece.row.pack]
        holders.discard(piece.holder)
        holders.add(move.target)
        return move


# --- doing it -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Rebalanced:
    """What came of it."""

    planned: int = 0
    moved: int = 0
    moved_bytes: int = 0
    relieved: list[str] = field(default_factory=list)
    """Friends who gave less than they kept."""

    @property
    def sentence(self) -> str:
        """For a person; empty when nothing had to move."""
        if not self.planned:
            return ""
        text = f"{self.moved:,} of {self.planned:,} parts were moved to friends with less"
        if self.relieved:
            text += f"; {' and '.join(self.relieved)} gave less than they kept"
        return f"{text}."


async def rebalance(member: Member, emit: Emit, *, night_bytes: int = NIGHT_BYTES) -> Rebalanced:
    """Even out what friends keep for us, as far as a night may. Needs the busy lock."""
    call, result = member.run_blocking, Rebalanced()
    levels = await _levels(member)
    if is_even(levels):
        return result
    result.relieved = [member.friend_name(one) for one in levels if levels[one].surplus_bytes]

    def plan() -> list[Move]:
        catalog = member.catalog
        packs = ((row, catalog.placements(row.pack)) for row in catalog.packs() if row.safe)
        return list(Plan(packs, levels, night_bytes).moves())

    moves = await call(plan)
    result.planned = len(moves)
    waiting = iter(moves)
    failing: set[MemberId] = set()

    async def work() -> None:
        for move in waiting:
            if move.target in failing:
                continue
            try:
                size = await move_share(member, move.piece, move.target)
            except NotTaken as error:
                log.info("%s", error)
                failing.add(move.target)
                continue
            result.moved += size > 0
            result.moved_bytes += size
            emit(
                progress(
                    "care",
                    files=result.moved,
                    files_total=result.planned,
                    shipped_bytes=result.moved_bytes,
                )
            )

    async with asyncio.TaskGroup() as tasks:
        for _ in range(min(MOVES_AT_ONCE, len(moves))):
            tasks.create_task(work())
    return result


async def _levels(member: Member) -> dict[MemberId, Level]:
    """What friends who are there and have a good score keep for us, and could take."""
    fills = await member.run_blocking(member.catalog.bytes_per_holder)
    bad = (await member.run_blocking(read_scores, member.catalog)).bad()
    friends = member.friends.members().values()
    there = sorted(friend.member for friend in friends if friend.online)
    asked = [one for one in there if one not in bad]
    answers = await asyncio.gather(*(_space_at(member, friend) for friend in asked))
    levels: dict[MemberId, Level] = {}
    for friend, space in zip(asked, answers, strict=True):
        if space is None:
            continue
        fill = fills.get(friend, 0)
        over = max(0, space.used_bytes - space.offer_bytes)
        ours = -(-over * fill // space.used_bytes) if space.used_bytes else 0
        free = 0 if over else space.free_for_you_bytes
        levels[friend] = Level(fill, free, min(ours, fill))
    return levels


async def _space_at(member: Member, friend: MemberId) -> Space | None:
    try:
        async with asyncio.timeout(ASK_TIMEOUT_S):
            return await query_space(await member.friends.session(friend))
    except (Unavailable, Refusal, RemoteError, TimeoutError) as error:
        log.info("%s does not say how full it is: %s", friend.hex()[:8], error)
        return None
