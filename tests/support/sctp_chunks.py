"""Chunks and packets of SCTP for tests, one of each as simple as can be."""

from __future__ import annotations

from aiortc.rtcsctptransport import SCTP_TSN_MODULO, DataChunk, SackChunk, serialize_packet

from tests.support.sctp_harness import Two

WRAP = SCTP_TSN_MODULO


def numbered(count: int, size: int = 1000) -> list[bytes]:
    return [number.to_bytes(4, "big") + bytes(size - 4) for number in range(count)]


def tsns_of(chunks) -> list[int]:
    return [chunk.tsn for chunk in chunks if isinstance(chunk, DataChunk)]


def data_chunk(tsn: int, flags: int = 3, payload: bytes = b"x" * 10, stream: int = 0) -> DataChunk:
    chunk = DataChunk()
    chunk.flags, chunk.tsn, chunk.stream_id = flags, tsn % WRAP, stream
    chunk.protocol, chunk.user_data = 53, payload
    return chunk


def packet_to(two: Two, chunk) -> bytes:
    """A packet that the right transport takes for one of its peer's."""
    return serialize_packet(5000, 5000, two.right._local_verification_tag, chunk)


def sack(cumulative: int, gaps=()) -> SackChunk:
    chunk = SackChunk()
    chunk.cumulative_tsn, chunk.advertised_rwnd = cumulative % WRAP, 1 << 20
    chunk.gaps = list(gaps)
    return chunk
