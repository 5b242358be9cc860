"""Shares that are lost are made anew and brought to friends who have none of their pack.

Lost is what the catalog places with nobody: a friend who is gone (`absence.py`) has its shares
taken off, and so has who lost some by its own word or by failed audits. Whoever comes back lists
what it has, which is then found again, unless it was made anew by then: that is surplus, and goes.

A friend with a bad score keeps what it has until it is elsewhere, a part of it each night.

The packs that can bear the fewest further losses come first. A pack is rebuilt from any k shares,
each checked by its name, into the spool, from where it travels as any pack of a night: what a night
does not finish, the next one goes on with. Nothing is deleted here, so that a crash costs nothing
but the work.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from chunking.erasure import join, payload_length_of
from chunking.formats import FormatError
from chunking.pack import check_pack_id
from chunking.share import make_shares
from peer.backup.packer import SpoolError, write_spool_file
from peer.backup.ship import Shipper
from peer.backup.survey import survey
from peer.catalog import Catalog, PackRow
from peer.member import Emit, Member
from peer.restore.fetch import Fetcher, PackUnavailable
from peer.restore.job import new_fetcher, remembered, scratch_folder
from peer.restore.messages import share_file
from peer.service import Problem, progress
from peer.upkeep import reconcile
from peer.upkeep.absence import read_absences
from peer.upkeep.placement import Candidate
from peer.upkeep.scores import read_scores
from peer.upkeep.standing import bare_friends
from signaling.messages import MemberId

log = logging.getLogger("covey.upkeep")

NIGHT_BYTES = 20 << 30
"""Fetched and sent by one night's repair: about nine hours of a line with 5 Mbit/s up, in which
sending is a quarter. The most endangered packs come first, so that it bounds nobody's safety."""
DOUBTED_BYTES = 2 << 30
"""Of those, for shares that are still with friends who have a bad score."""

Placed = tuple[PackRow, Mapping[int, MemberId]]


@dataclass(frozen=True, slots=True)
class Thin:
    """A pack of which shares are to be made anew. `kept` are those that stay where they are."""

    row: PackRow
    kept: Mapping[int, MemberId]
    takers: int
    """How many friends could take one."""
    doubted: bool = False
    """Whether nothing is lost yet, and a friend with a bad score is to be relieved."""

    @property
    def spare(self) -> int:
        """How many more losses it can bear; below 0 it cannot be rebuilt."""
        return len(self.kept) - self.row.needed

    @property
    def wanted(self) -> int:
        """How many shares can be made anew now."""
        return min(self.row.total - len(self.kept), self.takers)

    @property
    def cost_bytes(self) -> int:
        """What it takes to fetch and to send."""
        return self.row.length + self.wanted * payload_length_of(self.row.length, self.row.needed)


def find_thin(packs: Iterable[Placed], takers: Set[MemberId], bad: Set[MemberId]) -> list[Thin]:
    """What can be repaired with these takers, the most endangered first. Pure.

    `bad` are friends to be relieved of what they have, once nothing else of the pack is missing.
    """
    found: list[Thin] = []
    for row, placed in packs:
        kept = {number: holder for number, holder in placed.items() if number < row.total}
        doubted = len(kept) == row.total and not bad.isdisjoint(kept.values())
        if doubted:
            able = takers - set(kept.values())
            leaving = sorted(number for number, holder in kept.items() if holder in bad)
            for number in leaving[: len(able)]:
                del kept[number]
        thin = Thin(row, kept, len(takers - set(kept.values()) - bad), doubted)
        if len(placed) >= row.needed and thin.wanted > 0:
            found.append(thin)
    return sorted(found, key=lambda thin: (thin.doubted, thin.spare, thin.row.pack))


def affordable(thin: Sequence[Thin], night_bytes: int, doubted_bytes: int) -> list[Thin]:
    """As many from the front as a night may repair; at least one, however large. Pure."""
    chosen: list[Thin] = []
    for one in thin:
        if chosen and one.cost_bytes > night_bytes:
            break
        if one.doubted:
            if one.cost_bytes > doubted_bytes:
                break
            doubted_bytes -= one.cost_bytes
        night_bytes -= one.cost_bytes
        chosen.append(one)
    return chosen


