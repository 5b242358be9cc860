"""Split a pack into shares, and join shares back.

Any `needed` of the shares are enough. The first `needed` are the pack itself, in slices of equal
length (the last one filled up with zeros); the others are computed. Share i depends on the
pack, `needed` and i alone, so that a lost one can be made again, byte by byte, and more can be
made later. The arithmetic works column by column: the same byte range of any `needed` shares
gives that range of every slice, so that a small restore moves ranges and never packs.

zfec does the arithmetic and trusts its caller: a repeated number makes it loop for ever, a
number out of range or a flipped bit gives wrong bytes without an error. So everything is
checked here before zfec sees it; whether the bytes are the right ones is for the caller to check
before (share.py) and after (`pack.check_pack_id`).

Not here: encryption (seal.py), names of shares (share.py), who keeps which (peer).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import zfec

from chunking import formats
from chunking.formats import FormatError


@dataclass(frozen=True, slots=True)
class Span:
    """A part of one of the first `needed` shares' payloads."""

    number: int
    start: int
    length: int


def payload_length_of(pack_length: int, needed: int) -> int:
    """How long each share's payload is."""
    if not 0 < pack_length <= formats.PACK_BYTES_MAX:
        raise FormatError(f"a pack cannot have {pack_length} bytes")
    if not 1 <= needed <= formats.NEEDED_MAX:
        raise FormatError(f"a pack cannot need {needed} shares")
    return -(-pack_length // needed)


def split(pack: bytes, needed: int, numbers: Sequence[int]) -> list[bytes]:
    """The payloads of the shares with these numbers, in this order."""
    size = payload_length_of(len(pack), needed)
    _check_numbers(numbers)
    slices = _slices(pack, needed, size)
    extra = [number for number in numbers if number >= needed]
    coded: dict[int, bytes] = {}
    if extra:
        encoder = zfec.Encoder(needed, max(extra) + 1)
        coded = dict(zip(extra, encoder.encode(slices, extra), strict=True))
    return [coded[number] if number >= needed else bytes(slices[number]) for number in numbers]


def join(payloads: Mapping[int, bytes], needed: int, pack_length: int) -> bytes:
    """The pack, from at least `needed` payloads by number. Compare its id afterwards."""
    size = payload_length_of(pack_length, needed)
    for payload in payloads.values():
        formats.check(len(payload) == size, "a share's payload has the wrong length")
    padded = b"".join(join_range(payloads, needed))
    if padded.count(0, pack_length) != len(padded) - pack_length:
        raise FormatError("these shares do not belong together")
    return padded[:pack_length]


def join_range(columns: Mapping[int, bytes], needed: int) -> list[bytes]:
    """The same byte range of each of the first `needed` payloads, from that range of any
    `needed` payloads by number."""
    if not 1 <= needed <= formats.NEEDED_MAX:
        raise FormatError(f"a pack cannot need {needed} shares")
    _check_numbers(columns)
    if len(columns) < needed:
        raise FormatError(f"{needed} shares are needed, here are {len(columns)}")
    chosen = sorted(columns)[:needed]  # the low numbers first: they need no arithmetic
    blocks = [columns[number] for number in chosen]
    size = len(blocks[0])
    if any(len(block) != size for block in blocks):
        raise FormatError("the parts of these shares have different lengths")
    if chosen[-1] < needed or size == 0:
        return blocks
    # zfec wants each of the first `needed` that is there at its own place in the list.
    at_home = {number for number in chosen if number < needed}
    others = iter(number for number in chosen if number >= needed)
    order = [place if place in at_home else next(others) for place in range(needed)]
    decoder = zfec.Decoder(needed, max(order) + 1)
    decoded: list[bytes] = decoder.decode([columns[number] for number in order], order)
    return [bytes(block) for block in decoded]


def spans(offset: int, length: int, needed: int, pack_length: int) -> list[Span]:
    """Where in the first `needed` payloads this range of the pack lies, in order."""
    size = payload_length_of(pack_length, needed)
    if offset < 0 or length < 0 or offset + length > pack_length:
        raise FormatError("this range is not in the pack")
    found: list[Span] = []
    end = offset + length
    while offset < end:
        number, start = divmod(offset, size)
        part = min(size - start, end - offset)
        found.append(Span(number, start, part))
        offset += part
    return found


def _slices(pack: bytes, needed: int, size: int) -> list[bytes | memoryview]:
    view = memoryview(pack)
    slices: list[bytes | memoryview] = []
    for begin in range(0, needed * size, size):
        part = view[begin : begin + size]
        slices.append(part if len(part) == size else bytes(part).ljust(size, b"\x00"))
    return slices


def _check_numbers(numbers: Sequence[int] | Mapping[int, bytes]) -> None:
    for number in numbers:
        if not 0 <= number < formats.SHARES_MAX:
            raise FormatError(f"a share cannot have the number {number}")
    if len(set(numbers)) != len(numbers):
        raise FormatError("a share's number is there twice")
