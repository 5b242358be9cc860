"""An owner signs its duty and gives it to its friends, so that they can act when it is gone.

The duty is as new as a root record: it bears that one's counter, which rises also over a recovery.
A short one is made anew after each night; a long one, whose copies would be more than what a quiet
night ships, every seventh night.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from chunking.duty import read_duty, sign_duty
from chunking.formats import (
    DUTY_BYTES_MAX,
    ID_BYTES,
    PACK_DATA,
    PACK_INDEX,
    PACK_META,
    FormatError,
    PackRef,
)
from datachannel.credentials import STAYS
from datachannel.errors import Refusal, RemoteError, Unavailable
from datachannel.requests import put_duty
from peer.backup.indexing import pack_ref
from peer.catalog import Catalog
from peer.member import Member
from peer.state import write_atomic
from peer.upkeep.presence import read_presence
from signaling.messages import MemberId

log = logging.getLogger("covey.duty")

GRACE_DAYS = 14
"""Observed days without the owner until the first deputy may act. Owners who are on holiday come
back; until then their packs have the spare shares that they were given."""
DEPUTIES_MAX = 20
SHORT_BYTES = 256 << 10
RENEW_LONG_EVERY = 7
TELL_TIMEOUT_S = 300.0
REF_OVERHEAD_BYTES = 64
"""Of a pack in a duty beside its id and the names, at most."""
FRAME_BYTES = 8192
"""Of everything else in it."""

_TOLD = "duty told"
_ORDER = (PACK_INDEX, PACK_META, PACK_DATA)
"""Without index and metadata nothing else can be found."""


@dataclass(frozen=True, slots=True)
class Published:
    """What came of it."""

    packs: int = 0
    told: int = 0
    friends: int = 0

    @property
    def sentence(self) -> str:
        """For the log and the night's events."""
        if not self.friends:
            return ""
        return f"{self.told} of {self.friends} friends could repair {self.packs} packs without us."


class _Told(msgspec.Struct, array_like=True):
    counter: int
    members: list[bytes]


async def publish_duty(member: Member) -> Published:
    """Make the duty that is due, and give it to every friend that is there and lacks it."""
    made = await member.run_blocking(_current, member)
    if made is None or member.stopped():
        return Published()
    record, counter, packs = made
    told = await member.run_blocking(_told_before, member.catalog, counter)
    friends = sorted(m for m, friend in member.friends.members().items() if friend.online)
    lacking = [friend for friend in friends if friend not in told]
    answers = await asyncio.gather(*(_give(member, friend, record) for friend in lacking))
    told |= {friend for friend, ok in zip(lacking, answers, strict=True) if ok}
    note = msgspec.msgpack.encode(_Told(counter, sorted(told)))
    await member.run_blocking(member.catalog.set_meta, _TOLD, note)
    return Published(packs, len(told & set(friends)), len(friends))


def duty_file(home: Path) -> Path:
    """Where our own newest duty is kept."""
    return home / "duty"


def _current(member: Member) -> tuple[bytes, int, int] | None:
    """(record, counter, packs) of the newest duty, signed anew when it is due; None before the
    first root record."""
    root = member.read_root()
    if root is None:
        return None
    deputies = choose_deputies(member)
    path = duty_file(member.home)
    try:
        before = path.read_bytes()
        duty = read_duty(before)
    except (OSError, FormatError):
        pass
    else:
        age = root.counter - duty.counter
        is_same = set(duty.deputies) == set(deputies)
        if age == 0 or (len(before) > SHORT_BYTES and age < RENEW_LONG_EVERY and is_same):
            return before, duty.counter, len(duty.packs)
    packs = choose_packs(member.catalog)
    record = sign_duty(member.keys, root.counter, member.wall_clock(), GRACE_DAYS, deputies, packs)
    write_atomic(path, record)
    return record, root.counter, len(packs)


def choose_deputies(member: Member) -> list[MemberId]:
    """The friends who are to act, the most reliable first; nobody who is leaving."""
    presence = read_presence(member.catalog)
    friends = member.friends.members()
    staying = [one for one, friend in friends.items() if friend.card.leaving == STAYS]
    return sorted(staying, key=lambda one: (-round(presence.at_once(one), 2), one))[:DEPUTIES_MAX]


def choose_packs(catalog: Catalog) -> tuple[PackRef, ...]:
    """As many safe packs as a duty has room for, those first without which nothing can be found."""
    room = DUTY_BYTES_MAX - FRAME_BYTES
    chosen: list[PackRef] = []
    for kind in _ORDER:
        for ref in _refs(catalog, kind):
            room -= ID_BYTES + len(ref.shares) + REF_OVERHEAD_BYTES
            if room < 0:
                break
            chosen.append(ref)
    return tuple(sorted(chosen, key=lambda ref: ref.pack))


def _refs(catalog: Catalog, kind: int) -> Iterable[PackRef]:
    return (pack_ref(row) for row in catalog.packs(kind=kind) if row.safe)


def _told_before(catalog: Catalog, counter: int) -> set[MemberId]:
    try:
        told = msgspec.msgpack.decode(catalog.get_meta(_TOLD) or b"", type=_Told)
    except msgspec.MsgspecError:
        return set()
    return set(map(MemberId, told.members)) if told.counter == counter else set()


async def _give(member: Member, friend: MemberId, record: bytes) -> bool:
    try:
        async with asyncio.timeout(TELL_TIMEOUT_S):
            await put_duty(await member.friends.session(friend), record)
    except (Unavailable, Refusal, RemoteError, TimeoutError) as error:
        log.info("%s does not keep our duty: %s", friend.hex()[:8], error)
        return False
    return True
