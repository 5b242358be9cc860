"""Carry the shares of packs to friends, from the spool, until each has its holder.

One `Shipper` lives for one night. Packs come in by `add`; for every friend there is a queue and a
task that works it off, so a slow friend delays nobody else. A friend that is full or gone gives its
queue back, and what can go elsewhere does. Every acknowledgement is written to the catalog before
the spool's copy may be deleted.

A pack is *safe* when enough holders have acknowledged (`Code.safe`). It is *settled* when nothing
more can be done for it tonight: all shares acknowledged, or nobody left to take the others.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chunking.erasure import payload_length_of
from chunking.share import ShareHeader, encode_header, name_of
from datachannel.errors import Refusal, RemoteError, Unavailable
from datachannel.requests import put_share
from peer.catalog import Catalog, PackRow
from peer.ports import Friends, RunBlocking
from peer.upkeep.placement import Candidate, place
from peer.upkeep.redundancy import Code
from signaling.messages import MemberId

log = logging.getLogger("covey.ship")

PUTS_PER_FRIEND = 2
"""One share is being made durable over there while the next one is on its way."""
PATIENCE_S = 45.0
"""A friend that could not be reached, or was busy, for so long counts as gone for tonight."""
OFFLINE_PATIENCE_S = 15.0
"""The same for a friend that the server says is offline: time to start again, but no more."""
AWAY_PATIENCE_S = 3600.0
"""While the server is not reached either, our own network is away: friends are waited for so long,
and the night goes on where it was when the network is back."""
RETRY_S = 2.0
STALL_S = 60.0
"""A share of which nothing moves for so long is given up, and so is the friend, for tonight."""
READ_BYTES = 1 << 20
RECORD_EVERY_S = 0.1
"""Acknowledgements are written to the catalog together, this often."""


@dataclass(slots=True, eq=False)
class Shipment:
    """A pack on its way. `assigned` and `acked` map a share's number to its holder."""

    row: PackRow
    path: Path
    spool_bytes: int
    payload_bytes: int
    assigned: dict[int, MemberId] = field(default_factory=dict)
    acked: dict[int, MemberId] = field(default_factory=dict)
    recorded: int = 0
    doubted: set[tuple[MemberId, int]] = field(default_factory=set)
    """Shares that a holder has called wrong once, although they are not."""

    @property
    def code(self) -> Code:
        return Code(self.row.needed, self.row.total)

    @property
    def safe(self) -> bool:
        return len(self.acked) >= self.code.safe

    def missing(self) -> list[int]:
        """Numbers that nobody has and nobody is being sent."""
        return [
            number
            for number in range(self.row.total)
            if number not in self.acked and number not in self.assigned
        ]

    @property
    def settled(self) -> bool:
        """Nothing of it is under way."""
        return not self.assigned


@dataclass(slots=True, eq=False)
class Holder:
    """A friend tonight."""

    member: MemberId
    name: str
    free_bytes: int
    fill_bytes: int
    queue: deque[tuple[Shipment, int]] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    usable: bool = True
    failing_since: float | None = None
    shares: int = 0