@dataclass(slots=True)
class Repaired:
    """What came of a night's repair."""

    given_up: int = 0
    """Shares that count as lost since tonight, because their holders are gone."""
    made: int = 0
    packs: int = 0
    waiting: int = 0
    """Packs that could be repaired and have to wait for another night."""
    lacking: int = 0
    """Packs that lack shares for which nobody is there."""
    fetched_bytes: int = 0
    shipped_bytes: int = 0

    @property
    def sentence(self) -> str:
        """For a person; empty when nothing was lost."""
        said = []
        if self.made:
            said.append(f"{self.made:,} lost {_parts(self.made)} made anew at other friends")
        if self.waiting:
            said.append(f"{self.waiting:,} {_parts(self.waiting)} to be mended in the next nights")
        if not said and self.lacking:
            said.append(
                f"{self.lacking:,} {_parts(self.lacking)} lacking a spare, until somebody new joins"
            )
        return f"Repair: {'; '.join(said)}." if said else ""


def _parts(count: int) -> str:
    return "part is" if count == 1 else "parts are"


async def repair(member: Member, emit: Emit, *, night_bytes: int = NIGHT_BYTES) -> Repaired:
    """Make anew what is lost, as far as friends are there and a night may. Needs the busy lock."""
    return await Repair(member, emit, night_bytes).run()


