"""Ask a holder for bytes of a share, and judge the answer by nothing but the share's name.

A range of blocks comes with a Merkle proof, so that 64 KiB show whether a holder can read what it
listed: a holder computes the proof from the whole share, so rot anywhere in it shows. It proves
access, not possession: a holder might fetch the bytes from elsewhere.

A share is called wrong only after two wrong answers, and never by what the catalog says of it: a
catalog that lies must not make honest friends look like liars.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from enum import Enum, auto

from chunking.formats import BLOCK_BYTES, FormatError, ShareName
from chunking.share import (
    ShareHeader,
    decode_header,
    encode_header,
    payload_length,
    payload_length_of,
    verify_range,
)
from datachannel.errors import Refusal, RemoteError, Unavailable
from datachannel.requests import get_share
from peer.catalog import PackRow
from peer.member import Member
from signaling.messages import MemberId

AUDITS_PER_HOLDER = 4
"""Shares of each friend of which a block is fetched: 256 KiB a friend."""
GIVE_UP_S = 30.0
"""An answer of which nothing arrives for so long does not come."""

Listings = Mapping[MemberId, Set[ShareName]]


class Verdict(Enum):
    """What an answer says about a share at a holder."""

    GOOD = auto()
    WRONG = auto()
    """The holder answered with other bytes."""
    GONE = auto()
    """The holder says that it has no such share."""
    SILENT = auto()
    """No answer now; nothing is known."""
    MISFILED = auto()
    """The bytes have the name, but are of another pack or number than the catalog says."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Share `number` of a pack, at one holder that lists it."""

    row: PackRow
    number: int
    holder: MemberId

    @property
    def name(self) -> ShareName:
        """The share's name."""
        return self.row.shares[self.number]


@dataclass(frozen=True, slots=True)
class Spot:
    """One block of a share, to be asked for."""

    piece: Piece
    block: int


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict; `data` are verified bytes when it is GOOD."""

    verdict: Verdict
    data: bytes = b""


async def ask(member: Member, piece: Piece, first_block: int = 0, count: int = 0) -> Judged:
    """Blocks of a share (all when `count` is 0), twice if the first answer is wrong."""
    judged = await _ask_once(member, piece, first_block, count)
    if judged.verdict is not Verdict.WRONG:
        return judged
    again = await _ask_once(member, piece, first_block, count)
    return judged if again.verdict is Verdict.SILENT else again


async def _ask_once(member: Member, piece: Piece, first_block: int, count: int) -> Judged:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(GIVE_UP_S) as deadline:
            session = await member.friends.session(piece.holder)
            async with get_share(session, piece.name, first_block, count) as (found, body):
                if payload_length(decode_header(found.header)) != found.length:
                    return Judged(Verdict.WRONG)
                parts: list[bytes] = []
                async for data in body:
                    deadline.reschedule(loop.time() + GIVE_UP_S)
                    parts.append(data)
            deadline.reschedule(None)
            return await member.run_blocking(
                _judge, member.member, piece, found.header, first_block, parts, found.proof
            )
    except Refusal as refusal:
        if refusal.code == "bad_share" and count:
            # It has fewer blocks than it should: the whole of it tells whose fault that is.
            return await _ask_once(member, piece, 0, 0)
        return Judged(Verdict.GONE if refusal.code == "not_found" else Verdict.SILENT)
    except (RemoteError, FormatError):
        return Judged(Verdict.WRONG)
    except (Unavailable, TimeoutError):
        return Judged(Verdict.SILENT)


def _judge(
    owner: MemberId,
    piece: Piece,
    header: bytes,
    first_block: int,
    parts: list[bytes],
    proof: tuple[bytes, ...],
) -> Judged:
    """Raises FormatError for bytes that do not have the share's name."""
    data = b"".join(parts)
    verify_range(piece.name, header, first_block, data, proof)
    row = piece.row
    try:
        expected = encode_header(ShareHeader(owner, row.id, row.needed, piece.number, row.length))
    except FormatError:
        return Judged(Verdict.MISFILED)
    return Judged(Verdict.GOOD, data) if header == expected else Judged(Verdict.MISFILED)


def choose_spots(rows: Iterable[PackRow], listings: Listings, chance: random.Random) -> list[Spot]:
    """A random block of `AUDITS_PER_HOLDER` random shares of each holder (or of all it has)."""
    chosen: dict[MemberId, list[Piece]] = {holder: [] for holder in listings}
    seen = dict.fromkeys(listings, 0)
    for row in rows:
        for number, name in enumerate(row.shares):
            for holder, names in listings.items():
                if name not in names:
                    continue
                seen[holder] += 1
                place = chance.randrange(seen[holder])  # every share is as likely as any other
                if len(chosen[holder]) < AUDITS_PER_HOLDER:
                    chosen[holder].append(Piece(row, number, holder))
                elif place < AUDITS_PER_HOLDER:
                    chosen[holder][place] = Piece(row, number, holder)
    return [Spot(piece, _a_block(piece.row, chance)) for some in chosen.values() for piece in some]


def _a_block(row: PackRow, chance: random.Random) -> int:
    try:
        payload = payload_length_of(row.length, row.needed)
    except FormatError:
        return 0
    return chance.randrange(-(-payload // BLOCK_BYTES))


async def audit(
    member: Member, spots: Iterable[Spot], progress: Callable[[int], None]
) -> list[tuple[Spot, Verdict]]:
    """Ask for all spots, each holder for one after the other. `progress` hears bytes fetched."""
    by_holder: dict[MemberId, list[Spot]] = {}
    for spot in spots:
        by_holder.setdefault(spot.piece.holder, []).append(spot)
    results: list[tuple[Spot, Verdict]] = []

    async def ask_one_holder(some: list[Spot]) -> None:
        for spot in some:
            judged = await ask(member, spot.piece, spot.block, 1)
            progress(len(judged.data))
            results.append((spot, judged.verdict))
            if judged.verdict is Verdict.SILENT:
                return  # one wait is enough

    async with asyncio.TaskGroup() as tasks:
        for some in by_holder.values():
            tasks.create_task(ask_one_holder(some))
    return results
