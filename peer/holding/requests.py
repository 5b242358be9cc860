"""Answers friends' requests from the store.

The owner is the member at the other end of the authenticated link, always: there is no way to name
another. Everything that touches the disk runs in threads, in pieces large enough that a share
needs few of them; nothing is acknowledged before the store has synced it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import assert_never

from chunking.formats import SHARE_HEADER_BYTES
from datachannel.link import Stream
from datachannel.messages import (
    LIST_ITEMS_MAX,
    Continue,
    Delete,
    Deleted,
    DutyGet,
    DutyPut,
    FarewellsGet,
    ForOwner,
    Found,
    Get,
    HandedOver,
    Item,
    LeaseAsk,
    Leased,
    List,
    Listing,
    Put,
    Refused,
    Request,
    RootGet,
    RootPut,
    Space,
    SpaceQuery,
    StatementsGet,
    Stored,
    join_statements,
)
from datachannel.requests import receive_body
from peer.duty.holder import Duties, NotDue
from peer.holding.reading import HeldRange
from peer.holding.store import (
    BadShare,
    Busy,
    NoRoom,
    ShareStore,
    Stale,
)
from peer.holding.store import Put as StorePut
from peer.ports import RunBlocking
from peer.space.fairness import Fairness, OverOffer
from signaling.messages import MemberId

log = logging.getLogger("covey.holding")

WRITE_BYTES = 512 << 10
"""Bytes collected before a thread is asked to hash and write them."""
READ_BYTES = 1 << 20

Refusals = {
    OverOffer: ("over_offer", "you take more than you may"),
    NoRoom: ("full", "there is no room left for you"),
    BadShare: ("bad_share", "these bytes are not that share"),
    Busy: ("busy", "the same share is on its way already"),
    Stale: ("stale", "a newer record is here"),
    NotDue: ("not_due", "no duty allows this now"),
}


class HoldingHandler:
    """A `datachannel.link.Handler`."""

    def __init__(
        self,
        store: ShareStore,
        *,
        run_blocking: RunBlocking,
        fairness: Fairness | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Without `fairness` everybody may take what there is. It may be set later: it needs the
        member, whose links need this."""
        self._store, self._run_blocking, self._on_change = store, run_blocking, on_change
        self.fairness = fairness
        self.duties: Duties | None = None
        """Without, nobody acts for others here. It may be set later, as `fairness`."""
        self.farewells: Callable[[], Sequence[bytes]] = tuple
        self.handed_over: set[MemberId] = set()
        """Who has said, since we said that we are leaving, that we need not wait for it."""

    async def __call__(self, remote: MemberId, request: Request, stream: Stream) -> None:
        """Answer one request and finish the stream."""
        try:
            if not self._store.owners.is_noted_today(remote):
                await self._run_blocking(self._store.see, remote)
            await self._answer(remote, request, stream)
        except tuple(Refusals) as error:
            code, text = Refusals[type(error)]
            await stream.send(Refused(code, str(error)[:300] or text))
        except OSError as error:
            log.error("a request could not be answered: %s", error.strerror)
            await stream.send(Refused("internal", "the disk fails here"))
        await stream.finish()

    async def _answer(self, remote: MemberId, request: Request, stream: Stream) -> None:
        call = self._run_blocking
        match request:
            case Put():
                await self._put(remote, request, stream)
            case Get():
                await self._get(remote, request, stream)
            case Delete(names):
                count = await call(self._store.delete, remote, names)
                await stream.send(Deleted(count))
                self._on_change()
            case List(after, limit):
                page, more = await call(
                    self._store.list_after, remote, after, min(limit, LIST_ITEMS_MAX)
                )
                await stream.send(Listing(tuple(Item(n, size) for n, size in page), more))
            case RootPut(length):
                record = b"".join([data async for data in receive_body(stream, length)])
                await call(self._store.put_root, remote, record)
                await stream.send(Stored())
                self._on_change()
            case RootGet():
                await self._get_root(remote, stream)
            case SpaceQuery():
                free = await call(self._free_for, remote)
                offer, kept = self._store.limit_bytes, self._store.kept_bytes
                await stream.send(Space(offer, kept, free))
            case StatementsGet():
                await _send_records(stream, self.fairness.to_tell() if self.fairness else [])
            case FarewellsGet():
                await _send_records(stream, self.farewells())
            case HandedOver():
                self.handed_over.add(remote)
                await stream.send(Stored())
            case DutyPut() | DutyGet() | LeaseAsk() | ForOwner():
                await self._for_absent(remote, request, stream)
            case _:
                assert_never(request)

    async def _for_absent(
        self,
        remote: MemberId,
        request: DutyPut | DutyGet | LeaseAsk | ForOwner,
        stream: Stream,
    ) -> None:
        """What is about an owner who is gone."""
        call, duties = self._run_blocking, self.duties
        if duties is None:
            raise NotDue("nobody acts for others here")
        match request:
            case DutyPut(length):
                record = b"".join([data async for data in receive_body(stream, length)])
                await call(duties.put, record)
                await stream.send(Stored())
            case DutyGet(owner):
                record = await call(duties.get, MemberId(owner), remote)
                await stream.send(Found(b"", len(record)))
                await stream.send_data(record)
            case LeaseAsk(owner, counter):
                seconds = await call(duties.ask_lease, MemberId(owner), remote, counter)
                await stream.send(Leased(seconds))
            case ForOwner(owner, inner):
                await call(duties.allow, MemberId(owner), remote, inner)
                await self._answer(MemberId(owner), inner, stream)

    def _free_for(self, owner: MemberId) -> int:
        free = self._store.free_bytes()
        return free if self.fairness is None else min(free, self.fairness.left(owner))

    async def _put(self, remote: MemberId, request: Put, stream: Stream) -> None:
        call, store = self._run_blocking, self._store
        begun: list[StorePut] = []

        def begin() -> None:
            if self.fairness is not None and not store.has(remote, request.name):
                self.fairness.admit(remote, SHARE_HEADER_BYTES + request.length)
            # Kept here by the thread itself: a link that is cut now must not lose sight of it.
            begun.append(store.begin_put(remote, request.name, request.header, request.length))

        try:
            await call(begin)
            (put,) = begun
            await stream.send(Continue(put.offset))
            await self._receive(put, stream)
            await call(store.finish_put, put)
        except BaseException:
            for put in begun:
                await call(store.abort, put)  # keeps what has come; nothing to a finished put
            raise
        await stream.send(Stored())
        self._on_change()

    async def _receive(self, put: StorePut, stream: Stream) -> None:
        waiting = bytearray()
        try:
            async for data in receive_body(stream, put.length - put.offset):
                waiting += data
                if len(waiting) >= WRITE_BYTES:
                    piece, waiting = bytes(waiting), bytearray()
                    await self._run_blocking(self._store.append, put, piece)
        finally:
            # Also when the link broke: what has come need not come again.
            if waiting:
                await self._run_blocking(self._store.append, put, bytes(waiting))

    async def _get(self, remote: MemberId, request: Get, stream: Stream) -> None:
        opened: list[HeldRange | None] = []

        def open_range() -> None:
            # Kept here by the thread itself: a link that is cut now must not leave it open.
            opened.append(
                self._store.open_range(
                    remote, request.name, request.first_block, request.block_count
                )
            )

        try:
            await self._run_blocking(open_range)
            (held,) = opened
            if held is None:
                await stream.send(Refused("not_found", "there is no such share of yours here"))
                return
            await stream.send(Found(held.header, held.length, held.proof))
            await self._send_range(held, stream)
        finally:
            for held in opened:
                if held is not None:
                    held.close()

    async def _send_range(self, held: HeldRange, stream: Stream) -> None:
        offset = 0
        while offset < held.size:
            size = min(READ_BYTES, held.size - offset)
            data = await self._run_blocking(held.read, offset, size)
            if len(data) != size:
                raise OSError(5, "a held share is shorter than it was")
            await stream.send_data(data)
            offset += size

    async def _get_root(self, remote: MemberId, stream: Stream) -> None:
        record = await self._run_blocking(self._store.get_root, remote)
        if record is None:
            await stream.send(Refused("not_found", "there is no record of yours here"))
            return
        await stream.send(Found(b"", len(record)))
        await stream.send_data(record)


async def _send_records(stream: Stream, records: Sequence[bytes]) -> None:
    body = join_statements(records)
    await stream.send(Found(b"", len(body)))
    if body:
        await stream.send_data(body)
