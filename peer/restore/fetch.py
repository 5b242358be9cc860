"""Packs and ranges of packs, from whichever friends have them first, verified as they arrive.

Any `needed` shares will do. The plain slices cost no arithmetic, and of a range they alone are
read, unless others would be there much sooner; `racing.py` has the rule. A friend that is slow,
gone or wrong is replaced by another that has a share of the same pack. Who returns anything that is
not the share it was asked for is named in the log and asked last from then on: one rotten share
does not make all others bad.

What came of a pack that could not be had is kept for the next attempt, so that it comes together
although its friends are never there at the same time.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from chunking.erasure import payload_length_of
from chunking.formats import PackId, ShareName
from chunking.share import ShareHeader, encode_header
from datachannel.errors import Refusal, RemoteError, Unavailable
from datachannel.link import PeerSession
from datachannel.requests import list_shares
from peer.ports import Friends, RunBlocking
from peer.restore.messages import range_file, share_file
from peer.restore.racing import Goal, Race, Transfer
from peer.restore.ranges import Column, columns_of, cut, slices_of
from peer.restore.receiving import Listener, WrongShare, receive_blocks, receive_share
from peer.restore.room import Room
from peer.restore.speed import Speeds
from peer.restore.whereabouts import HEARD_PER_FRIEND_MAX, Whereabouts
from signaling.messages import MemberId

__all__ = ["Fetcher", "PackSpec", "PackUnavailable", "Whereabouts"]

log = logging.getLogger("covey.restore")

GIVE_UP_S = 60.0
"""A share of which nothing arrives for so long is given up."""
LIST_TIMEOUT_S = 60.0
TRANSFERS_PER_FRIEND = 6
"""Shares and ranges under way from one friend; a session has 8 streams, and two stay free."""
JOIN_S = 0.25
"""A computed share is taken before a plain slice when it would be there so much earlier: joining
costs time on the way to the files, and what hardly differs is not worth it."""
DISTRUST_S = 1e6
"""Whoever was wrong comes after all others."""
RANGE_ROOM_BYTES = 128 << 20
"""Memory for ranges under way."""
BEGUN_PACKS_MAX = 8
"""Packs of which too few shares came, kept for the next attempt; more than are fetched at once."""
BEGUN_RANGES_MAX = 64

T = TypeVar("T")


class PackSpec(Protocol):
    """What must be known of a pack to fetch it: `shares[i]` is the name of share number i."""

    @property
    def id(self) -> PackId: ...
    @property
    def needed(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def shares(self) -> tuple[ShareName, ...]: ...


class PackUnavailable(Exception):
    """Too few shares of a pack can be had now; the text says why, for a person."""


class Fetcher:
    """Fetches packs for one owner. Several at a time."""

    def __init__(
        self,
        *,
        owner: MemberId,
        friends: Friends,
        scratch: Path,
        run_blocking: RunBlocking,
        whereabouts: Whereabouts,
    ) -> None:
        self._owner, self._friends = owner, friends
        self._scratch, self._run_blocking = scratch, run_blocking
        self._where = whereabouts
        self.speeds = Speeds(asyncio.get_running_loop().time)
        self._gates: dict[MemberId, asyncio.Semaphore] = {}
        self._distrusted: set[MemberId] = set()
        self._listing = asyncio.Lock()
        self._range_room = Room(RANGE_ROOM_BYTES)
        self._begun_packs = _Begun[Path](BEGUN_PACKS_MAX, lambda path: path.unlink())
        self._begun_ranges = _Begun[bytes](BEGUN_RANGES_MAX, lambda data: None)
        self.fetched_bytes = 0
        self.sources: dict[str, int] = defaultdict(int)

    async def fetch(self, spec: PackSpec, row: int) -> list[int]:
        """Bring enough shares of a pack into the scratch folder; returns their numbers.

        Raises PackUnavailable when all that is known has been tried.
        """
        await self._where.look_up(row, self._run_blocking)

        async def receive(transfer: Transfer) -> Path | None:
            return await self._receive_share(spec, row, transfer)

        race = Race(
            Goal(spec.needed),
            payload_length_of(spec.length, spec.needed),
            self.speeds,
            lambda: self._sources(spec, row),
            receive,
            self._look_again,
            self._begun_packs.pop(row),
        )
        if not await race.run():
            self._begun_packs.keep(race.got, row)
            raise PackUnavailable(self._why(spec, row, race.got))
        numbers = sorted(race.got)
        for number in numbers[spec.needed :]:
            race.got[number].unlink(missing_ok=True)
        return numbers[: spec.needed]

    async def fetch_range(self, spec: PackSpec, row: int, offset: int, length: int) -> None:
        """Bring these bytes of a pack into the scratch folder, as `range_file`.

        Raises PackUnavailable when all that is known has been tried, FormatError for bytes that
        the pack does not have.
        """
        columns = columns_of(offset, length, spec.needed, spec.length)
        await self._where.look_up(row, self._run_blocking)
        worst = spec.needed * sum(column.size for column in columns)
        async with self._range_room.hold(worst):
            tasks = [
                asyncio.create_task(self._fetch_column(spec, row, column)) for column in columns
            ]
            try:
                slices: dict[int, bytes] = {}
                for task in tasks:
                    slices |= await task
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            data = cut(offset, length, spec.needed, spec.length, slices)
            path = self._scratch / range_file(row, offset, length)
            await self._run_blocking(path.write_bytes, data)

    async def _fetch_column(self, spec: PackSpec, row: int, column: Column) -> dict[int, bytes]:
        """The blocks of the wanted slices."""

        async def receive(transfer: Transfer) -> bytes | None:
            return await self._receive_blocks(spec, column, transfer)

        race = Race(
            Goal(spec.needed, column.wanted),
            column.size,
            self.speeds,
            lambda: self._sources(spec, row),
            receive,
            self._look_again,
            self._begun_ranges.pop(row, column.first, column.count),
        )
        if not await race.run():
            self._begun_ranges.keep(race.got, row, column.first, column.count)
            raise PackUnavailable(self._why(spec, row, race.got))
        return await self._run_blocking(slices_of, column, race.got, spec.needed)

    # --- who has what -----------------------------------------------------------------------

    async def learn(self) -> None:
        """Ask every friend that is online, and was not asked yet, what it holds of ours."""
        async with self._listing:
            members = self._online() - self._where.asked
            await asyncio.gather(*(self._list(member) for member in sorted(members)))

    def absent(self, spec: PackSpec, row: int) -> list[str]:
        """The names of friends who have shares of this pack, as far as is known, and are away."""
        holders = set[MemberId]().union(*self._where.holders(row, spec.shares))
        friends = self._friends.members()
        return sorted(friends[m].card.name for m in holders - self._online() if m in friends)

    async def _list(self, member: MemberId) -> None:
        heard = 0
        try:
            async with asyncio.timeout(LIST_TIMEOUT_S):
                session = await self._friends.session(member)
                async for item in list_shares(session):
                    self._where.add(ShareName(item.name), member)
                    heard += 1
                    if heard == HEARD_PER_FRIEND_MAX:
                        break
        except (Unavailable, Refusal, RemoteError, TimeoutError) as error:
            log.info("%s cannot say what it holds: %s", self._name(member), error)
            return
        self._where.asked.add(member)

    async def _look_again(self) -> bool:
        """Learn more about who holds what; whether anything new may have come of it."""
        before = len(self._where.asked)
        await self.learn()
        return len(self._where.asked) > before

    def _online(self) -> set[MemberId]:
        return {friend.member for friend in self._friends.members().values() if friend.online}

    def _sources(self, spec: PackSpec, row: int) -> Mapping[int, Mapping[MemberId, float]]:
        """Who can be asked for which share now, and the seconds that this costs beside its way."""
        online = self._online()
        return {
            number: {
                member: (DISTRUST_S if member in self._distrusted else 0.0)
                + (JOIN_S if number >= spec.needed else 0.0)
                for member in members & online
            }
            for number, members in enumerate(self._where.holders(row, spec.shares))
        }

    # --- receiving --------------------------------------------------------------------------

    async def _receive_share(self, spec: PackSpec, row: int, transfer: Transfer) -> Path | None:
        number, final = transfer.number, self._scratch / share_file(row, transfer.number)
        path = final.with_name(f"{final.name}.{transfer.member.hex()[:8]}")
        name, header = spec.shares[number], self._header(spec, number)

        async def receive(session: PeerSession, listener: Listener) -> Path:
            await receive_share(session, name, header, path, listener, self._run_blocking)
            return path.replace(final)

        try:
            return await self._receive(name, transfer, receive)
        finally:
            path.unlink(missing_ok=True)

    async def _receive_blocks(
        self, spec: PackSpec, column: Column, transfer: Transfer
    ) -> bytes | None:
        name, header = spec.shares[transfer.number], self._header(spec, transfer.number)
        blocks = (column.first, column.count)

        async def receive(session: PeerSession, listener: Listener) -> bytes:
            return await receive_blocks(session, name, header, blocks, listener, self._run_blocking)

        return await self._receive(name, transfer, receive)

    async def _receive(
        self,
        name: ShareName,
        transfer: Transfer,
        receive: Callable[[PeerSession, Listener], Awaitable[T]],
    ) -> T | None:
        """What one friend gives, or None when it is to be had of others."""
        member = transfer.member
        gate = self._gates.setdefault(member, asyncio.Semaphore(TRANSFERS_PER_FRIEND))
        loop = asyncio.get_running_loop()
        try:
            async with gate, asyncio.timeout(GIVE_UP_S) as deadline:

                def arrived(size: int) -> None:
                    transfer.arrive(size)
                    self.fetched_bytes += size
                    deadline.reschedule(loop.time() + GIVE_UP_S)

                session = await self._friends.session(member)
                transfer.admit()
                part = await receive(session, Listener(transfer.answer, arrived))
        except (WrongShare, RemoteError) as error:
            self._distrusted.add(member)
            log.warning(
                "%s returned a wrong share %s: %s", self._name(member), name.hex()[:12], error
            )
        except Refusal as refusal:
            log.info("%s has no share for us: %s", self._name(member), refusal)
        except (Unavailable, TimeoutError) as error:
            log.info("%s cannot be reached: %s", self._name(member), error or "it is silent")
        else:
            self.sources[self._name(member)] += 1
            return part
        return None

    def _header(self, spec: PackSpec, number: int) -> bytes:
        return encode_header(ShareHeader(self._owner, spec.id, spec.needed, number, spec.length))

    def _name(self, member: MemberId) -> str:
        friend = self._friends.members().get(member)
        return f"{friend.card.name if friend else 'a friend'} ({member.hex()[:8]})"

    def _why(self, spec: PackSpec, row: int, got: Mapping[int, object]) -> str:
        text = (
            f"only {len(got)} of the {spec.needed} shares that are needed can be had from the "
            "friends who are online"
        )
        absent = self.absent(spec, row)
        return f"{text}; {_listed(absent)} may have more" if absent else text


class _Begun(Generic[T]):
    """Parts of packs that could not be had yet, the least recently used first to go."""

    def __init__(self, limit: int, drop: Callable[[T], None]) -> None:
        self._limit, self._drop = limit, drop
        self._parts: OrderedDict[tuple[int, ...], dict[int, T]] = OrderedDict()

    def pop(self, *key: int) -> dict[int, T]:
        return self._parts.pop(key, {})

    def keep(self, parts: dict[int, T], *key: int) -> None:
        self._parts[key] = parts
        while len(self._parts) > self._limit:
            for part in self._parts.popitem(last=False)[1].values():
                self._drop(part)


def _listed(names: list[str]) -> str:
    """«Bea», «Bea or Carl», «Anna, Bea or Carl»."""
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
