"""The calls of a member, against a small honest holder and against dishonest ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from datachannel import requests
from datachannel.errors import ProtocolError, Refusal, Unavailable
from datachannel.link import Handler, PeerSession, Stream
from datachannel.messages import (
    BLOCK_BYTES,
    DELETE_NAMES_MAX,
    LIST_ITEMS_MAX,
    ROOT_BYTES_MAX,
    STATEMENTS_BYTES_MAX,
    Answer,
    Continue,
    Delete,
    Deleted,
    Found,
    Get,
    Item,
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
from signaling.messages import MemberId
from tests.support.memory_link import MemoryLink, memory_links

HEADER = b"a header"
NAME = b"n" * 32
PAYLOAD = bytes(range(256)) * 4096 * 3 + b"the end"  # 48 blocks and a bit


class Holder:
    """Keeps what it is given, block by block, as a real one does."""

    def __init__(self) -> None:
        self.shares: dict[bytes, tuple[bytes, bytes]] = {}
        self.partial: dict[bytes, bytearray] = {}
        self.root: bytes | None = None
        self.statements: list[bytes] = []

    async def __call__(self, remote: MemberId, request: Request, stream: Stream) -> None:
        match request:
            case Put():
                await self.put(request, stream)
            case Get():
                await self.get(request, stream)
            case Delete():
                count = sum(self.shares.pop(name, None) is not None for name in request.names)
                await stream.send(Deleted(count))
            case List():
                await stream.send(self.page(request))
            case RootPut():
                data = [part async for part in receive_body(stream, request.length)]
                self.root = b"".join(data)
                await stream.send(Stored())
            case RootGet() if self.root is None:
                await stream.send(Refused("not_found"))
            case RootGet():
                assert self.root is not None
                await stream.send(Found(b"", len(self.root)))
                await stream.send_data(self.root)
            case SpaceQuery():
                await stream.send(Space(3, 2, 1))
            case StatementsGet():
                body = join_statements(self.statements)
                await stream.send(Found(b"", len(body)))
                await stream.send_data(body)

    async def put(self, request: Put, stream: Stream) -> None:
        partial = self.partial.setdefault(request.name, bytearray())
        del partial[len(partial) // BLOCK_BYTES * BLOCK_BYTES :]
        await stream.send(Continue(len(partial)))
        async for data in receive_body(stream, request.length - len(partial)):
            partial += data
        self.shares[request.name] = (request.header, bytes(self.partial.pop(request.name)))
        await stream.send(Stored())

    async def get(self, request: Get, stream: Stream) -> None:
        if request.name not in self.shares:
            raise Refusal("not_found")
        header, payload = self.shares[request.name]
        start = request.first_block * BLOCK_BYTES
        end = start + request.block_count * BLOCK_BYTES if request.block_count else len(payload)
        await stream.send(Found(header, len(payload)))
        await stream.send_data(payload[start:end])

    def page(self, request: List) -> Listing:
        names = sorted(name for name in self.shares if name > request.after)
        items = [Item(name, len(self.shares[name][1])) for name in names[: request.limit]]
        return Listing(tuple(items), more=len(names) > len(items))


async def nothing(remote: MemberId, request: Request, stream: Stream) -> None:
    raise Refusal("bad_request")


@asynccontextmanager
async def asking(holder: Handler) -> AsyncIterator[tuple[PeerSession, MemoryLink]]:
    """A session to a holder, and the asker's end of its link."""
    near, far = memory_links()
    asker = PeerSession(near, nothing, initiator=True)
    runs = [
        asyncio.ensure_future(one.run())
        for one in (asker, PeerSession(far, holder, initiator=False))
    ]
    try:
        async with asyncio.timeout(10):
            yield asker, near
    finally:
        await asker.close()
        await asyncio.gather(*runs, return_exceptions=True)


async def read_payload(offset: int, size: int) -> bytes:
    return PAYLOAD[offset : offset + size]


async def put(session: PeerSession, progress: Callable[[int], None] | None = None) -> None:
    await requests.put_share(session, NAME, HEADER, len(PAYLOAD), read_payload, progress=progress)


async def get(session: PeerSession, first_block: int = 0, block_count: int = 0) -> bytes:
    async with requests.get_share(session, NAME, first_block, block_count) as (_, parts):
        return b"".join([part async for part in parts])


async def test_a_share_is_put_and_got():
    holder, sent = Holder(), list[int]()
    async with asking(holder) as (session, _):
        await put(session, sent.append)
        assert holder.shares == {NAME: (HEADER, PAYLOAD)}
        assert sum(sent) == len(PAYLOAD)
        async with requests.get_share(session, NAME) as (found, parts):
            assert found == Found(HEADER, len(PAYLOAD))
            assert b"".join([part async for part in parts]) == PAYLOAD


