"""Move one share from a friend to another: copied, proven, acknowledged, and only then deleted.

It may be broken off at any point. Until the new holder has it durably, nothing has changed; after
that the old copy is surplus, which goes now or when the next night compares (`reconcile`).
"""

from __future__ import annotations

import asyncio
import logging

from chunking.formats import ShareName
from chunking.share import ShareHeader, encode_header
from datachannel.errors import Refusal, RemoteError, Unavailable
from datachannel.requests import delete_shares, put_share
from peer.member import Member
from peer.upkeep.audit import Piece, Verdict, ask
from signaling.messages import MemberId

log = logging.getLogger("covey.upkeep")

MOVES_AT_ONCE = 3
"""Shares in memory at a time."""
PUT_TIMEOUT_S = 600.0
"""For one share of up to 80 MB over a slow line."""
TELL_TIMEOUT_S = 30.0


class NotTaken(Exception):
    """The friend who was to get the share did not take it."""


async def move_share(member: Member, piece: Piece, target: MemberId) -> int:
    """Bring a share to another friend; how many bytes that were, 0 when its holder does not show
    it. Raises NotTaken."""
    judged = await ask(member, piece)
    if judged.verdict is not Verdict.GOOD:
        return 0
    try:
        await _put(member, piece, target, judged.data)
    except (Unavailable, Refusal, RemoteError, TimeoutError) as error:
        raise NotTaken(f"{target.hex()[:8]} does not take a share: {error}") from error
    placed = [(piece.row.pack, piece.number, target)]
    await member.run_blocking(member.catalog.record_placements, placed, set())
    await _let_go(member, piece.holder, piece.name)
    return len(judged.data)


async def _put(member: Member, piece: Piece, target: MemberId, data: bytes) -> None:
    row = piece.row
    header = ShareHeader(member.member, row.id, row.needed, piece.number, row.length)

    async def read(offset: int, size: int) -> bytes:
        return data[offset : offset + size]

    async with asyncio.timeout(PUT_TIMEOUT_S):
        session = await member.friends.session(target)
        await put_share(session, piece.name, encode_header(header), len(data), read)


async def _let_go(member: Member, holder: MemberId, name: ShareName) -> None:
    try:
        async with asyncio.timeout(TELL_TIMEOUT_S):
            await delete_shares(await member.friends.session(holder), [name])
    except (Unavailable, Refusal, RemoteError, TimeoutError) as error:
        log.info("a share that was moved stays where it was until next time: %s", error)
