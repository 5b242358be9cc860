"""Every night friends prove some of what they keep for us: what their credit is made of.

Of each friend the last audit counts: how many of the blocks that it was asked for were right. Who
was not asked, or was away, keeps what it had shown before.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec

from peer.member import Member
from peer.upkeep import reconcile
from peer.upkeep.audit import Spot, Verdict, audit, choose_spots
from signaling.messages import MemberId

FRIENDS_MAX = 256
"""As many are remembered; a group has fewer members."""

_KEY = "shown"


@dataclass(frozen=True, slots=True)
class Round:
    """One night's audits."""

    asked: int
    right: int

    @property
    def sentence(self) -> str:
        """For a person; empty when nobody was there to be asked."""
        if not self.asked:
            return ""
        return f"Friends proved {self.right} of {self.asked} blocks that they were asked for."


async def audit_friends(member: Member) -> Round:
    """Ask every friend who is there for some blocks, and remember what came of it.

    Only what a friend lists is asked for: what it lists no more is gone, and that is told and
    mended elsewhere (`peer.upkeep.reconcile`).
    """
    listings = await reconcile.ask_all(member.friends)
    seed = int.from_bytes(member.random_bytes(8), "big")

    def choose() -> list[Spot]:
        rows = (row for row in member.catalog.packs() if row.safe)
        return choose_spots(rows, listings, random.Random(seed))

    results = await audit(member, await member.run_blocking(choose), lambda size: None)
    await member.run_blocking(note_audit, member.catalog, results)
    verdicts = [verdict for _, verdict in results if verdict is not Verdict.SILENT]
    return Round(len(verdicts), verdicts.count(Verdict.GOOD))


class Audited(msgspec.Struct, frozen=True, array_like=True):
    """A friend's last audit: blocks that were right, and all that it was asked for."""

    right: int
    asked: int


class Keeper(Protocol):
    """Where small values are kept by name: the catalog."""

    def get_meta(self, key: str) -> bytes | None: ...
    def set_meta(self, key: str, value: bytes) -> None: ...


_decoder = msgspec.msgpack.Decoder(dict[bytes, Audited])


def note_audit(keeper: Keeper, results: Iterable[tuple[Spot, Verdict]]) -> None:
    """These blocks were asked for just now. It blocks."""
    right: dict[bytes, int] = {}
    asked: dict[bytes, int] = {}
    for spot, verdict in results:
        if verdict in (Verdict.SILENT, Verdict.MISFILED):
            continue  # it says nothing about the friend
        holder = bytes(spot.piece.holder)
        asked[holder] = asked.get(holder, 0) + 1
        right[holder] = right.get(holder, 0) + (verdict is Verdict.GOOD)
    now = {holder: Audited(right[holder], asked[holder]) for holder in asked}
    known = {holder: one for holder, one in _read(keeper).items() if holder not in now}
    kept = dict(list({**known, **now}.items())[-FRIENDS_MAX:])
    keeper.set_meta(_KEY, msgspec.msgpack.encode(kept))


def shown_bytes(member: Member) -> Mapping[MemberId, int]:
    """For each friend, how many bytes of ours it has shown to keep. It blocks."""
    audited = _read(member.catalog)
    return {
        holder: size * audited[holder].right // audited[holder].asked
        for holder, size in member.catalog.bytes_per_holder().items()
        if holder in audited and audited[holder].asked
    }


def _read(keeper: Keeper) -> dict[bytes, Audited]:
    data = keeper.get_meta(_KEY)
    try:
        return {} if data is None else _decoder.decode(data)
    except msgspec.MsgspecError:
        return {}
