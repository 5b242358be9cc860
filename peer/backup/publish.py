"""The root record: what makes a snapshot complete, and what a lost computer starts from.

It is written here, durably, before any friend gets it, so that two different records never carry
the same counter. It is the truth about which snapshots there are; the catalog follows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from chunking.formats import NONCE_BYTES, PACK_INDEX, ChunkId, FormatError, SnapshotRef
from chunking.root import RootRecord, open_root, seal_root
from datachannel.errors import Refusal, RemoteError, Unavailable
from datachannel.requests import put_root
from peer.backup.indexing import pack_ref
from peer.backup.messages import NightReady
from peer.backup.settings import next_settings
from peer.catalog import SnapshotRow
from peer.member import Member
from peer.restore.rebuild import root_of
from peer.service import Problem
from signaling.messages import MemberId

ROOT_TIMEOUT_S = 60.0


def read_record(member: Member) -> RootRecord | None:
    """Our root record, after the catalog's snapshots were brought in line with it.

    The record is the truth; a crash may have left the catalog behind.
    """
    record = member.read_root()
    rows = record.snapshots if record is not None else ()
    member.catalog.set_snapshots([SnapshotRow(s.id, s.time_ns, s.files, s.bytes) for s in rows])
    return record


def lacks_index(member: Member, record: RootRecord) -> bool:
    """Whether the catalog was lost, so that it must be filled from friends first."""
    return bool(member.catalog.unknown(ref.pack for ref in record.index_packs))


def settle(member: Member, record: RootRecord | None) -> None:
    """Let the catalog forget whatever this root record does not make true."""
    named = record.index_packs if record is not None else ()
    member.catalog.settle(ref.pack for ref in named)


def make_root(member: Member, ready: NightReady, marks: list[bytes]) -> bytes:
    """Write the root record that makes the snapshot complete; all its packs are safe.

    Raises Problem when another computer is this member now.
    """
    if why := member.stopped():
        raise Problem(why)
    before = member.read_root()
    counter = (before.counter if before else 0) + 1
    kept = set(ready.kept)
    older = tuple(s for s in (before.snapshots if before else ()) if s.id in kept)
    new = SnapshotRef(ChunkId(ready.snapshot), ready.time_ns, ready.files, ready.size, True)
    settings = next_settings(member.catalog, before.settings if before else {}, ready.hold, counter)
    record = RootRecord(
        counter=counter,
        time_ns=ready.time_ns,
        snapshots=(*older, new),
        index_packs=tuple(map(pack_ref, member.catalog.packs(kind=PACK_INDEX))),
        marks=tuple(marks),
        settings={**settings, "member_name": member.name, "offer_bytes": member.offer_bytes},
    )
    data = seal_root(member.keys, record, member.random_bytes(NONCE_BYTES))
    # A record that is ahead of its catalog would have the packs forgotten that it needs.
    member.catalog.make_durable()
    member.write_root(data)
    read_record(member)
    return data


def newer_elsewhere() -> Problem:
    """What to say when friends have a root record that this computer did not write."""
    return Problem(
        "A friend has a newer record of your backups than this computer.",
        "Another computer has backed up with the same recovery words. Stop it, and say "
        "`covey check --rebuild` here: this one then goes on with what the other one did.",
    )


async def refuse_newer_elsewhere(member: Member, friends: Iterable[MemberId]) -> None:
    """Raise Problem when a friend has a root record of ours that another computer wrote.

    Our own next one would hide it, and what only it needs would be deleted at friends.
    """
    own = await member.run_blocking(member.read_root)
    asked = [root_of(member.friends, friend) for friend in friends]
    for data in await asyncio.gather(*asked):
        try:
            found = open_root(member.keys, data) if data else None
        except FormatError:
            continue  # a friend that lies or whose disk is failing
        if found is not None and (own is None or order_of(found) > order_of(own)):
            raise newer_elsewhere()


def order_of(record: RootRecord) -> tuple[int, int]:
    """Which of two records counts; of two with one counter, written by two computers, the later."""
    return record.counter, record.time_ns


async def publish(member: Member, data: bytes) -> list[MemberId]:
    """Give every friend who can be reached the root record; who has it durably.

    Whom the server calls offline may still have a link to us, while the server starts anew, say.
    """
    friends = sorted(member.friends.members())
    told = await asyncio.gather(*(_tell(member, friend, data) for friend in friends))
    return [friend for friend, ok in zip(friends, told, strict=True) if ok]


async def _tell(member: Member, friend: MemberId, data: bytes) -> bool:
    try:
        async with asyncio.timeout(ROOT_TIMEOUT_S):
            await put_root(await member.friends.session(friend), data)
    except Refusal as refusal:
        if refusal.code == "stale":
            raise newer_elsewhere() from refusal
        return False
    except (Unavailable, RemoteError, TimeoutError):
        return False
    return True
