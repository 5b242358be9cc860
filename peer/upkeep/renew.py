"""`covey check --rebuild`: a new catalog from nothing but friends, in the place of the old one.

The new one is filled in a scratch folder from the index packs; no data pack is fetched. Only when
it is complete does it take the old one's place, so that a rebuild that is broken off, by a crash or
by friends who leave, changes nothing.

The catalog is a cache, so a damaged one never keeps a member from its work either: it is set aside,
and an empty one that knows marks and snapshots from the root record stands in until this has run.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import sqlite3
from pathlib import Path

import msgspec

from chunking.formats import FormatError
from chunking.keys import MemberKeys
from chunking.root import RootRecord, open_root
from peer.backup.marks import read_marks, write_marks
from peer.backup.publish import order_of
from peer.catalog import Catalog, CatalogError, NewPack, SnapshotRow
from peer.member import Emit, Member
from peer.restore.job import scratch_folder
from peer.restore.rebuild import NothingToRecover, find_root
from peer.restore.recover import fill_catalog
from peer.service import Event, Problem, done, progress
from peer.state import sync_folder
from peer.upkeep.findings import count

log = logging.getLogger("covey.check")

DAMAGED_SUFFIX = ".damaged"
_BESIDE = ("", "-shm", "-wal")
KEPT_META = (
    "drill",
    "looks",
    "waiting keep",
    "waiting ignore",
    "left out",
    "confirmed",
    "forgotten",
)
"""What the catalog knows beside the marks that no friend does: mostly what a person has decided
since the last night (`peer.backup.marks`, `peer.backup.settings`)."""


async def rebuild(member: Member, emit: Emit) -> Event:
    """Do it, and tell. Raises Problem; the old catalog is untouched then."""
    emit(progress("fetch"))
    record, data, behind = await _newest_root(member)
    async with scratch_folder(member) as folder:  # on the same disk, so that it can be renamed
        new_path = folder / member.catalog_path.name
        new = await member.run_blocking(Catalog, new_path)
        try:
            filling = dataclasses.replace(member, catalog=new, catalog_path=new_path)
            await fill_catalog(filling, record, emit)
            packs = await member.run_blocking(_complete, member, new, record)
        finally:
            await member.run_blocking(new.close)
        await member.run_blocking(_replace, member, new_path)
    if behind:
        await member.run_blocking(member.write_root, data)
    text = f"The list of backups is new: {count(len(record.snapshots), 'snapshot')} in "
    text += f"{count(packs, 'part')}."
    if behind:
        text += " Your friends had a newer record than this computer; it counts from now on."
    return done(
        ok=True,
        message=text,
        next_step="The next backup reads every file once more, and sends what is new: covey backup",
        summary={
            "snapshots": len(record.snapshots),
            "packs": packs,
            "counter": record.counter,
            "was_behind": behind,
        },
    )


async def _newest_root(member: Member) -> tuple[RootRecord, bytes, bool]:
    """The newest root record, here or at friends; whether the one here was older or not there."""
    own: RootRecord | None = None
    try:
        own = await member.run_blocking(member.read_root)
    except (FormatError, OSError) as error:
        log.warning("the root record here cannot be read: %s", error)
    try:
        found = await find_root(member.friends, member.keys)
    except NothingToRecover as error:
        if own is None:
            raise Problem(
                f"There is nothing to rebuild from: {error}.",
                "Try again when more friends are online.",
            ) from error
        return own, b"", False
    if own is not None and order_of(own) >= order_of(found.record):
        return own, b"", False
    return found.record, found.data, True


def _complete(member: Member, new: Catalog, record: RootRecord) -> int:
    """Bring over what friends do not have; how many packs there are."""
    marks = list(record.marks)
    try:
        marks = read_marks(member.catalog) or marks
        for key in KEPT_META:
            value = member.catalog.get_meta(key)
            if value is not None:
                new.set_meta(key, value)
        _keep_unlisted(member.catalog, new)
    except (sqlite3.DatabaseError, msgspec.MsgspecError) as error:
        log.warning("the old catalog cannot be read: %s", error)
    write_marks(new, marks)
    return sum(1 for _ in new.packs())


def _keep_unlisted(old: Catalog, new: Catalog) -> None:
    """Bring over packs that are safe at friends and that no index pack lists yet.

    They are of a night that did not end, or were listed by an index pack that was given up: the
    next night lists them. Without this it would take their shares for garbage.
    """
    for row in old.packs():
        if not row.safe or row.index_pack or row.is_copy or new.pack_by_id(row.id) is not None:
            continue
        chunks = tuple(old.chunks_of(row.pack))
        pack = NewPack(row.id, row.kind, row.needed, row.length, row.shares, chunks)
        number = new.record_pack(pack).pack
        places = old.placements(row.pack).items()
        new.record_placements([(number, share, holder) for share, holder in places], {number})


def _replace(member: Member, new_path: Path) -> None:
    """Let the new catalog take the old one's place.

    Closing writes a catalog's journal back into its file. One that is left is of no use to the
    new file and would spoil it, so it goes first.
    """
    member.catalog.close()
    try:
        for suffix in _BESIDE[1:]:
            _with(member.catalog_path, suffix).unlink(missing_ok=True)
        os.replace(new_path, member.catalog_path)
        sync_folder(member.catalog_path.parent)
    finally:
        member.catalog = Catalog(member.catalog_path)  # whichever it is now


def _with(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def open_catalog(path: Path, keys: MemberKeys, root_file: Path) -> Catalog:
    """The member's catalog; a damaged one is set aside. Raises CatalogError for a newer Covey's."""
    try:
        return Catalog(path)
    except CatalogError as error:
        if not _is_damage(error.__cause__):
            raise
        log.error("%s; it is set aside as %s", error, _with(path, DAMAGED_SUFFIX).name)
    for suffix in reversed(_BESIDE):  # the journal first: it must not meet the new file
        if _with(path, suffix).exists():
            os.replace(_with(path, suffix), _with(_with(path, DAMAGED_SUFFIX), suffix))
    catalog = Catalog(path)
    try:
        record = open_root(keys, root_file.read_bytes())
    except (OSError, FormatError) as error:
        log.warning("the root record here cannot be read: %s", error)
        return catalog
    write_marks(catalog, list(record.marks))
    catalog.set_snapshots(
        [SnapshotRow(s.id, s.time_ns, s.files, s.bytes) for s in record.snapshots]
    )
    return catalog


def _is_damage(cause: BaseException | None) -> bool:
    """SQLite says so of the file itself; a full disk or a lock are an OperationalError."""
    return isinstance(cause, sqlite3.DatabaseError) and not isinstance(
        cause, sqlite3.OperationalError
    )
