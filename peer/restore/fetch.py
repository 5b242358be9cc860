"""Shares of a pack, from whichever friends have them, verified as they arrive.

Any `needed` shares will do. The plain slices come first, since joining them costs nothing; a
friend that is slow, gone or wrong is replaced by another that has a share of the same pack.
Nothing is believed: the header must be the expected one, the length must fit it, and the bytes
must have the name that the owner's own index gives them. Who returns anything else is named in
the log and asked last from then on: one rotten share does not make all others bad.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from chunking.erasure import payload_length_of
from chunking.formats import FormatError, PackId, ShareName
from chunking.share import ShareHasher, ShareHeader, encode_header
from datachannel.errors import Refusal, RemoteError, Unavailable
from datachannel.requests import get_share, list_shares
from peer.ports import Friends, RunBlocking
from peer.restore.messages import share_file
from signaling.messages import MemberId

log = logging.getLogger("covey.restore")

STALL_S = 12.0
"""A share that does not arrive for so long is asked of another friend as well."""
GIVE_UP_S = 60.0
"""A share of which nothing arrives for so long is given up."""
LIST_TIMEOUT_S = 60.0
WRITE_BYTES = 512 << 10
"""Bytes collected before a thread is asked to hash and write them."""
SHARES_PER_FRIEND = 4
"""Shares under way from one friend at a time."""


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


class WrongShare(Exception):
    """A holder returned something that is not the share it was asked for."""


@dataclass(slots=True)
class Whereabouts:
    """Which friends have which shares, by the shares' names, as they say themselves."""

    holders: dict[ShareName, set[MemberId]] = field(default_factory=lambda: defaultdict(set))
    asked: set[MemberId] = field(default_factory=set)

    def add(self, name: ShareName, member: MemberId) -> None:
        """This friend has (or had) this share."""
        self.holders[name].add(member)

    def of(self, name: ShareName) -> set[MemberId]:
        """The friends that have this share."""
        return self.holders.get(name, set())


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
        self._load: dict[MemberId, int] = defaultdict(int)
        self._gates: dict[MemberId, asyncio.Semaphore] = {}
        self._distrusted: set[MemberId] = set()
        self._listing = asyncio.Lock()
        self.fetched_bytes = 0
        self.sources: dict[str, int] = defaultdict(int)

    async def fetch(self, spec: PackSpec, row: int) -> list[int]:
        """Bring enough shares of a pack into the scratch folder; returns their numbers.

        Raises PackUnavailable when all that is known has been tried.
        """
        got: set[int] = set()
        tried: set[tuple[int, MemberId]] = set()
        running: dict[asyncio.Task[bool], int] = {}
        try:
            while len(got) < spec.needed:
                self._start_more(spec, row, got, tried, running)
                if not running:
                    if await self._look_again(tried):
                        continue
                    raise PackUnavailable(self._why(spec, got))
                finished, _ = await asyncio.wait(
                    running, timeout=STALL_S, return_when=asyncio.FIRST_COMPLETED
                )
                for task in finished:
                    number = running.pop(task)
                    if task.result():
                        got.add(number)
                if not finished:
                    self._start_more(spec, row, got, tried, running, extra=1)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        return sorted(got)[: spec.needed]

    async def learn(self) -> None:
        """Ask every friend that is online, and was not asked yet, what it holds of ours."""
        async with self._listing:
            members = [
                friend.member
                for friend in self._friends.members().values()
                if friend.online and friend.member not in self._where.asked
            ]
            await asyncio.gather(*(self._list(member) for member in sorted(members)))

    async def _list(self, member: MemberId) -> None:
        try:
            async with asyncio.timeout(LIST_TIMEOUT_S):
                session = await self._friends.session(member)
                async for item in list_shares(session):
                    self._where.add(ShareName(item.name), member)
        except (Unavailable, Refusal, RemoteError, TimeoutError) as error:
            log.info("%s cannot say what it holds: %s", self._name(member), error)
            return
        self._where.asked.add(member)

    async def _look_again(self, tried: set[tuple[int, MemberId]]) -> bool:
        """Learn more about who holds what; whether anything new may have come of it."""
        before = len(self._where.asked)
        await self.learn()
        return len(self._where.asked) > before

    def _start_more(
        self,
        spec: PackSpec,
        row: int,
        got: set[int],
        tried: set[tuple[int, MemberId]],
        running: dict[asyncio.Task[bool], int],
        *,
        extra: int = 0,
    ) -> None:
        wanted = spec.needed - len(got) - len(running) + extra
        for number, member in self._candidates(spec, got, tried, set(running.values())):
            if wanted <= 0:
                return
            if number in running.values():
                continue
            tried.add((number, member))
            self._load[member] += 1
            task = asyncio.create_task(self._fetch_share(spec, row, number, member))
            running[task] = number
            wanted -= 1

    def _candidates(
        self,
        spec: PackSpec,
        got: set[int],
        tried: set[tuple[int, MemberId]],
        running: set[int],
    ) -> list[tuple[int, MemberId]]:
        online = {f.member for f in self._friends.members().values() if f.online}
        found = [
            (number, member)
            for number, name in enumerate(spec.shares)
            if number not in got and number not in running
            for member in self._where.of(name)
            if member in online and (number, member) not in tried
        ]
        found.sort(
            key=lambda c: (c[1] in self._distrusted, c[0] >= spec.needed, self._load[c[1]], c)
        )
        return found

    async def _fetch_share(self, spec: PackSpec, row: int, number: int, member: MemberId) -> bool:
        """Whether the share is in the scratch folder now."""
        path = self._scratch / f"{share_file(row, number)}.{member.hex()[:8]}"
        try:
            gate = self._gates.setdefault(member, asyncio.Semaphore(SHARES_PER_FRIEND))
            async with gate:
                await self._receive(spec, number, member, path)
            path.replace(self._scratch / share_file(row, number))
        except (WrongShare, RemoteError) as error:
            self._distrusted.add(member)
            log.warning(
                "%s returned a wrong share %s: %s",
                self._name(member),
                spec.shares[number].hex()[:12],
                error,
            )
        except Refusal as refusal:
            log.info("%s has no share for us: %s", self._name(member), refusal)
        except (Unavailable, TimeoutError) as error:
            log.info("%s cannot be reached: %s", self._name(member), error or "it is silent")
        else:
            self.sources[self._name(member)] += 1
            return True
        finally:
            self._load[member] -= 1
            path.unlink(missing_ok=True)
        return False

    async def _receive(self, spec: PackSpec, number: int, member: MemberId, path: Path) -> None:
        header = encode_header(ShareHeader(self._owner, spec.id, spec.needed, number, spec.length))
        hasher = ShareHasher(header)
        session = await self._friends.session(member)
        loop = asyncio.get_running_loop()
        async with (
            asyncio.timeout(GIVE_UP_S) as deadline,
            get_share(session, spec.shares[number]) as (found, body),
        ):
            if found.header != header:
                raise WrongShare("its header is another share's")
            if found.length != payload_length_of(spec.length, spec.needed):
                raise WrongShare(f"it claims to have {found.length} bytes")
            with path.open("wb", buffering=0) as file:
                waiting: list[bytes] = []
                size = 0
                async for data in body:
                    deadline.reschedule(loop.time() + GIVE_UP_S)
                    waiting.append(data)
                    size += len(data)
                    self.fetched_bytes += len(data)
                    if size >= WRITE_BYTES:
                        await self._keep(hasher, file, waiting)
                        waiting, size = [], 0
                await self._keep(hasher, file, waiting)
        try:
            name = hasher.finish()
        except FormatError as error:
            raise WrongShare(str(error)) from error
        if name != spec.shares[number]:
            raise WrongShare("its bytes do not have its name")

    async def _keep(self, hasher: ShareHasher, file: IO[bytes], parts: list[bytes]) -> None:
        try:
            await self._run_blocking(_hash_and_write, hasher, file, parts)
        except FormatError as error:
            raise WrongShare(str(error)) from error

    def _name(self, member: MemberId) -> str:
        friend = self._friends.members().get(member)
        return f"{friend.card.name if friend else 'a friend'} ({member.hex()[:8]})"

    def _why(self, spec: PackSpec, got: set[int]) -> str:
        return (
            f"only {len(got)} of the {spec.needed} shares that are needed can be had from the "
            "friends who are online"
        )


def _hash_and_write(hasher: ShareHasher, file: IO[bytes], parts: Iterable[bytes]) -> None:
    data = b"".join(parts)
    hasher.update(data)
    written = 0
    while written < len(data):
        written += file.write(memoryview(data)[written:])


def known_places(rows: Mapping[ShareName, MemberId]) -> Whereabouts:
    """Whereabouts from what the catalog remembers."""
    where = Whereabouts()
    for name, member in rows.items():
        where.add(name, member)
    return where
