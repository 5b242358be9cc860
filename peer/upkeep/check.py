"""`covey check`: can everything come back, from who is there now?

Friends are asked what they list, for a few blocks with proof, and for their copy of the root
record; with `percent`, packs are read back as well (`verify`). What is found wrong is marked so
that the next night makes it good:

- A share that its holder does not list is no longer placed there.
- A share that its holder lists and cannot show is deleted there (it stays in the friend's trash
  for 14 days), or else the holder would go on listing it, and takes a whole one for stored.
- A pack that nobody can bring back (the rule is in `standing`) is forgotten: what is still on this
  computer is read and sent again.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
from collections.abc import Callable, Iterable

from chunking.formats import NONCE_BYTES, PACK_INDEX, FormatError, ShareName
from chunking.root import open_root, seal_root
from datachannel.errors import Refusal, RemoteError, Unavailable
from datachannel.requests import get_root
from peer.catalog import SnapshotRow
from peer.member import Emit, Member
from peer.service import Event, progress
from peer.upkeep import reconcile
from peer.upkeep.absence import read_absences
from peer.upkeep.audit import Piece, Spot, Verdict, audit, choose_spots
from peer.upkeep.challenge import judge
from peer.upkeep.findings import DataRead, Findings, RootCopies, told
from peer.upkeep.selfcheck import check_catalog
from peer.upkeep.standing import Standing, bare_friends, stand
from peer.upkeep.verify import DataCheck, Readings, choose_packs
from signaling.messages import MemberId

log = logging.getLogger("covey.check")

ROOT_TIMEOUT_S = 30.0
_MISFILED = "it says something else about packs than they say themselves"


class Check:
    """One check of one member. Use `run` once."""

    def __init__(
        self,
        member: Member,
        emit: Emit,
        *,
        wall_text: Callable[[int], str],
        seed: int,
        percent: float = 0,
    ) -> None:
        """`percent` of the packs are read back: 0 for none, 100 for all. `seed` draws lots."""
        self._m, self._emit, self._wall_text = member, emit, wall_text
        self._seed, self._percent = seed, percent
        self._found = Findings()
        self._listings: dict[MemberId, set[ShareName]] = {}
        self._wrong: set[tuple[MemberId, ShareName]] = set()
        self._damaged: list[int] = []

    async def run(self) -> Event:
        """The whole check; the event that ends it."""
        self._emit(progress("check"))
        own = await self._m.run_blocking(check_catalog, self._m)
        self._found.catalog = own.problems
        self._found.missing_new = own.missing_new
        self._found.missing_old = own.missing_old
        self._found.unreadable = [self._wall_text(time_ns) for time_ns in own.unreadable]
        if own.problems:
            return told(self._found)
        self._listings, self._found.roots = await asyncio.gather(
            reconcile.ask_all(self._m.friends),
            self._ask_roots(own.record.counter if own.record else 0),
        )
        bare = await self._m.run_blocking(bare_friends, self._m.catalog, self._listings)
        self._found.bare = self._names(bare)
        await self._audit()
        self._tell_who()
        if self._percent:
            await self._read()
        if self._found.catalog:
            return told(self._found)
        self._take_wrong_off()
        standing = await self._m.run_blocking(self._stand, bare)
        await self._m.run_blocking(self._mark, standing, bare)
        await self._delete_wrong()
        return told(self._found)

    # --- asking -----------------------------------------------------------------------------

    def _tell_who(self) -> None:
        friends = self._m.friends.members().values()
        self._found.answered = self._names(self._listings)
        self._found.offline = self._names(f.member for f in friends if not f.online)
        self._found.silent = self._names(
            f.member for f in friends if f.online and f.member not in self._listings
        )

    async def _ask_roots(self, own: int) -> RootCopies:
        """Which copy of the root record every friend has that answers."""
        online = sorted(f.member for f in self._m.friends.members().values() if f.online)
        answers = await asyncio.gather(*(self._counter_at(friend) for friend in online))
        copies = RootCopies()
        for friend, counter in zip(online, answers, strict=True):
            name = self._m.friend_name(friend)
            if counter is None:
                continue
            if not counter:
                copies.none.append(name)
            elif counter < own:
                copies.older.append(name)
            else:
                (copies.newest if counter == own else copies.newer).append(name)
        return copies

    async def _counter_at(self, friend: MemberId) -> int | None:
        """The counter of a friend's copy; 0 without a valid one, None without an answer."""
        try:
            async with asyncio.timeout(ROOT_TIMEOUT_S):
                data = await get_root(await self._m.friends.session(friend))
            return open_root(self._m.keys, data).counter if data else 0
        except FormatError as error:
            log.warning("%s keeps a bad root record: %s", self._m.friend_name(friend), error)
            return 0
        except (Unavailable, Refusal, RemoteError, TimeoutError) as error:
            log.info("%s does not answer: %s", friend.hex()[:8], error)
            return None

    async def _audit(self) -> None:
        """Have every friend prove a few shares."""
        spots = await self._m.run_blocking(self._choose_spots)
        fetched = 0

        def heard(size: int) -> None:
            nonlocal fetched
            fetched += size
            self._emit(progress("check", bytes_done=fetched))

        results = await audit(self._m, spots, heard)
        await self._m.run_blocking(judge, self._m, results)
        showed: dict[MemberId, bool] = {}
        for spot, verdict in results:
            holder = spot.piece.holder
            showed[holder] = showed.get(holder, False) or verdict is not Verdict.SILENT
            self._found.audited += verdict is not Verdict.SILENT
            if verdict is Verdict.MISFILED:
                self._found.catalog = [_MISFILED]
            elif verdict in (Verdict.WRONG, Verdict.GONE):
                self._note_wrong(spot.piece)
        for holder, answered in showed.items():
            if not answered:  # it can say what it has, and gives nothing of it
                del self._listings[holder]

    def _choose_spots(self) -> list[Spot]:
        rows = (row for row in self._m.catalog.packs() if row.safe)
        return choose_spots(rows, self._listings, random.Random(self._seed))

    async def _read(self) -> None:
        """Read packs back to the chunks."""
        packs = await self._m.run_blocking(
            lambda: [row.pack for row in self._m.catalog.packs() if row.safe]
        )
        chosen = choose_packs(packs, self._percent, random.Random(self._seed))
        started = asyncio.get_running_loop().time()

        def heard(count: int, fetched: int) -> None:
            seconds = max(asyncio.get_running_loop().time() - started, 0.001)
            self._emit(
                progress(
                    "check",
                    files=count,
                    files_total=len(chosen),
                    bytes_done=fetched,
                    rate=fetched / seconds,
                    seconds_left=seconds * (len(chosen) - count) / count,
                )
            )

        result = await DataCheck(self._m, self._listings, self._seed, heard).run(chosen)
        self._took(result, len(chosen))

    def _took(self, result: Readings, wanted: int) -> None:
        for piece in result.wrong:
            self._note_wrong(piece)
        if result.misfiled:
            self._found.catalog = [_MISFILED]
        self._damaged = result.damaged
        self._found.read = DataRead(
            wanted=wanted,
            packs=result.opened,
            chunks=result.chunks,
            fetched_bytes=result.fetched_bytes,
            damaged=len(result.damaged) + len(result.unreadable),
        )

    # --- marking ----------------------------------------------------------------------------

    def _note_wrong(self, piece: Piece) -> None:
        name = self._m.friend_name(piece.holder)
        if (piece.holder, piece.name) not in self._wrong:
            self._wrong.add((piece.holder, piece.name))
            self._found.wrong[name] = self._found.wrong.get(name, 0) + 1
            log.warning("%s cannot show a share %s", name, piece.name.hex()[:12])

    def _take_wrong_off(self) -> None:
        for holder, name in self._wrong:
            self._listings[holder].discard(name)

    def _stand(self, bare: set[MemberId]) -> Standing:
        absences = read_absences(self._m.catalog)
        silent = self._m.friends.members().keys() - absences.given_up() | absences.may_return()
        absent = bare | (silent - self._listings.keys())
        return stand(
            self._m.catalog,
            self._listings,
            absent,
            self._damaged,
            lambda row: (self._m.spool / row.id.hex()).exists(),
        )

    def _mark(self, standing: Standing, bare: set[MemberId]) -> None:
        """Let the catalog know; blocks. A bare friend's shares stay placed: it may come back."""
        found, catalog = self._found, self._m.catalog
        found.packs, found.unfinished = standing.packs, standing.unfinished
        found.lost, found.given_up = len(standing.lost), len(standing.given_up)
        found.thin, found.can_vanish = standing.thin, standing.can_vanish
        believed = {friend: n for friend, n in self._listings.items() if friend not in bare}
        reconcile.record(catalog, reconcile.compare(catalog, believed))
        for pack in standing.given_up:
            try:
                row = catalog.pack(pack)
            except KeyError:
                continue  # it went with another one
            log.warning("a pack is lost for good: %s", row.id.hex()[:12])
            catalog.drop_pack(pack)
        if standing.given_up:
            self._forget_what_rests_on_it()

    def _forget_what_rests_on_it(self) -> None:
        """Let this computer's root record name only index packs and snapshots that are there.

        Or else the next night would look for the index packs, and learn of the lost packs again.
        Only here: friends keep the record that they have until that night has made new index packs.
        """
        catalog, record = self._m.catalog, self._m.read_root()
        if record is None:
            return
        known = {row.id for row in catalog.packs(kind=PACK_INDEX)}
        begun = catalog.find_chunks([snapshot.id for snapshot in record.snapshots])
        kept = dataclasses.replace(
            record,
            counter=record.counter + 1,
            index_packs=tuple(ref for ref in record.index_packs if ref.pack in known),
            snapshots=tuple(snapshot for snapshot in record.snapshots if snapshot.id in begun),
        )
        if (kept.index_packs, kept.snapshots) == (record.index_packs, record.snapshots):
            return
        self._found.gone = [
            self._wall_text(s.time_ns) for s in record.snapshots if s.id not in begun
        ]
        nonce = self._m.random_bytes(NONCE_BYTES)
        self._m.write_root(seal_root(self._m.keys, kept, nonce))
        catalog.set_snapshots(
            [SnapshotRow(s.id, s.time_ns, s.files, s.bytes) for s in kept.snapshots]
        )

    async def _delete_wrong(self) -> None:
        garbage: dict[MemberId, list[ShareName]] = {}
        for holder, name in sorted(self._wrong):
            garbage.setdefault(holder, []).append(name)
        await reconcile.delete_garbage(self._m.friends, garbage)

    # --- words ------------------------------------------------------------------------------

    def _names(self, members: Iterable[MemberId]) -> list[str]:
        return sorted(self._m.friend_name(member) for member in members)
