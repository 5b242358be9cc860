"""`covey recover`: a lost computer's member, from its words and the friends' copies.

Nothing is written to the state folder that would count as a member until all is known; a recovery
that is interrupted is simply begun again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import islice

from chunking.root import RootRecord
from peer.backup.marks import write_marks
from peer.catalog import Catalog
from peer.member import Emit, Member
from peer.restore.fetch import PackUnavailable, Whereabouts
from peer.restore.job import new_fetcher, scratch_folder
from peer.restore.rebuild import FoundRoot, NothingToRecover, find_root, rebuild_catalog
from peer.service import Event, Problem, done, progress

GATHER_S = 30.0
"""How long to wait for friends to be seen at all."""
SETTLE_S = 2.0
"""After the first friend is seen, how long to wait for the others that are online."""
PLACES_TOGETHER = 50_000
"""Rows of the catalog written in a transaction."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was found, beside the catalog that is filled now."""

    record: RootRecord
    event: Event


async def recover_member(member: Member, emit: Emit) -> Recovered:
    """Fill the empty catalog of `member` from its friends. Raises Problem."""
    await _see_friends(member)
    emit(progress("fetch"))
    try:
        found = await find_root(member.friends, member.keys)
    except NothingToRecover as error:
        raise Problem(
            f"Nothing to recover: {error}.",
            "Check the words, and try again when more friends are online.",
        ) from error
    await fill_catalog(member, found.record, emit)
    await member.run_blocking(write_marks, member.catalog, list(found.record.marks))
    await member.run_blocking(member.write_root, found.data)
    return Recovered(found.record, _told(member, found))


async def fill_catalog(member: Member, record: RootRecord, emit: Emit) -> None:
    """Record in the catalog all that a root record leads to, asking friends. Raises Problem."""
    where = Whereabouts()
    async with scratch_folder(member) as scratch:
        fetcher = new_fetcher(member, scratch, where)

        def tell(packs: int, total: int) -> None:
            emit(
                progress(
                    "fetch",
                    files=packs,
                    files_total=total,
                    shipped_bytes=fetcher.fetched_bytes,
                    friends=fetcher.sources,
                )
            )

        try:
            await rebuild_catalog(
                record,
                keys=member.keys,
                catalog=member.catalog,
                fetcher=fetcher,
                scratch=scratch,
                run_blocking=member.run_blocking,
                progress=tell,
            )
        except* PackUnavailable as group:
            raise Problem(
                f"The list of your backups cannot be read yet: {group.exceptions[0]}.",
                "Try again when more friends are online.",
            ) from group
    await member.run_blocking(_record_places, member.catalog, where)


async def _see_friends(member: Member) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + GATHER_S
    while not any(friend.online for friend in member.friends.members().values()):
        if loop.time() > deadline:
            raise Problem("No friend of this group is online.", "Try again when some of them are.")
        await asyncio.sleep(0.1)
    await asyncio.sleep(SETTLE_S)


def _record_places(catalog: Catalog, where: Whereabouts) -> None:
    """Record who has which share, in one pass over the packs."""
    rows = (
        (row.pack, number, min(holders))
        for row in catalog.packs()
        for number, name in enumerate(row.shares)
        if (holders := where.of(name))
    )
    while part := list(islice(rows, PLACES_TOGETHER)):
        catalog.record_placements(part, set())


def _told(member: Member, found: FoundRoot) -> Event:
    snapshots = found.record.snapshots
    newest = snapshots[-1] if snapshots else None
    text = f"Recovered {len(snapshots)} snapshots; {found.answered} of {found.asked} friends"
    text += " who are online answered."
    if found.older:
        text += f" {', '.join(found.older)} had an older record, which was not used."
    return done(
        ok=True,
        message=text,
        next_step="covey restore latest --to FOLDER",
        summary={
            "snapshots": len(snapshots),
            "newest_time_ns": newest.time_ns if newest else None,
            "files": newest.files if newest else 0,
            "bytes": newest.bytes if newest else 0,
            "friends_asked": found.asked,
            "friends_answered": found.answered,
            "counter": found.record.counter,
        },
    )