class Shipper:
    """Ships packs to the friends it was given. Use `run` as a task; then `add`, `settled`."""

    def __init__(
        self,
        *,
        owner: MemberId,
        friends: Friends,
        catalog: Catalog,
        run_blocking: RunBlocking,
        candidates: Sequence[Candidate],
        names: dict[MemberId, str],
        released: Callable[[Shipment], None],
    ) -> None:
        self._owner, self._friends = owner, friends
        self._catalog, self._run_blocking = catalog, run_blocking
        self._released = released
        self.holders = {
            c.member: Holder(c.member, names[c.member], c.free_bytes, c.fill_bytes)
            for c in candidates
        }
        self._active: dict[int, Shipment] = {}
        self._acks: list[tuple[Shipment, int, MemberId]] = []
        self._changed = asyncio.Event()
        self._away_since: float | None = None
        self.shipped_bytes = 0
        self.unsafe: list[PackRow] = []
        self.broken: list[PackRow] = []
        self.damaged: list[PackRow] = []
        self.problems: dict[str, str] = {}
        self.over_offer = False
        """Whether a friend refused more since we take more than we may."""

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for holder in self.holders.values():
                for _ in range(PUTS_PER_FRIEND):
                    tasks.create_task(self._serve(holder))
            tasks.create_task(self._record_acks())

    def add(self, row: PackRow, path: Path, acked: dict[int, MemberId]) -> None:
        """Ship the shares of a pack that nobody has yet; its spool file is whole."""
        payload = payload_length_of(row.length, row.needed)
        shipment = Shipment(row, path, payload * row.total, payload, acked=dict(acked))
        shipment.recorded = len(acked)
        self._active[row.pack] = shipment
        self._assign(shipment)
        self._look(shipment)

    def idle(self) -> bool:
        """Whether nothing is under way: only packs that cannot go on are left, if any."""
        return not any(s.assigned for s in self._active.values()) and not self._acks

    async def settled(self) -> None:
        """Wait until every pack that was added is settled and recorded."""
        while self._active:
            self._changed.clear()
            await self._changed.wait()

    # --- assigning --------------------------------------------------------------------------

    def _assign(self, shipment: Shipment) -> None:
        numbers = shipment.missing()
        usable = [
            Candidate(h.member, h.free_bytes, h.fill_bytes)
            for h in self.holders.values()
            if h.usable
        ]
        plan = place(
            numbers,
            usable,
            shipment.acked | shipment.assigned,
            shipment.payload_bytes,
            turn=shipment.row.id[0],
        )
        for candidate in usable:
            if candidate.free_bytes < shipment.payload_bytes and len(plan) < len(numbers):
                self.problems[self.holders[candidate.member].name] = "has no more room"
        for number, member in sorted(plan.items()):
            holder = self.holders[member]
            holder.free_bytes -= shipment.payload_bytes
            holder.fill_bytes += shipment.payload_bytes
            shipment.assigned[number] = member
            holder.queue.append((shipment, number))
            holder.wake.set()

    def _give_up(self, holder: Holder, reason: str) -> None:
        """No more for this friend tonight; what it was to get goes elsewhere if it can."""
        if not holder.usable:
            return
        holder.usable = False
        self.problems[holder.name] = reason
        log.info("a friend takes no more shares tonight: %s", reason)
        waiting, holder.queue = list(holder.queue), deque()
        for shipment, number in waiting:
            self._return(holder, shipment, number)

    def _return(self, holder: Holder, shipment: Shipment, number: int) -> None:
        holder.free_bytes += shipment.payload_bytes
        holder.fill_bytes -= shipment.payload_bytes
        shipment.assigned.pop(number, None)
        self._assign(shipment)
        self._look(shipment)

    # --- shipping ---------------------------------------------------------------------------

    async def _serve(self, holder: Holder) -> None:
        while True:
            while not holder.queue:
                holder.wake.clear()
                await holder.wake.wait()
            shipment, number = holder.queue.popleft()
            if await self._ship(holder, shipment, number):
                continue
            if holder.usable:
                holder.queue.appendleft((shipment, number))
                await asyncio.sleep(RETRY_S)
            else:
                self._return(holder, shipment, number)

    async def _ship(self, holder: Holder, shipment: Shipment, number: int) -> bool:
        """Try once. True: it is settled, one way or the other; False: it must be tried again."""
        try:
            await self._put(holder, shipment, number)
        except TimeoutError:
            self._give_up(holder, "does not answer any more")
            return False
        except Unavailable as error:
            if self._is_away():
                holder.failing_since = None  # what we miss meanwhile says nothing about the friend
            else:
                self._lose_patience(holder, f"cannot be reached ({error})")
            return False
        except Refusal as refusal:
            return await self._refused(holder, shipment, number, refusal)
        except RemoteError as error:
            self._give_up(holder, f"breaks the protocol ({error})")
            return False
        except OSError as error:
            log.error("a spool file cannot be read: %s", error.strerror)
            self._drop(shipment)
            return True
        holder.failing_since = None
        holder.shares += 1
        shipment.assigned.pop(number, None)
        shipment.acked[number] = holder.member
        self._acks.append((shipment, number, holder.member))
        return True

    def _lose_patience(self, holder: Holder, reason: str) -> None:
        """It did not work, for now; that counts from the first time until it works again."""
        now = asyncio.get_running_loop().time()
        since = holder.failing_since = holder.failing_since or now
        friend = self._friends.members().get(holder.member)
        is_online = friend is not None and friend.online
        if now - since > (PATIENCE_S if is_online else OFFLINE_PATIENCE_S):
            self._give_up(holder, reason)

    def _is_away(self) -> bool:
        """Whether it is us who cannot be reached, and that not for too long."""
        now = asyncio.get_running_loop().time()
        if self._friends.reached:
            self._away_since = None
            return False
        since = self._away_since = self._away_since or now
        return now - since < AWAY_PATIENCE_S

    async def _put(self, holder: Holder, shipment: Shipment, number: int) -> None:
        """Raises TimeoutError when it stands still, and what `put_share` raises."""
        loop = asyncio.get_running_loop()
        row = shipment.row
        header = encode_header(ShareHeader(self._owner, row.id, row.needed, number, row.length))
        session = await self._friends.session(holder.member)
        async with asyncio.timeout(STALL_S) as deadline:

            def moved(size: int) -> None:
                self.shipped_bytes += size
                deadline.reschedule(loop.time() + STALL_S)

            await put_share(
                session,
                row.shares[number],
                header,
                shipment.payload_bytes,
                _SpoolReader(shipment, number, self._run_blocking).read,
                progress=moved,
            )

    async def _refused(
        self, holder: Holder, shipment: Shipment, number: int, refusal: Refusal
    ) -> bool:
        if refusal.code == "busy":
            self._lose_patience(holder, "is busy all the time")
            return False
        if refusal.code == "bad_share" and not await self._is_whole(shipment, number):
            log.error("a spool file is damaged; its chunks will be read again")
            self._drop(shipment)
            return True
        if refusal.code == "bad_share" and (holder.member, number) not in shipment.doubted:
            # Perhaps what it had kept of an earlier attempt was rotten; that is gone now.
            shipment.doubted.add((holder.member, number))
            return False
        reasons = {
            "full": "has no more room",
            "too_large": "has no more room",
            "over_offer": f"has no more room for you ({refusal.text})",
        }
        self.over_offer = self.over_offer or refusal.code == "over_offer"
        self._give_up(holder, reasons.get(refusal.code, f"refuses shares ({refusal.text})"))
        return False

    async def _is_whole(self, shipment: Shipment, number: int) -> bool:
        """Whether the spool's bytes of a share still have the share's name."""
        return await self._run_blocking(_has_name, self._owner, shipment, number)

    # --- settling ---------------------------------------------------------------------------

    async def _record_acks(self) -> None:
        while True:
            await asyncio.sleep(RECORD_EVERY_S)
            acks, self._acks = self._acks, []
            if not acks:
                continue
            touched = {shipment.row.pack: shipment for shipment, _, _ in acks}
            safe = {pack for pack, shipment in touched.items() if shipment.safe}
            rows = [(shipment.row.pack, number, member) for shipment, number, member in acks]
            await self._run_blocking(self._catalog.record_placements, rows, safe)
            for shipment, _, _ in acks:
                shipment.recorded += 1
            for shipment in touched.values():
                self._look(shipment)

    def _look(self, shipment: Shipment) -> None:
        """Let go of a pack for which nothing more can be done."""
        if not shipment.settled or shipment.recorded < len(shipment.acked):
            return
        if self._active.pop(shipment.row.pack, None) is None:
            return
        if not shipment.safe:
            self.unsafe.append(shipment.row)
        self._released(shipment)
        self._changed.set()

    def _drop(self, shipment: Shipment) -> None:
        """The spool's copy is no good. Unless enough friends have the pack, or had it once (this
        may be a repair), it must be forgotten, so that its chunks are made anew."""
        shipment.assigned.clear()
        if self._active.pop(shipment.row.pack, None) is None:
            return  # another of its shares has shown it already
        self.damaged.append(shipment.row)
        if not (shipment.safe or shipment.row.safe):
            self.broken.append(shipment.row)
        self._changed.set()


