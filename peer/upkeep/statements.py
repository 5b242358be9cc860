"""Usage statements go round: friends who are there are asked for what they know, and ours is made.

A night begins by hearing what its candidates know (`hear`, from `peer.backup.survey`), so that it
plans with the newest figures; after it, all friends who are there are asked (`exchange`), and ours
is signed anew with what is held and what audits have shown by then.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from chunking.formats import Dealing
from datachannel.errors import Refusal, RemoteError, Unavailable
from datachannel.link import PeerSession
from datachannel.requests import get_statements
from peer.member import Member
from peer.space.ledger import Account, Ledger
from signaling.messages import MemberId

log = logging.getLogger("covey.space")

FRIENDS_ASKED_MAX = 32
"""In one exchange, drawn by lot in larger groups: what one of them knows, soon all know."""
ASK_TIMEOUT_S = 32.0
TELL_EVERY_S = 3600.0
"""So often our statement is made anew while the agent runs, if it says anything new."""
ASK_EVERY_S = 86_400.0
"""So often friends are asked, nights or no nights."""


class Kept(Protocol):
    """What this member keeps for its friends."""

    def used_by_owner(self) -> Mapping[bytes, int]: ...


Shown = Callable[[], Mapping[MemberId, int]]
"""For each friend, how many bytes of ours it has shown by audits to keep. It may block."""


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What came of asking."""

    asked: int
    answered: int
    news: int
    """Statements that were new to us."""

    @property
    def sentence(self) -> str:
        """For the log and the night's events."""
        return f"{self.answered} of {self.asked} friends told {self.news} new usage statements."


async def hear(member: Member, session: PeerSession) -> int:
    """Learn what one friend knows; how much of it is new. Raises Unavailable, TimeoutError.

    A friend that gives none, or gives nonsense, is believed in nothing and costs nothing else.
    """
    try:
        async with asyncio.timeout(ASK_TIMEOUT_S):
            told = await get_statements(session)
    except (Refusal, RemoteError) as error:
        log.info("a friend tells no usage statements: %s", error)
        return 0
    members = set(member.friends.members())
    return await member.run_blocking(member.book.learn, told, members)


async def tell(member: Member, kept: Kept, shown: Shown) -> bool:
    """Sign what we say now, for friends to fetch; whether it is different from before."""

    def sign() -> bool:
        held, seen = kept.used_by_owner(), shown()
        others = sorted({*held, *seen} & set(members))
        dealings = tuple(
            Dealing(bytes(other), held.get(other, 0), seen.get(MemberId(other), 0))
            for other in others
        )
        return member.book.tell_own(member.keys, member.wall_clock, member.offer_bytes, dealings)

    members = set(member.friends.members()) - {member.member}
    return await member.run_blocking(sign)


async def exchange(member: Member, kept: Kept, shown: Shown) -> Exchanged:
    """Ask friends who are there for what they know, and say ours anew.

    They are asked first: after a disk was lost, they know the counter that ours must exceed.
    """
    there = sorted(f.member for f in member.friends.members().values() if f.online)
    chance = random.Random(int.from_bytes(member.random_bytes(8), "big"))
    asked = chance.sample(there, min(len(there), FRIENDS_ASKED_MAX))
    heard = await asyncio.gather(*(_ask(member, friend) for friend in asked))
    await tell(member, kept, shown)
    answered = [news for news in heard if news is not None]
    return Exchanged(len(asked), len(answered), sum(answered))


async def keep_telling(member: Member, kept: Kept, shown: Shown) -> None:
    """Until cancelled. Who has nothing to back up has no nights, and still tells what it keeps, and
    must know what the others say to be fair."""
    asked_at = asyncio.get_running_loop().time()
    while True:
        await asyncio.sleep(TELL_EVERY_S)
        now = asyncio.get_running_loop().time()
        try:
            if now - asked_at < ASK_EVERY_S:
                await tell(member, kept, shown)
                continue
            asked_at = now
            await exchange(member, kept, shown)
        except OSError as error:
            log.error("our usage statement cannot be kept: %s", error.strerror)


async def _ask(member: Member, friend: MemberId) -> int | None:
    try:
        async with asyncio.timeout(ASK_TIMEOUT_S):
            return await hear(member, await member.friends.session(friend))
    except (Unavailable, TimeoutError) as error:
        log.info("%s cannot be asked for usage statements: %s", friend.hex()[:8], error)
        return None


def ledger_of(member: Member) -> Ledger:
    """What all statements that are known add up to, with the offers of today's cards."""
    offers = {one: friend.card.offer_bytes for one, friend in member.friends.members().items()}
    return Ledger(member.book.statements(), {**offers, member.member: member.offer_bytes})


def own_account(member: Member) -> Account:
    """Our own figures. What friends acknowledged tonight counts although none of them has signed a
    statement since. It blocks."""
    account = ledger_of(member).account(member.member)
    known = sum(member.catalog.bytes_per_holder().values())
    return replace(account, usage_bytes=max(account.usage_bytes, known))
