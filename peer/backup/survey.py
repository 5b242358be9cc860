"""Before a night: which friends can be reached, and how much would each of them take?

They are asked for the usage statements that they know as well, so that the night plans with them.
"""

from __future__ import annotations

import asyncio
import logging

from datachannel.errors import Refusal, RemoteError, Unavailable
from datachannel.requests import query_space
from peer.member import Member
from peer.service import Problem
from peer.space.sizes import size_text
from peer.space.telling import over_sentence
from peer.upkeep.placement import Candidate
from peer.upkeep.scores import read_scores
from peer.upkeep.statements import hear, own_account
from signaling.messages import MemberId

log = logging.getLogger("covey.night")

SURVEY_TIMEOUT_S = 32.0
"""A friend who does not answer by then gets nothing tonight; two dials fit in."""
RETRY_S = 0.5


async def survey(member: Member) -> list[Candidate]:
    """Who could take shares now. Raises Problem when nobody can."""
    friends = member.friends.members()
    online = sorted(f.member for f in friends.values() if f.online)
    fills = await member.run_blocking(member.catalog.bytes_per_holder)
    spaces = await asyncio.gather(*(_space_at(member, friend) for friend in online))
    candidates = [
        Candidate(friend, free, fills.get(friend, 0))
        for friend, free in zip(online, spaces, strict=True)
        if free is not None and free > 0
    ]
    bad = (await member.run_blocking(read_scores, member.catalog)).bad()
    good = [candidate for candidate in candidates if candidate.member not in bad]
    if candidates:
        return good or candidates  # who fails audits is better than nobody
    if not friends:
        raise Problem(
            "There is nobody else in the group yet.",
            "Ask a friend to join it: same group name, same password.",
        )
    if not online:
        raise Problem(
            f"None of your {len(friends)} friends is online.",
            "Try again when one of them has switched the computer on.",
        )
    if all(free is None for free in spaces):
        raise Problem(
            f"{len(online)} friends are online, but none can be reached from here.",
            "Check this computer's network and firewall, then try again.",
        )
    account = await member.run_blocking(own_account, member)
    if not account.left_bytes:
        raise Problem(
            over_sentence(account)
            or f"You take all of the {size_text(account.credit_bytes)} that you may take.",
            "Give more to the group (`covey space --give SIZE`), or mark less.",
        )
    raise Problem(
        "None of the friends who are online has room for you.",
        "Ask them to give more space.",
    )


async def _space_at(member: Member, friend: MemberId) -> int | None:
    """Bytes that this friend would take; None when it cannot be reached.

    A dial may fail by bad luck (a busy computer, a lost packet), so it is tried again while there
    is time: who is left out here gets nothing all night.
    """
    try:
        async with asyncio.timeout(SURVEY_TIMEOUT_S):
            while True:
                try:
                    session = await member.friends.session(friend)
                    free = (await query_space(session)).free_for_you_bytes
                    await hear(member, session)
                    return free
                except Unavailable as error:
                    log.info("%s cannot be reached: %s", friend.hex()[:8], error)
                    known = member.friends.members().get(friend)
                    if known is None or not known.online:
                        return None
                    await asyncio.sleep(RETRY_S)
    except (Refusal, RemoteError, TimeoutError) as error:
        log.info("%s gives no answer: %s", friend.hex()[:8], error)
        return None
