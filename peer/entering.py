"""Entering a group: its secrets from name and password, and joining wherever the group is now.

The composition root (main.py) uses it for new members and for lost computers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from chunking.keys import MemberKeys, derive_group
from datachannel.credentials import STAYS, Credentials, MemberCard
from datachannel.joining import WORDS
from datachannel.rendezvous import JoinOutcome, JoinRefused, Unreachable, join_once
from peer import __version__
from peer.blocking import run_blocking
from peer.finding.real import find_near
from peer.installation import Installation
from peer.ports import RandomBytes
from peer.service import Problem
from peer.state import Secrets


@dataclass(frozen=True, slots=True)
class Joined:
    """What joining gives the person."""

    words: Sequence[str]
    created: bool


def credentials_of(secrets: Secrets) -> Credentials:
    """What signals and joining need of them."""
    keys = MemberKeys.from_master(secrets.master)
    return Credentials(
        name_id=secrets.name_id,
        group_seed=secrets.group_seed,
        box_key=secrets.box_key,
        identity_seed=keys.identity_seed,
    )


def card_of(
    credentials: Credentials,
    name: str,
    offer_bytes: int,
    installation: Installation,
    leaving: int = STAYS,
) -> MemberCard:
    """What this member tells of itself."""
    return MemberCard(
        identity_key=credentials.identity_public_key,
        name=name,
        offer_bytes=offer_bytes,
        version=__version__,
        installed=installation.number,
        started=installation.started,
        leaving=leaving,
    )


async def join_somewhere(
    urls: Sequence[str],
    secrets: Secrets,
    card: MemberCard,
    *,
    create: bool,
    random_bytes: RandomBytes,
) -> JoinOutcome:
    """Join at the group's server, or where its members are on the local network meanwhile."""
    credentials = credentials_of(secrets)
    call = partial(join_once, credentials=credentials, card=card, random_bytes=random_bytes)
    try:
        return await _join_any(urls, call, create=create)
    except Unreachable:
        if not (near := await find_near(secrets.box_key)):
            raise
        return await _join_any(near, call, create=False)


async def _join_any(
    urls: Sequence[str], call: Callable[..., Awaitable[JoinOutcome]], *, create: bool
) -> JoinOutcome:
    """Join where the group is, or else start it: at the first, or at the one that we will run."""
    if len(urls) == 1:
        return await call(urls[0], create=create)
    for url in urls:
        try:
            return await call(url, create=False)
        except JoinRefused as refused:
            if refused.code != "unknown_group":
                raise
    if not create:
        raise JoinRefused("unknown_group", WORDS["unknown_group"])
    return await call(urls[0], create=True) if urls else JoinOutcome(created=True, members=0)


async def derive(group: str, password: str, master: bytes) -> Secrets:
    """All secrets of a member; takes a second. Raises Problem."""
    try:
        derived = await run_blocking(derive_group, group, password)
    except ValueError as error:
        raise Problem(f"{str(error).capitalize()}.") from error
    return Secrets(
        master=master,
        group_seed=derived.signing_seed,
        box_key=derived.box_key,
        name_id=derived.name_id,
    )
