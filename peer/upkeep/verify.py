"""Read packs back from friends, all the way to the chunks, without writing anything.

Which shares rebuild a pack is drawn by lot, so that checks that are repeated try other ones: the
plain slices are what restores like best, and the others are what is left when friends are gone.

Memory is bounded by a few packs: two are fetched at a time, and one of them is opened, in a thread.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from chunking.erasure import join
from chunking.formats import PACK_INDEX, FormatError
from chunking.index import decode_index
from chunking.keys import MemberKeys
from chunking.pack import check_pack_id, read_pack_table
from chunking.seal import Sealer
from chunking.share import make_shares
from peer.catalog import PackRow
from peer.member import Member
from peer.upkeep.audit import Judged, Listings, Piece, Verdict, ask

log = logging.getLogger("covey.check")

PACKS_AT_ONCE = 2
"""One is fetched while another one is opened. Together they take four times the longest pack."""
COMBINATIONS_MAX = 200
"""Sets of shares tried when one does not make the pack. All sets of up to ten friends' shares."""


@dataclass(slots=True)
class Readings:
    """What came of it. Packs are numbers in the catalog."""

    opened: int = 0
    chunks: int = 0
    fetched_bytes: int = 0
    damaged: list[int] = field(default_factory=list)
    """Packs whose shares are what their names say, and do not make the pack."""
    unreadable: list[int] = field(default_factory=list)
    """Packs that are what they were, and hold what does not open: made by a newer Covey, or wrong
    from the beginning. The rest may be sound, so they are never given up."""
    wrong: list[Piece] = field(default_factory=list)
    misfiled: int = 0
    """Packs of which the catalog tells something else than they say themselves."""


class _Misfiled(Exception):
    """The pack is sound, and the catalog says something else about it."""


class _Unreadable(Exception):
    """The pack cannot be opened, all or a part of it, and nothing says that it is lost."""


def choose_packs(packs: Sequence[int], percent: float, chance: random.Random) -> list[int]:
    """So many of the packs, at least one, in their order."""
    if percent >= 100:
        return list(packs)
    count = min(len(packs), max(1, round(len(packs) * percent / 100)))
    return sorted(chance.sample(packs, count))


