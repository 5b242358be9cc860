"""SCTP's receiving half, for one ordered, reliable data channel: aiortc's with its faults cured.

aiortc is subclassed, never patched; each fault has a test that fails with the stock class. What
goes over the wire is plain SCTP of WebRTC, whoever the peer is.

- TSNs are compared modulo 2^32 (RFC 1982), so that a loss near the wrap does not stall for ever.
- What a peer can make us hold is bounded: a message, data out of order, the lists of a SACK.
- A malformed or forbidden packet ends the association, and raises nothing into the event loop.
- A message is put together in time proportional to its length.
- A SACK goes out for every second packet, or after 20 ms, or at once when something is missing.
- A late duplicate of an INIT changes nothing, and no wall clock takes part.
- DATA and SACK, which is nearly every packet, are taken as they come, without a task, an object or
  a search for what else they could be. What they lead to is sent when all that came has been taken.

Only for channels that are negotiated, ordered and reliable: partial reliability is not offered,
and FORWARD TSN is a violation. The sending half is aiortc_fixes_send.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from struct import unpack_from
from typing import Any

from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcsctptransport import (
    SCTP_DATA_FIRST_FRAG,
    SCTP_DATA_LAST_FRAG,
    SCTP_DATA_UNORDERED,
    SCTP_TSN_MODULO,
    WEBRTC_BINARY,
    Chunk,
    DataChunk,
    ForwardTsnChunk,
    InitChunk,
    RTCSctpTransport,
    SackChunk,
    parse_packet,
    serialize_packet,
    tsn_plus_one,
)
from google_crc32c import value as crc32c

from datachannel.channel_link import MESSAGE_BYTES_MAX

_log = logging.getLogger("covey.datachannel")

STREAM_ID = 0  # the only one
HELD_BYTES_MAX = 8 * 1024 * 1024  # data that arrived before what precedes it; above it is dropped
TSNS_AHEAD_MAX = 0xFFFF  # what a SACK can express
SACK_GAPS_MAX = 200  # a SACK has to fit a packet of 1189 bytes
SACK_DUPLICATES_MAX = 32
GAP_SACKS_MAX = 4  # in one flush: three make the peer retransmit, each takes a look at all gaps
SACK_DELAY_S = 0.02  # 200 ms, which the RFC allows, makes small exchanges crawl
BACKLOG_PACKETS_MAX = 256  # of other kinds than DATA and SACK: a handshake has four
_HALF = SCTP_TSN_MODULO // 2
_HEADER_BYTES = 12
_DATA, _SACK = 0, 3
_DATA_HEADER_BYTES, _SACK_HEADER_BYTES = 16, 16

Early = tuple[int, int, bytes]
"""Flags, protocol and data of a chunk that came before what precedes it."""


class PeerViolation(Exception):
    """The peer sent what no correct peer sends."""


class SerialOrderSctp(RTCSctpTransport):
    """The receiving half: serial TSN order, bounds, few SACKs."""

    def __init__(self, transport: RTCDtlsTransport, port: int = 5000) -> None:
        super().__init__(transport, port)
        self._local_partial_reliability = False
        self._advertised_rwnd = HELD_BYTES_MAX
        self._clock = asyncio.get_running_loop()
        self._over = False
        self._early: dict[int, Early] = {}
        self._early_bytes = 0
        self._fragments: list[bytes] = []
        self._fragments_bytes = 0
        self._packets_unacknowledged = 0
        self._sack_handle: asyncio.TimerHandle | None = None
        self._gap_sacks = 0  # since the last flush
        self._is_sack_due = False  # with the next flush
        self._out: list[bytes] = []  # packets that go out with the next flush
        self._flush_handle: asyncio.Handle | None = None
        self._backlog: deque[bytes] = deque()
        self._task: asyncio.Task[None] | None = None  # works the backlog off, or stops

    # Packets in

    def take_packet(self, packet: bytes) -> None:
        """Take a packet of the peer. Never raises; never waits."""
        if self._over:
            return
        try:
            if self._task is None and self._take_quickly(packet):
                return
        except PeerViolation as error:
            self._blame(error)
            self._over = True
            self._task = self._clock.create_task(self.stop())
            return
        if len(self._backlog) < BACKLOG_PACKETS_MAX:
            self._backlog.append(packet)
        if self._task is None:
            self._task = self._clock.create_task(self._work_off())

    async def _work_off(self) -> None:
        try:
            while self._backlog:
                await self._handle_data(self._backlog.popleft())
        finally:
            self._task = None

    def _take_quickly(self, packet: bytes) -> bool:
        """Take a packet of DATA and SACK chunks; False, and nothing done, when it is another."""
        size = len(packet)
        found: list[tuple[int, int, int, int]] = []  # kind, flags, start, end
        start = _HEADER_BYTES
        while start + 4 <= size:
            kind, flags, length = unpack_from("!BBH", packet, start)
            if kind not in (_DATA, _SACK) or length < 16 or start + length > size:
                return False
            found.append((kind, flags, start, start + length))
            start += length + (-length & 3)
        if not found:
            return False
        tag, checksum = unpack_from("!L", packet, 4)[0], unpack_from("<L", packet, 8)[0]
        if tag != self._local_verification_tag:
            return True
        if checksum != crc32c(packet[:8] + b"\0\0\0\0" + packet[12:]):
            return True
        gap_before = bool(self._early)
        for kind, flags, start, end in found:
            if kind == _DATA:
                tsn, stream_id, _, protocol = unpack_from("!LHHL", packet, start + 4)
                data = packet[start + _DATA_HEADER_BYTES : end]
                self._take_data(tsn, flags, stream_id, protocol, data)
            else:
                self._take_sack(*_sack_of(packet, start, end))
        if self._sack_needed and not self._over:
            self._sack_soon(at_once=gap_before)
        return True

    async def _handle_data(self, data: bytes) -> None:
        # aiortc lets assertions and struct errors of a bad packet out into its receive loop,
        # which ends with an exception that nobody retrieves.
        try:
            await self._handle_packet(data)
        except Exception as error:
            self._blame(error)
            await self.stop()

    def _blame(self, error: Exception) -> None:
        _log.warning("a peer broke the transport's rules: %s", error or type(error).__name__)

    async def _handle_packet(self, data: bytes) -> None:
        if self._over:
            return
        try:
            _, _, verification_tag, chunks = parse_packet(data)
        except ValueError:
            return
        if any(isinstance(chunk, InitChunk) for chunk in chunks):
            if len(chunks) != 1:
                raise PeerViolation("an INIT in company")
            expected_tag = 0
        else:
            expected_tag = self._local_verification_tag
        if verification_tag != expected_tag:
            return
        gap_before = bool(self._early)
        for chunk in chunks:
            await self._receive_chunk(chunk)
        if self._sack_needed and not self._over:
            self._sack_soon(at_once=gap_before)

    async def _receive_chunk(self, chunk: Chunk) -> None:
        if isinstance(chunk, DataChunk):
            self._take_data(
                chunk.tsn, chunk.flags, chunk.stream_id, chunk.protocol, chunk.user_data
            )
        elif isinstance(chunk, SackChunk):
            self._take_sack(chunk.cumulative_tsn, chunk.advertised_rwnd, chunk.gaps)
        elif isinstance(chunk, ForwardTsnChunk):
            raise PeerViolation("a FORWARD TSN on a reliable association")
        elif isinstance(chunk, InitChunk) and self._association_state == self.State.ESTABLISHED:
            # A late duplicate. aiortc would start to count from its TSN again.
            return
        else:
            await super()._receive_chunk(chunk)

    def _take_sack(self, cumulative_tsn: int, room: int, gaps: list[tuple[int, int]]) -> None:
        """The peer says what has arrived, and for how many bytes it has room."""
        raise AssertionError("the sending half takes it")

    # Data

    def _take_data(self, tsn: int, flags: int, stream_id: int, protocol: int, data: bytes) -> None:
        if self._last_received_tsn is None:
            return
        if stream_id != STREAM_ID or flags & SCTP_DATA_UNORDERED:
            raise PeerViolation("data outside of the one ordered stream")
        if not data:
            raise PeerViolation("an empty DATA chunk")
        self._sack_needed = True
        ahead = (tsn - self._last_received_tsn) % SCTP_TSN_MODULO
        if ahead == 1:
            self._last_received_tsn = tsn
            self._take_in_order(flags, protocol, data)
            while self._early and not self._over:
                following = self._early.pop(tsn_plus_one(self._last_received_tsn), None)
                if following is None:
                    break
                self._early_bytes -= len(following[2])
                self._last_received_tsn = tsn_plus_one(self._last_received_tsn)
                self._take_in_order(*following)
        elif ahead == 0 or ahead >= _HALF or tsn in self._early:
            if len(self._sack_duplicates) < SACK_DUPLICATES_MAX:
                self._sack_duplicates.append(tsn)
        elif ahead <= TSNS_AHEAD_MAX and self._early_bytes + len(data) <= HELD_BYTES_MAX:
            self._early[tsn] = (flags, protocol, data)
            self._early_bytes += len(data)
        # Else it is dropped, as if it had been lost: a correct sender sends it again.

    def _take_in_order(self, flags: int, protocol: int, data: bytes) -> None:
        """The next chunk in order. With one ordered stream that is all there is to ordering."""
        is_first = bool(flags & SCTP_DATA_FIRST_FRAG)
        if is_first == bool(self._fragments):
            raise PeerViolation("fragments that make no message")
        if flags & SCTP_DATA_LAST_FRAG and is_first:
            self._deliver(protocol, data)
            return
        self._fragments_bytes += len(data)
        if self._fragments_bytes > MESSAGE_BYTES_MAX:
            raise PeerViolation("a message without an end")
        self._fragments.append(data)
        if flags & SCTP_DATA_LAST_FRAG:
            message = b"".join(self._fragments)
            self._fragments.clear()
            self._fragments_bytes = 0
            self._deliver(protocol, message)

    def _deliver(self, protocol: int, message: bytes) -> None:
        # Frames are never empty and never text, and nobody opens channels here.
        if protocol != WEBRTC_BINARY:
            raise PeerViolation(f"a message of kind {protocol}")
        channel = self._data_channels.get(STREAM_ID)
        if channel is not None:
            channel.emit("message", message)

    # Acknowledgements

    def _sack_soon(self, *, at_once: bool) -> None:
        self._packets_unacknowledged += 1
        if at_once or self._early or self._sack_duplicates:
            self._gap_sacks += 1
            if self._gap_sacks < GAP_SACKS_MAX:
                self._queue_sack()
            else:
                self._is_sack_due = True
                self._flush_soon()
        elif self._packets_unacknowledged >= 2:
            self._queue_sack()
        elif self._sack_handle is None:
            self._sack_handle = self._clock.call_later(SACK_DELAY_S, self._sack_is_due)

    def _sack_is_due(self) -> None:
        self._sack_handle = None
        if self._sack_needed and not self._over:
            self._queue_sack()

    def _queue_sack(self) -> None:
        base = self._last_received_tsn
        assert base is not None, "nothing came"
        sack = SackChunk()
        sack.cumulative_tsn = base
        sack.advertised_rwnd = max(0, self._advertised_rwnd - self._early_bytes)
        sack.duplicates = self._sack_duplicates[:]
        sack.gaps = self._gaps(base) if self._early else []
        self._sack_duplicates.clear()
        self._sack_needed = self._is_sack_due = False
        self._packets_unacknowledged = 0
        if self._sack_handle is not None:
            self._sack_handle.cancel()
            self._sack_handle = None
        self._queue_chunk(sack)
        self._flush_soon()

    def _gaps(self, base: int) -> list[tuple[int, int]]:
        gaps: list[list[int]] = []
        for distance in sorted((tsn - base) % SCTP_TSN_MODULO for tsn in self._early):
            if gaps and distance == gaps[-1][1] + 1:
                gaps[-1][1] = distance
            elif len(gaps) < SACK_GAPS_MAX:
                gaps.append([distance, distance])
            else:
                break
        return [(start, end) for start, end in gaps]

    # Packets out

    def _queue_chunk(self, chunk: Chunk) -> None:
        self._out.append(
            serialize_packet(
                self._local_port, self._remote_port or 0, self._remote_verification_tag, chunk
            )
        )

    def _flush_soon(self) -> None:
        """Send what there is when all that came has been taken."""
        if self._flush_handle is None:
            self._flush_handle = self._clock.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_handle = None
        if not self._over:
            self._send_out()

    def _send_out(self) -> None:
        # Much is sent from where nobody could be told. That the DTLS layer is gone is announced
        # by the DTLS layer itself.
        if self._is_sack_due:
            self._queue_sack()
        self._gap_sacks = 0
        out, self._out = self._out, []
        if out:
            try:
                self.transport.send_packets(out)  # type: ignore[attr-defined]  # DirectDtls
            except ConnectionError:
                _log.debug("packets were not sent, the connection is gone")

    async def _send_chunk(self, chunk: Chunk) -> None:
        self._queue_chunk(chunk)
        self._send_out()

    def _set_state(self, state: RTCSctpTransport.State) -> None:
        super()._set_state(state)
        if state == self.State.CLOSED:
            self._over = True
            for handle in (self._sack_handle, self._flush_handle):
                if handle is not None:
                    handle.cancel()
            self._sack_handle = self._flush_handle = None
            self._early.clear()
            self._fragments.clear()
            self._backlog.clear()
            self._outbound_queue.clear()
            self._sent_queue.clear()
            self._data_channel_queue.clear()

    def _get_timestamp(self) -> int:
        # For the age of our own cookies: a wall clock that jumps would refuse a fresh one.
        return int(self._clock.time())


def _sack_of(packet: bytes, start: int, end: int) -> tuple[int, int, list[tuple[int, int]]]:
    """The cumulative TSN, the room and the gaps of a SACK. Raises PeerViolation."""
    cumulative, room, gaps, duplicates = unpack_from("!LLHH", packet, start + 4)
    if start + _SACK_HEADER_BYTES + 4 * (gaps + duplicates) != end:
        raise PeerViolation("an acknowledgement of a wrong length")
    if not gaps:
        return cumulative, room, []
    numbers: tuple[Any, ...] = unpack_from(f"!{2 * gaps}H", packet, start + _SACK_HEADER_BYTES)
    return cumulative, room, list(zip(numbers[::2], numbers[1::2], strict=True))