@pytest.mark.parametrize(("first", "count"), [(0, 1), (3, 2), (47, 1), (48, 1), (40, 100), (48, 0)])
async def test_some_blocks_of_a_share_are_got(first: int, count: int):
    holder = Holder()
    holder.shares[NAME] = (HEADER, PAYLOAD)
    end = (first + count) * BLOCK_BYTES if count else len(PAYLOAD)
    async with asking(holder) as (session, _):
        assert await get(session, first, count) == PAYLOAD[first * BLOCK_BYTES : end]


@pytest.mark.parametrize("cut_after", [100, BLOCK_BYTES, 1_000_000, 2_500_000])
async def test_a_put_that_was_cut_goes_on_where_it_was(cut_after: int):
    holder = Holder()
    async with asking(holder) as (session, near):
        near.cut_after_bytes = cut_after
        with pytest.raises(Unavailable):
            await put(session)
    kept = len(holder.partial[NAME]) // BLOCK_BYTES * BLOCK_BYTES
    async with asking(holder) as (session, near):
        await put(session)
        left = len(PAYLOAD) - kept
        assert left <= near.sent_bytes <= left + 5_000  # frames have headers
    assert holder.shares[NAME] == (HEADER, PAYLOAD)


async def test_a_put_that_is_cut_again_and_again_arrives():
    holder, sent = Holder(), 0
    for _ in range(20):
        async with asking(holder) as (session, near):
            near.cut_after_bytes = 400_000
            try:
                await put(session)
                break
            except Unavailable:
                sent += near.sent_bytes
    assert holder.shares[NAME] == (HEADER, PAYLOAD)
    assert sent < 2.5 * len(PAYLOAD)


async def test_a_share_that_lies_there_already_costs_no_bytes():
    holder = Holder()

    async def has_it(remote: MemberId, request: Request, stream: Stream) -> None:
        await stream.send(Continue(len(PAYLOAD)))
        async for _ in receive_body(stream, 0):
            pass
        await stream.send(Stored())

    async with asking(has_it) as (session, near):
        await put(session)
        assert near.sent_bytes < 200
    assert not holder.shares


async def test_a_refusal_is_an_exception_with_its_code():
    async def full(remote: MemberId, request: Request, stream: Stream) -> None:
        await stream.send(Refused("full", "there is no room for it"))

    async with asking(full) as (session, _):
        with pytest.raises(Refusal, match="there is no room for it") as caught:
            await put(session)
        assert caught.value.code == "full"
        with pytest.raises(Refusal):
            await requests.query_space(session)
        assert not session.closed


async def test_what_a_holder_does_not_have_is_refused():
    async with asking(Holder()) as (session, _):
        with pytest.raises(Refusal) as caught:
            await get(session)
        assert caught.value.code == "not_found"