class DataCheck:
    """One reading of some packs. Use `run` once."""

    def __init__(
        self,
        member: Member,
        listings: Listings,
        seed: int,
        progress: Callable[[int, int], None],
    ) -> None:
        """`progress` hears of packs done and bytes fetched."""
        self._m, self._listings, self._seed = member, listings, seed
        self._progress = progress
        self._opening = asyncio.Lock()
        self._done = 0
        self.result = Readings()

    async def run(self, packs: Iterable[int]) -> Readings:
        """Read them all."""
        waiting = iter(packs)

        async def work() -> None:
            for pack in waiting:
                await self._read(pack)
                self._done += 1
                self._progress(self._done, self.result.fetched_bytes)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(PACKS_AT_ONCE):
                tasks.create_task(work())
        return self.result

    async def _read(self, pack: int) -> None:
        row = await self._m.run_blocking(self._m.catalog.pack, pack)
        chunks = await self._m.run_blocking(self._m.catalog.chunks_of, pack)
        pieces = self._shuffled(row)
        try:
            got = await self._fetch(pieces, row.needed)
            if len(got) < row.needed:
                return
            async with self._opening:
                try:
                    count = await self._open(row, got, chunks)
                except FormatError as error:
                    log.warning("shares of a pack do not make it: %s", error)
                    count = await self._search(row, got, pieces, chunks)
            self.result.chunks += count
            self.result.opened += 1
        except _Misfiled:
            self.result.misfiled += 1
        except _Unreadable as error:
            log.warning("a pack holds what does not open: %s", error)
            self.result.unreadable.append(pack)
        except FormatError:
            self.result.damaged.append(pack)

    def _shuffled(self, row: PackRow) -> list[Piece]:
        """All shares of a pack that friends list, in an order that the seed draws."""
        pieces = [
            Piece(row, number, holder)
            for number, name in enumerate(row.shares)
            for holder in sorted(self._listings)
            if name in self._listings[holder]
        ]
        random.Random(f"{self._seed} {row.id.hex()}").shuffle(pieces)
        return pieces

    async def _fetch(self, pieces: list[Piece], wanted: int) -> dict[int, bytes]:
        """Verified payloads by number: so many, or as many as can be had. Uses `pieces` up."""
        got: dict[int, bytes] = {}
        while len(got) < wanted and pieces:
            batch: list[Piece] = []
            for piece in list(pieces):
                numbers = {p.number for p in batch} | set(got)
                if len(batch) < wanted - len(got) and piece.number not in numbers:
                    batch.append(piece)
                    pieces.remove(piece)
            if not batch:
                break
            answers = await asyncio.gather(*(ask(self._m, piece) for piece in batch))
            for piece, answer in zip(batch, answers, strict=True):
                self._take(piece, answer, got)
        return got

    def _take(self, piece: Piece, answer: Judged, got: dict[int, bytes]) -> None:
        if answer.verdict is Verdict.GOOD:
            got[piece.number] = answer.data
            self.result.fetched_bytes += len(answer.data)
        elif answer.verdict in (Verdict.WRONG, Verdict.GONE):
            self.result.wrong.append(piece)
        elif answer.verdict is Verdict.MISFILED:
            raise _Misfiled

    async def _open(
        self, row: PackRow, got: Mapping[int, bytes], chunks: Sequence[tuple[bytes, int, int]]
    ) -> int:
        return await self._m.run_blocking(open_pack, self._m.keys, row, got, chunks)

    async def _search(
        self,
        row: PackRow,
        got: dict[int, bytes],
        pieces: list[Piece],
        chunks: Sequence[tuple[bytes, int, int]],
    ) -> int:
        """Shares that have their names do not make the pack: some were made wrong. Find others.

        Raises FormatError when no set of shares makes the pack, and `_Unreadable` when there are
        too many sets to say so.
        """
        got |= await self._fetch(pieces, row.total)
        holders = {piece.number: piece for piece in self._shuffled(row)}
        sets = itertools.combinations(got, row.needed)
        for numbers in itertools.islice(sets, COMBINATIONS_MAX):
            some = {number: got[number] for number in numbers}
            try:
                count = await self._open(row, some, chunks)
            except FormatError:
                continue
            made = await self._m.run_blocking(_remade, self._m.member, row, some, list(got))
            self.result.wrong += [
                holders[number] for number, payload in got.items() if payload != made[number]
            ]
            return count
        if next(sets, None) is not None:
            raise _Unreadable("no set of shares that was tried makes it")
        raise FormatError("no set of shares makes this pack")


def open_pack(
    keys: MemberKeys,
    row: PackRow,
    payloads: Mapping[int, bytes],
    chunks: Sequence[tuple[bytes, int, int]],
) -> int:
    """Join, compare the pack's id, open the table and every chunk; how many chunks there are.

    Raises FormatError when these shares do not make the pack, `_Unreadable` when something in it
    does not open, and `_Misfiled` when `chunks` (id, offset, length), which the catalog places in
    the pack, are not there.
    """
    data = join(payloads, row.needed, row.length)
    check_pack_id(data, row.id)
    sealer = Sealer(keys)
    try:
        table = read_pack_table(keys, data)
        for entry in table:
            plain = sealer.open(entry.id, data[entry.offset : entry.offset + entry.length])
            if row.kind == PACK_INDEX:
                decode_index(plain)
    except FormatError as error:
        raise _Unreadable(str(error)) from error
    if not {tuple(chunk) for chunk in chunks} <= {(e.id, e.offset, e.length) for e in table}:
        raise _Misfiled
    return len(table)


def _remade(
    owner: bytes, row: PackRow, payloads: Mapping[int, bytes], numbers: Sequence[int]
) -> dict[int, bytes]:
    """What shares of a pack must be, made again from a set that is known to be right."""
    data = join(payloads, row.needed, row.length)
    made = make_shares(data, row.id, owner=owner, needed=row.needed, numbers=numbers)
    return {number: share.payload for number, share in zip(numbers, made, strict=True)}
