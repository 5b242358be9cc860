"""A share, or some blocks of one, out of a session: believed only when they have the right name.

Nothing else is believed: the header must be the expected one, the length must fit it, and the bytes
must have the name that the owner's own index gives them, block by block with their proof.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from chunking.formats import FormatError, ShareName
from chunking.share import ShareHasher, decode_header, payload_length, verify_range
from datachannel.link import PeerSession
from datachannel.messages import Found
from datachannel.requests import get_share
from peer.ports import RunBlocking

WRITE_BYTES = 512 << 10
"""Bytes collected before a thread is asked to hash and write them."""


class WrongShare(Exception):
    """A holder returned something that is not the share it was asked for."""


class Listener:
    """Hears what comes. Both may be called from the loop only."""

    def __init__(self, answered: Callable[[], None], arrived: Callable[[int], None]) -> None:
        self.answered, self.arrived = answered, arrived


async def receive_share(
    session: PeerSession,
    name: ShareName,
    header: bytes,
    path: Path,
    listener: Listener,
    run_blocking: RunBlocking,
) -> None:
    """Write a share's payload to a file. Raises WrongShare, and what `get_share` does."""
    hasher = ShareHasher(header)
    async with get_share(session, name) as (found, body):
        _check(found, header)
        listener.answered()
        with path.open("wb", buffering=0) as file:
            waiting: list[bytes] = []
            size = 0
            async for data in body:
                waiting.append(data)
                size += len(data)
                listener.arrived(len(data))
                if size >= WRITE_BYTES:
                    await _keep(hasher, file, waiting, run_blocking)
                    waiting, size = [], 0
            await _keep(hasher, file, waiting, run_blocking)
    try:
        is_right = hasher.finish() == name
    except FormatError as error:
        raise WrongShare(str(error)) from error
    if not is_right:
        raise WrongShare("its bytes do not have its name")


async def receive_blocks(
    session: PeerSession,
    name: ShareName,
    header: bytes,
    blocks: tuple[int, int],
    listener: Listener,
    run_blocking: RunBlocking,
) -> bytes:
    """(first, count) blocks of a share. Raises WrongShare, and what `get_share` does."""
    first, count = blocks
    async with get_share(session, name, first, count) as (found, body):
        _check(found, header)
        listener.answered()
        parts: list[bytes] = []
        async for data in body:
            parts.append(data)
            listener.arrived(len(data))
    data = b"".join(parts)
    try:
        await run_blocking(verify_range, name, header, first, data, found.proof)
    except FormatError as error:
        raise WrongShare(str(error)) from error
    return data


def _check(found: Found, header: bytes) -> None:
    if found.header != header:
        raise WrongShare("its header is another share's")
    if found.length != payload_length(decode_header(header)):
        raise WrongShare(f"it claims to have {found.length} bytes")


async def _keep(
    hasher: ShareHasher, file: IO[bytes], parts: list[bytes], run_blocking: RunBlocking
) -> None:
    try:
        await run_blocking(_hash_and_write, hasher, file, parts)
    except FormatError as error:
        raise WrongShare(str(error)) from error


def _hash_and_write(hasher: ShareHasher, file: IO[bytes], parts: Sequence[bytes]) -> None:
    data = b"".join(parts)
    hasher.update(data)
    written = 0
    while written < len(data):
        written += file.write(memoryview(data)[written:])
