"""The requests of `messages.py` as calls over a session, and bounded reading for both sides.

A caller gets `Refusal` when the other side says no, `RemoteError` when it breaks the protocol, and
`Unavailable` when the link goes. All calls may simply be made again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from datachannel.errors import ProtocolError, Refusal
from datachannel.link import PeerSession, Stream
from datachannel.messages import (
    BLOCK_BYTES,
    DELETE_NAMES_MAX,
    DUTY_BYTES_MAX,
    NAME_BYTES,
    ROOT_BYTES_MAX,
    STATEMENTS_BYTES_MAX,
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
    split_statements,
)

READ_BYTES = 60 * 1024
"""What is read and sent at a time: one data frame."""
LISTED_SHARES_MAX = 50_000_000
"""An endless listing ends here; a member with more shares has a petabyte."""

T = TypeVar("T")
Read = Callable[[int, int], Awaitable[bytes]]
"""(offset, size) -> that part of a payload."""


async def put_share(
    session: PeerSession,
    name: bytes,
    header: bytes,
    length: int,
    read: Read,
    *,
    progress: Callable[[int], None] | None = None,
    owner: bytes = b"",
) -> None:
    """Have the other side keep a share; goes on where an earlier attempt broke off.

    Returns when it is durable there. `progress` hears of every so many bytes sent. A deputy names
    the `owner` for whom it acts.
    """
    async with await session.open(_for(owner, Put(name, header, length))) as stream:
        offset = (await expect(stream, Continue)).offset
        if offset > length or (offset % BLOCK_BYTES and offset != length):
            raise ProtocolError(f"it wants to continue at {offset} of {length}")
        while offset < length:
            data = await read(offset, min(READ_BYTES, length - offset))
            if not data:
                raise ValueError(f"the payload ends at {offset} of {length} bytes")
            await stream.send_data(data)
            offset += len(data)
            if progress is not None:
                progress(len(data))
        await stream.finish()
        await expect(stream, Stored)


@asynccontextmanager
async def get_share(
    session: PeerSession,
    name: bytes,
    first_block: int = 0,
    block_count: int = 0,
    *,
    owner: bytes = b"",
) -> AsyncIterator[tuple[Found, AsyncIterator[bytes]]]:
    """A share's header and length, and its bytes (or those of some blocks), unverified.

    The iterator gives exactly as many bytes as `Found` implies, or raises RemoteError. Leaving the
    context early ends the transfer.
    """
    async with await session.open(_for(owner, Get(name, first_block, block_count))) as stream:
        await stream.finish()
        found = await expect(stream, Found)
        start = first_block * BLOCK_BYTES
        end = found.length if not block_count else start + block_count * BLOCK_BYTES
        size = min(end, found.length) - start
        if size < 0:
            raise ProtocolError("it announces blocks that the share does not have")
        yield found, receive_body(stream, size)


async def delete_shares(session: PeerSession, names: Sequence[bytes]) -> int:
    """Have the other side delete shares; how many of them it had."""
    count = 0
    for start in range(0, len(names), DELETE_NAMES_MAX):
        part = tuple(names[start : start + DELETE_NAMES_MAX])
        async with await session.open(Delete(part)) as stream:
            await stream.finish()
            count += (await expect(stream, Deleted)).count
    return count


async def list_shares(session: PeerSession, *, owner: bytes = b"") -> AsyncIterator[Item]:
    """All shares that the other side has of this member, or of the `owner` for whom this member
    acts, by name, page by page."""
    after, seen = b"", 0
    while True:
        async with await session.open(_for(owner, List(after))) as stream:
            await stream.finish()
            listing = await expect(stream, Listing)
        for item in listing.items:
            if item.name <= after or len(item.name) != NAME_BYTES:
                raise ProtocolError("its listing is not in order")
            after = item.name
            yield item
        seen += len(listing.items)
        if not listing.more:
            return
        if not listing.items or seen > LISTED_SHARES_MAX:
            raise ProtocolError("its listing has no end")


async def put_root(session: PeerSession, record: bytes) -> None:
    """Have the other side keep a root record. Refusal("stale"): it has a newer one."""
    await _put_record(session, RootPut(len(record)), record)


async def get_root(session: PeerSession) -> bytes | None:
    """The root record that the other side keeps for this member, unverified; None without."""
    try:
        return await _get_record(session, RootGet(), ROOT_BYTES_MAX, "a root record")
    except Refusal as refusal:
        if refusal.code == "not_found":
            return None
        raise


async def query_space(session: PeerSession) -> Space:
    """What the other side gives, and would take from this member."""
    async with await session.open(SpaceQuery()) as stream:
        await stream.finish()
        return await expect(stream, Space)


async def get_statements(session: PeerSession) -> list[bytes]:
    """The usage statements that the other side knows, unverified."""
    found = await _get_record(session, StatementsGet(), STATEMENTS_BYTES_MAX, "usage statements")
    return split_statements(found)


async def get_farewells(session: PeerSession) -> list[bytes]:
    """The goodbyes that the other side knows, unverified: a member's id and its sealed card."""
    found = await _get_record(session, FarewellsGet(), STATEMENTS_BYTES_MAX, "goodbyes")
    return split_statements(found)


