"""The root record: what makes a snapshot complete, and what a lost computer starts from.

It is written here, durably, before any friend gets it, so that two different records never carry
the same counter. It is the truth about which snapshots there are; the catalog follows it.
"""

from __future__ import annotations

import asyncio

from chunking.formats import NONCE_BYTES, PACK_INDEX, ChunkId, PackId, PackRef, SnapshotRef
from chunking.root import RootRecord, seal_root
from datachannel.errors import Refusal, RemoteError, Unavailable
from datachannel.requests import put_root
from peer.backup.messages import NightReady
from peer.catalog import SnapshotRow
from peer.member import Member
from peer.service import Problem
from signaling.messages import MemberId

ROOT_TIMEOUT_S = 60.0


def sync_snapshots(member: Member) -> RootRecord | None:
    """The root record is the truth about snapshots; a crash may have left the catalog behind.

    Returns the record when the catalog does not know all index packs that it names: then the
    catalog was lost, and must be filled from friends before anything is built on it.
    """
    record = member.read_root()
    if record is None:
        return None
    member.catalog.set_snapshots(
        [SnapshotRow(s.id, s.time_ns, s.files, s.bytes) for s in record.snapshots]
    )
    known = {row.id for row in member.catalog.packs(kind=PACK_INDEX)}
    return None if all(ref.pack in known for ref in record.index_packs) else record


def make_root(member: Member, ready: NightReady, marks: list[bytes]) -> bytes:
    """Write the root record that makes the snapshot complete; all its packs are safe."""
    before = member.read_root()
    catalog = member.catalog
    new = SnapshotRef(ChunkId(ready.snapshot), ready.time_ns, ready.files, ready.size, True)
    snapshots = (*(before.snapshots if before else ()), new)
    record = RootRecord(
        counter=(before.counter if before else 0) + 1,
        time_ns=ready.time_ns,
        snapshots=snapshots,
        index_packs=tuple(
            PackRef(PackId(row.id), row.needed, row.length, b"".join(row.shares))
            for row in catalog.packs(kind=PACK_INDEX)
        ),
        marks=tuple(marks),
        settings={"member_name": member.name, "offer_bytes": member.offer_bytes},
    )
    data = seal_root(member.keys, record, member.random_bytes(NONCE_BYTES))
    member.write_root(data)
    catalog.set_snapshots([SnapshotRow(s.id, s.time_ns, s.files, s.bytes) for s in snapshots])
    return data


async def publish(member: Member, data: bytes) -> list[MemberId]:
    """Give every friend who is online the root record; who has it durably."""
    online = sorted(f.member for f in member.friends.members().values() if f.online)
    told = await asyncio.gather(*(_tell(member, friend, data) for friend in online))
    return [friend for friend, ok in zip(online, told, strict=True) if ok]


async def _tell(member: Member, friend: MemberId, data: bytes) -> bool:
    try:
        async with asyncio.timeout(ROOT_TIMEOUT_S):
            await put_root(await member.friends.session(friend), data)
    except Refusal as refusal:
        if refusal.code == "stale":
            raise Problem(
                "A friend has a newer record of your backups than this computer.",
                "Is another computer backing up with the same recovery words? Stop one of "
                "them, or use `covey recover` here in a new folder.",
            ) from refusal
        return False
    except (Unavailable, RemoteError, TimeoutError):
        return False
    return True
