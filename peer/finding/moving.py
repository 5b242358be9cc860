"""Move a group to another server: try the server, then tell everybody."""

from __future__ import annotations

from dataclasses import replace

from datachannel.credentials import Credentials, MemberCard
from datachannel.moving import sign_move
from datachannel.rendezvous import JoinRefused, Rendezvous, Unreachable, try_server
from peer.finding.order import LAN, is_url
from peer.finding.servers import KnownServers
from peer.ports import RandomBytes
from peer.service import Problem

SEED_BYTES = 32
_UNCHANGED = "Nothing was changed. Check the address, and whether `covey serve` runs there."


async def move_group(
    url: str,
    *,
    alone: bool,
    rendezvous: Rendezvous,
    servers: KnownServers,
    credentials: Credentials,
    card: MemberCard,
    now: float,
    random_bytes: RandomBytes,
) -> None:
    """Move the group; all members follow, those who are away when they come back. `alone` moves
    this member only, which is what is left when the old server is gone for good.

    The new server is tried first, by somebody who is nobody: joining as ourselves would end our own
    connection if the two are one server by two names. Raises Problem.
    """
    if url != LAN:
        if not is_url(url):
            raise Problem(f"«{url}» is not the address of a server.", "Begin with https://.")
        nobody = replace(credentials, identity_seed=random_bytes(SEED_BYTES))
        trying = MemberCard(nobody.identity_public_key, "trying a server", 0, card.version)
        try:
            await try_server(url, nobody, trying, random_bytes=random_bytes)
        except Unreachable as error:
            raise Problem(f"The new server cannot be reached: {error}.", _UNCHANGED) from error
        except JoinRefused as refused:
            text = f"The new server does not take the group: {refused.text}."
            raise Problem(text, _UNCHANGED) from refused
    if alone:
        await servers.go(url)
        return
    if url == servers.place.url and not servers.place.previous:
        raise Problem("The group is at this server already.")
    notice = sign_move(credentials, url, moves=servers.place.moves, now=now)
    try:
        counts = await rendezvous.move(notice)
    except Unreachable as error:
        step = "See `covey status`: it may have heard it all the same."
        raise Problem(f"The old server does not answer: {error}.", step) from error
    await servers.keep()
    if counts != notice:
        raise Problem(
            "Somebody has moved the group meanwhile.", "See `covey status`, and try again."
        )