class Repair:
    """One night's repair. Use `run` once."""

    def __init__(self, member: Member, emit: Emit, night_bytes: int) -> None:
        self._m, self._emit, self._night_bytes = member, emit, night_bytes
        self._result = Repaired()
        self._bad: set[MemberId] = set()

    async def run(self) -> Repaired:
        """All of it."""
        call, result = self._m.run_blocking, self._result
        result.given_up = await call(self._give_up_gone)
        self._bad = (await call(read_scores, self._m.catalog)).bad()
        friends = self._m.friends.members()
        online = {friend.member for friend in friends.values() if friend.online}
        if not await call(self._find, online):
            result.lacking = await call(self._lacking)
            return result
        await self._look()
        candidates = await self._takers()
        thin = await call(self._find, {candidate.member for candidate in candidates})
        chosen = affordable(thin, self._night_bytes, DOUBTED_BYTES)
        result.waiting = len(thin) - len(chosen)
        if chosen:
            await self._work(chosen, candidates)
        result.lacking = await call(self._lacking)
        return result

    # --- looking ----------------------------------------------------------------------------

    def _give_up_gone(self) -> int:
        """Take off what friends have who are gone; how many shares that are. Blocks."""
        catalog, friends = self._m.catalog, self._m.friends.members()
        gone = {
            member
            for member in read_absences(catalog).gone()
            if member not in friends or not friends[member].online
        }
        if not gone:
            return 0
        rows = [(pack, number) for pack, number, who in catalog.each_placement() if who in gone]
        if rows:
            catalog.forget_placements(rows)
            log.info("%d shares count as lost: %d friends are gone", len(rows), len(gone))
        return len(rows)

    async def _look(self) -> None:
        """Before anything is made anew: perhaps somebody who came back has it."""
        listings = await reconcile.ask_all(self._m.friends)

        def learn() -> None:
            catalog = self._m.catalog
            bare = bare_friends(catalog, listings)  # a disk that is not mounted looks like that
            believed = {friend: names for friend, names in listings.items() if friend not in bare}
            reconcile.record(catalog, reconcile.compare(catalog, believed))

        await self._m.run_blocking(learn)

    def _find(self, takers: Set[MemberId]) -> list[Thin]:
        return find_thin(self._packs(), takers, self._bad)

    def _packs(self) -> Iterable[Placed]:
        """Packs that no night is still about to ship."""
        catalog: Catalog = self._m.catalog
        for row in catalog.packs():
            if not (self._m.spool / row.id.hex()).exists():
                yield row, catalog.placements(row.pack)

    def _lacking(self) -> int:
        return sum(len(placed) < row.total for row, placed in self._packs())

    async def _takers(self) -> list[Candidate]:
        try:
            return [c for c in await survey(self._m) if c.member not in self._bad]
        except Problem as problem:
            log.info("nothing can be repaired: %s", problem.text)
            return []

    # --- working ----------------------------------------------------------------------------

    async def _work(self, chosen: Sequence[Thin], candidates: Sequence[Candidate]) -> None:
        shipper = Shipper(
            owner=self._m.member,
            friends=self._m.friends,
            catalog=self._m.catalog,
            run_blocking=self._m.run_blocking,
            candidates=candidates,
            names={c.member: self._m.friend_name(c.member) for c in candidates},
            released=lambda shipment: shipment.path.unlink(missing_ok=True),
        )
        shipping = asyncio.create_task(shipper.run())
        try:
            async with scratch_folder(self._m) as scratch:
                fetcher = new_fetcher(self._m, scratch, remembered(self._m))
                for place, thin in enumerate(chosen):
                    path = await self._rebuild(fetcher, scratch, thin.row)
                    self._tell(fetcher, shipper, place, len(chosen))
                    await _settled(shipper, shipping)  # one ships while the next one is rebuilt
                    if path is not None:
                        self._result.packs += 1
                        shipper.add(thin.row, path, dict(thin.kept))
                await _settled(shipper, shipping)
                self._tell(fetcher, shipper, len(chosen), len(chosen))
        finally:
            shipping.cancel()
            await asyncio.gather(shipping, return_exceptions=True)
            for row in shipper.damaged:
                (self._m.spool / row.id.hex()).unlink(missing_ok=True)

    async def _rebuild(self, fetcher: Fetcher, scratch: Path, row: PackRow) -> Path | None:
        """A pack's spool file, or None when it cannot be had now."""
        try:
            numbers = await fetcher.fetch(row, row.pack)
            return await self._m.run_blocking(self._write, scratch, row, numbers)
        except PackUnavailable as error:
            log.info("a pack cannot be repaired now: %s", error)
        except FormatError as error:
            log.warning("shares of a pack do not make it, so that it is not repaired: %s", error)
        except (OSError, SpoolError) as error:
            log.error("there is no room to repair a pack: %s", error)
        return None

    def _write(self, scratch: Path, row: PackRow, numbers: Sequence[int]) -> Path:
        """Join the pack and code it again, one share at a time: it is large. Blocks."""
        files = {number: scratch / share_file(row.pack, number) for number in numbers}
        payloads = {number: path.read_bytes() for number, path in files.items()}
        data = join(payloads, row.needed, row.length)
        payloads.clear()
        for path in files.values():
            path.unlink()
        check_pack_id(data, row.id)
        write_spool_file(self._m.spool, row.id, self._payloads(row, data), self._m.random_bytes)
        return self._m.spool / row.id.hex()

    def _payloads(self, row: PackRow, data: bytes) -> Iterable[bytes]:
        for number, name in enumerate(row.shares):
            (share,) = make_shares(
                data, row.id, owner=self._m.member, needed=row.needed, numbers=[number]
            )
            if share.name != name:
                raise FormatError("a share that is made anew has another name")
            yield share.payload

    def _tell(self, fetcher: Fetcher, shipper: Shipper, place: int, total: int) -> None:
        self._result.fetched_bytes = fetcher.fetched_bytes
        self._result.shipped_bytes = shipper.shipped_bytes
        self._result.made = sum(holder.shares for holder in shipper.holders.values())
        self._emit(
            progress(
                "care",
                files=place,
                files_total=total,
                bytes_done=fetcher.fetched_bytes,
                shipped_bytes=shipper.shipped_bytes,
            )
        )


async def _settled(shipper: Shipper, shipping: asyncio.Task[None]) -> None:
    """Wait until all that was added has gone as far as it can. Raises what ended the shipping."""
    settled = asyncio.create_task(shipper.settled())
    await asyncio.wait([settled, shipping], return_when=asyncio.FIRST_COMPLETED)
    if not settled.done():
        settled.cancel()
        await shipping