class _SpoolReader:
    """Reads one share's payload out of its pack's spool file, a megabyte at a time."""

    def __init__(self, shipment: Shipment, number: int, run_blocking: RunBlocking) -> None:
        self._path, self._run_blocking = shipment.path, run_blocking
        self._start = number * shipment.payload_bytes
        self._end = self._start + shipment.payload_bytes
        self._ahead = b""
        self._ahead_at = 0

    async def read(self, offset: int, size: int) -> bytes:
        """`size` bytes of the payload from `offset`. Raises OSError."""
        begin = offset - self._ahead_at
        if begin < 0 or begin + size > len(self._ahead):
            at = self._start + offset
            length = min(max(size, READ_BYTES), self._end - at)
            self._ahead = await self._run_blocking(_read_range, self._path, at, length)
            self._ahead_at, begin = offset, 0
        return self._ahead[begin : begin + size]


def _read_range(path: Path, offset: int, length: int) -> bytes:
    fd = os.open(path, os.O_RDONLY)
    try:
        data = os.pread(fd, length, offset)
    finally:
        os.close(fd)
    if len(data) != length:
        raise OSError(5, "the spool file is too short")
    return data


def _has_name(owner: MemberId, shipment: Shipment, number: int) -> bool:
    row = shipment.row
    header = ShareHeader(owner, row.id, row.needed, number, row.length)
    try:
        payload = _read_range(
            shipment.path, number * shipment.payload_bytes, shipment.payload_bytes
        )
    except OSError:
        return False
    return name_of(encode_header(header), payload) == row.shares[number]
