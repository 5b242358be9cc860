"""A lost computer anew: from the recovery words to a catalog, with nothing but friends.

Every friend keeps a copy of the root record; the highest valid counter wins, and how many
answered is told, so that one friend's old copy shows. The record names the index packs and their
shares; the index packs name all other packs, their shares and their chunks. Where the shares lie
is asked. No data pack is fetched.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from chunking.erasure import join
from chunking.formats import PACK_INDEX, FormatError, Index, IndexEntry, PackId, PackRef, ShareName
from chunking.index import decode_index, removed_packs, share_names
from chunking.keys import MemberKeys
from chunking.pack import check_pack_id, read_pack_table
from chunking.root import RootRecord, open_root
from chunking.seal import Sealer
from datachannel.errors import Refusal, RemoteError, Unavailable
from datachannel.requests import get_root
from peer.catalog import Catalog, IndexContent, NewPack, SnapshotRow
from peer.ports import Friends, RunBlocking
from peer.restore.fetch import Fetcher, PackUnavailable
from peer.restore.messages import share_file
from signaling.messages import MemberId

log = logging.getLogger("covey.recover")

ROOT_TIMEOUT_S = 30.0
PACKS_AT_ONCE = 4


class NothingToRecover(Exception):
    """No friend has a root record of this member; the text says what to do."""


@dataclass(frozen=True, slots=True)
class FoundRoot:
    """The newest root record, and who answered."""

    record: RootRecord
    data: bytes
    answered: int
    asked: int
    older: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Spec:
    id: PackId
    needed: int
    length: int
    shares: tuple[ShareName, ...]


async def find_root(friends: Friends, keys: MemberKeys) -> FoundRoot:
    """Ask every friend who is online. Raises NothingToRecover."""
    members = sorted(f.member for f in friends.members().values() if f.online)
    answers = await asyncio.gather(*(root_of(friends, member) for member in members))
    best: tuple[tuple[int, int], bytes, RootRecord] | None = None
    counters: dict[MemberId, int] = {}
    for member, data in zip(members, answers, strict=True):
        if not data:
            continue
        try:
            record = open_root(keys, data)
        except FormatError as error:
            log.warning("%s returned a bad root record: %s", member.hex()[:8], error)
            continue
        counters[member] = record.counter
        order = record.counter, record.time_ns  # of one counter, the later one of two computers
        if best is None or order > best[0]:
            best = (order, data, record)
    if best is None:
        raise NothingToRecover(
            f"none of the {len(members)} friends who are online has a backup of yours"
        )
    names = friends.members()
    older = tuple(
        names[member].card.name for member, counter in counters.items() if counter < best[0][0]
    )
    answered = sum(data is not None for data in answers)
    return FoundRoot(best[2], best[1], answered, len(members), older)


async def root_of(friends: Friends, member: MemberId) -> bytes | None:
    """A friend's copy; b"" when it has none, None when it does not answer."""
    try:
        async with asyncio.timeout(ROOT_TIMEOUT_S):
            return await get_root(await friends.session(member)) or b""
    except (Unavailable, Refusal, RemoteError, TimeoutError) as error:
        log.info("%s does not answer: %s", member.hex()[:8], error)
        return None


async def rebuild_catalog(
    record: RootRecord,
    *,
    keys: MemberKeys,
    catalog: Catalog,
    fetcher: Fetcher,
    scratch: Path,
    run_blocking: RunBlocking,
    progress: Callable[[int, int], None],
) -> None:
    """Fill the catalog from the index packs of a root record. Raises PackUnavailable."""
    await fetcher.learn()
    done = 0
    gate = asyncio.Semaphore(PACKS_AT_ONCE)
    turn = asyncio.Lock()

    async def one(number: int, ref: PackRef) -> None:
        nonlocal done
        async with gate:
            spec = _Spec(ref.pack, ref.needed, ref.length, tuple(share_names(ref)))
            numbers = await fetcher.fetch(spec, number)
            async with turn:  # an index pack may have 80 MB, and is in memory here
                try:
                    await run_blocking(_adopt, catalog, keys, spec, scratch, number, numbers)
                except FormatError as error:
                    raise PackUnavailable(f"an index pack is damaged: {error}") from error
        done += 1
        progress(done, len(record.index_packs))

    async with asyncio.TaskGroup() as tasks:
        for number, ref in enumerate(record.index_packs):
            tasks.create_task(one(number, ref))
    rows = [SnapshotRow(s.id, s.time_ns, s.files, s.bytes) for s in record.snapshots]
    await run_blocking(catalog.set_snapshots, rows)


def _adopt(
    catalog: Catalog,
    keys: MemberKeys,
    spec: _Spec,
    scratch: Path,
    number: int,
    numbers: list[int],
) -> None:
    """Open one index pack and record all that it lists, itself included.

    Its index objects are decoded twice, one at a time: all are known to be good before anything is
    recorded, and what they say, many times as large as the pack, is never in memory together.
    """
    data = _take_pack(spec, scratch, number, numbers)
    table = read_pack_table(keys, data)
    sealer = Sealer(keys)

    def indexes() -> Iterator[Index]:
        for row in table:
            sealed = data[row.offset : row.offset + row.length]
            yield decode_index(sealer.open(row.id, sealed))

    removed = tuple(ident for index in indexes() for ident in removed_packs(index))
    packs = (_new_pack(entry) for index in indexes() for entry in index.entries)
    chunks = tuple((chunk.id, chunk.offset, chunk.length) for chunk in table)
    itself = NewPack(spec.id, PACK_INDEX, spec.needed, spec.length, spec.shares, chunks)
    catalog.adopt_index(IndexContent(itself, packs, removed))


def _take_pack(spec: _Spec, scratch: Path, number: int, numbers: list[int]) -> bytes:
    """The pack out of the scratch folder."""
    files = {share: scratch / share_file(number, share) for share in numbers}
    data = join({n: path.read_bytes() for n, path in files.items()}, spec.needed, spec.length)
    check_pack_id(data, spec.id)
    for path in files.values():
        path.unlink()
    return data


def _new_pack(entry: IndexEntry) -> NewPack:
    return NewPack(
        id=entry.pack.pack,
        kind=entry.kind,
        needed=entry.pack.needed,
        length=entry.pack.length,
        shares=tuple(share_names(entry.pack)),
        chunks=tuple((chunk.id, chunk.offset, chunk.length) for chunk in entry.chunks),
    )