async def say_handed_over(session: PeerSession) -> None:
    """Tell a friend who is leaving that it need not wait for us."""
    async with await session.open(HandedOver()) as stream:
        await stream.finish()
        await expect(stream, Stored)


async def put_duty(session: PeerSession, record: bytes) -> None:
    """Have the other side keep a duty. Refusal("stale"): it has a newer one."""
    await _put_record(session, DutyPut(len(record)), record)


async def get_duty(session: PeerSession, owner: bytes) -> bytes:
    """The duty of an owner that the other side keeps, unverified."""
    return await _get_record(session, DutyGet(owner), DUTY_BYTES_MAX, "a duty")


async def ask_lease(session: PeerSession, owner: bytes, counter: int) -> int:
    """For how many seconds this member alone may act for an owner, as far as the other side goes.

    Refusal("busy"): another deputy has the lease; "stale": there is a newer duty.
    """
    async with await session.open(LeaseAsk(owner, counter)) as stream:
        await stream.finish()
        return (await expect(stream, Leased)).seconds


async def _put_record(session: PeerSession, request: Request, record: bytes) -> None:
    """Send a record whole; returns when it is on the other side's disk."""
    async with await session.open(request) as stream:
        for start in range(0, len(record), READ_BYTES):
            await stream.send_data(record[start : start + READ_BYTES])
        await stream.finish()
        await expect(stream, Stored)


async def _get_record(session: PeerSession, request: Request, bytes_max: int, what: str) -> bytes:
    """What the other side has of this, whole and unverified."""
    async with await session.open(request) as stream:
        await stream.finish()
        found = await expect(stream, Found)
        if found.length > bytes_max:
            raise ProtocolError(f"it announces {what} of {found.length} bytes")
        return b"".join([data async for data in receive_body(stream, found.length)])


def _for(owner: bytes, request: Put | Get | List) -> Request:
    return ForOwner(owner, request) if owner else request


async def expect(stream: Stream, kind: type[T]) -> T:
    """The next message, which must be of this kind. Raises Refusal, ProtocolError."""
    message = await stream.receive()
    if isinstance(message, Refused):
        raise message.as_refusal()
    if not isinstance(message, kind):
        raise ProtocolError(f"it sent {type(message).__name__} where {kind.__name__} was due")
    return message


async def receive_body(stream: Stream, length: int) -> AsyncIterator[bytes]:
    """Exactly `length` bytes of data, as they come. Raises ProtocolError for more or fewer."""
    left = length
    while True:
        data = await stream.receive()
        if data is None:
            if left:
                raise ProtocolError(f"the data ends {left} bytes early")
            return
        if isinstance(data, Refused):
            raise data.as_refusal()
        if not isinstance(data, bytes | bytearray | memoryview):
            raise ProtocolError(f"it sent {type(data).__name__} in the middle of data")
        left -= len(data)
        if left < 0:
            raise ProtocolError("there is more data than was announced")
        yield bytes(data)