async def test_deleting_many_takes_several_requests():
    holder = Holder()
    names = [bytes([number % 256, number // 256]) * 16 for number in range(DELETE_NAMES_MAX + 9)]
    holder.shares = dict.fromkeys(names[:-2], (b"", b""))
    async with asking(holder) as (session, _):
        assert await requests.delete_shares(session, names) == len(names) - 2
    assert not holder.shares


async def test_all_pages_of_a_listing_come_in_order():
    holder = Holder()
    names = [number.to_bytes(32, "big") for number in range(1, 2 * LIST_ITEMS_MAX + 5)]
    holder.shares = dict.fromkeys(names, (b"", b"x"))
    async with asking(holder) as (session, _):
        listed = [item async for item in requests.list_shares(session)]
    assert listed == [Item(name, 1) for name in names]


async def test_a_root_is_put_and_got():
    holder, record = Holder(), bytes(range(256)) * (ROOT_BYTES_MAX // 256)
    async with asking(holder) as (session, _):
        assert await requests.get_root(session) is None
        await requests.put_root(session, record)
        assert await requests.get_root(session) == record


async def test_space_is_told():
    async with asking(Holder()) as (session, _):
        assert await requests.query_space(session) == Space(3, 2, 1)


# Holders that break the protocol. No call may believe them, keep more than it asked for, or hang.


def saying(*items: Answer | bytes) -> Handler:
    async def handler(remote: MemberId, request: Request, stream: Stream) -> None:
        for item in items:
            if isinstance(item, bytes):
                await stream.send_data(item)
            else:
                await stream.send(item)

    return handler


async def endless(remote: MemberId, request: Request, stream: Stream) -> None:
    await stream.send(Found(b"", 100_000))
    while True:
        await stream.send_data(bytes(60_000))


async def all_of(items: AsyncIterator[object]) -> None:
    async for _ in items:
        pass


a_name = b"\x07" * 32
Call = Callable[[PeerSession], Awaitable[object]]
DISHONEST: dict[str, tuple[Handler, Call]] = {
    "another answer": (saying(Stored()), requests.query_space),
    "data instead of an answer": (saying(b"x"), requests.query_space),
    "no answer at all": (saying(), requests.query_space),
    "continue after the end": (saying(Continue(len(PAYLOAD) + 1)), put),
    "continue within a block": (saying(Continue(17)), put),
    "less than announced": (saying(Found(b"", 100), b"x" * 99), get),
    "more than announced": (saying(Found(b"", 100), b"x" * 101), get),
    "without an end": (endless, get),
    "an answer within data": (saying(Found(b"", 100), b"x", Stored()), get),
    "blocks that are not there": (saying(Found(b"", 100)), lambda one: get(one, 5, 1)),
    "a root as large as a share": (saying(Found(b"", ROOT_BYTES_MAX + 1)), requests.get_root),
    "names out of order": (
        saying(Listing((Item(a_name, 1), Item(NAME, 1), Item(a_name, 1)), more=False)),
        lambda one: all_of(requests.list_shares(one)),
    ),
    "the same page again and again": (
        saying(Listing((Item(NAME, 1),), more=True)),
        lambda one: all_of(requests.list_shares(one)),
    ),
    "empty pages": (
        saying(Listing((), more=True)),
        lambda one: all_of(requests.list_shares(one)),
    ),
}


@pytest.mark.parametrize("case", DISHONEST)
async def test_a_holder_that_breaks_the_protocol_is_a_protocol_error(case: str):
    handler, call = DISHONEST[case]
    async with asking(handler) as (session, _):
        with pytest.raises(ProtocolError):
            await call(session)
        assert not session.open_streams


async def test_a_refusal_may_come_within_data():
    # The holder's disk fails in the middle.
    async with asking(saying(Found(b"", 100), b"x", Refused("internal"))) as (session, _):
        with pytest.raises(Refusal):
            await get(session)


async def test_an_asker_that_stops_reading_ends_the_request():
    ended = asyncio.Event()

    async def long(remote: MemberId, request: Request, stream: Stream) -> None:
        try:
            await stream.send(Found(b"", 50_000_000))
            await stream.send_data(bytes(50_000_000))
        except Refusal:
            ended.set()

    async with asking(long) as (session, _):
        async with requests.get_share(session, NAME) as (_, parts):
            async for _ in parts:
                break
        await ended.wait()
        assert not session.closed


async def test_a_refusal_of_a_root_that_is_not_its_absence_is_told():
    async with asking(saying(Refused("busy"))) as (session, _):
        with pytest.raises(Refusal):
            await requests.get_root(session)


async def test_a_payload_that_is_too_short_is_our_own_error_and_ends_only_the_request():
    async def nothing_left(offset: int, size: int) -> bytes:
        return PAYLOAD[offset : min(offset + size, 100_000)]

    holder = Holder()
    async with asking(holder) as (session, _):
        with pytest.raises(ValueError, match="the payload ends at 100000"):
            await requests.put_share(session, NAME, HEADER, len(PAYLOAD), nothing_left)
        await put(session)
        assert holder.shares == {NAME: (HEADER, PAYLOAD)}


async def test_every_call_is_told_when_the_link_breaks():
    async def never(remote: MemberId, request: Request, stream: Stream) -> None:
        await asyncio.Event().wait()

    calls: list[Call] = [
        put,
        get,
        requests.query_space,
        requests.get_root,
        lambda one: requests.put_root(one, bytes(ROOT_BYTES_MAX)),
        lambda one: requests.delete_shares(one, [NAME]),
        lambda one: all_of(requests.list_shares(one)),
    ]
    async with asking(never) as (session, near):
        waiting = [asyncio.ensure_future(call(session)) for call in calls]
        for _ in range(20):
            await asyncio.sleep(0)
        near.cut()
        for result in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(result, Unavailable)


async def test_usage_statements_are_got():
    holder = Holder()
    async with asking(holder) as (session, _):
        assert await requests.get_statements(session) == []
        holder.statements = [b"one", bytes(16_000), b"three"]
        assert await requests.get_statements(session) == holder.statements


@pytest.mark.parametrize(
    ("length", "body"),
    [(STATEMENTS_BYTES_MAX + 1, b""), (3, b"xyz"), (6, b"\x00\x00\x00\x09ab")],
    ids=["too long", "no length", "cut off"],
)
async def test_usage_statements_out_of_bounds_are_an_error(length: int, body: bytes):
    async def dishonest(remote: MemberId, request: Request, stream: Stream) -> None:
        await stream.send(Found(b"", length))
        if body:
            await stream.send_data(body)

    async with asking(dishonest) as (session, _):
        with pytest.raises(ProtocolError):
            await requests.get_statements(session)
