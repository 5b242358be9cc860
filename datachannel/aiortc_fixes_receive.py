"""SCTP's receiving half, for one ordered, reliable data channel: aiortc's with its faults cured.

aiortc is subclassed, never patched; each fault has a test that fails with the stock class. What
goes over the wire is plain SCTP of WebRTC, whoever the peer is.

- TSNs are compared modulo 2^32 (RFC 1982), so that a loss near the wrap does not stall for ever.
- What a peer can make us hold is bounded: a message, data out of order, the lists of a SACK.
- A malformed or forbidden packet ends the association, and raises nothing into the event loop.
- A message is put together in time proportional to its length.
- A SACK goes out for every second packet, or after 20 ms, or at once when something is missing.
- A late duplicate of an INIT changes nothing, and no wall clock takes part.

Only for channels that are negotiated, ordered and reliable: partial reliability is not offered,
and FORWARD TSN is a violation. The sending half is aiortc_fixes_send.py.
"""

from __future__ import annotations

import asyncio
import logging

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
    tsn_plus_one,
)

from datachannel.channel_link import MESSAGE_BYTES_MAX

_log = logging.getLogger("covey.datachannel")

STREAM_ID = 0  # the only one
HELD_BYTES_MAX = 8 * 1024 * 1024  # data that arrived before what precedes it; above it is dropped
TSNS_AHEAD_MAX = 0xFFFF  # what a SACK can express
SACK_GAPS_MAX = 200  # a SACK has to fit a packet of 1189 bytes
SACK_DUPLICATES_MAX = 32
SACK_DELAY_S = 0.02  # 200 ms, which the RFC allows, makes small exchanges crawl
_HALF = SCTP_TSN_MODULO // 2


class PeerViolation(Exception):
    """The peer sent what no correct peer sends."""


class SerialOrderSctp(RTCSctpTransport):
    """The receiving half: serial TSN order, bounds, few SACKs."""

    def __init__(self, transport: RTCDtlsTransport, port: int = 5000) -> None:
        super().__init__(transport, port)
        self._local_partial_reliability = False
        self._clock = asyncio.get_running_loop()
        self._over = False
        self._early: dict[int, DataChunk] = {}
        self._early_bytes = 0
        self._fragments: list[bytes] = []
        self._fragments_bytes = 0
        self._packets_unacknowledged = 0
        self._sack_handle: asyncio.TimerHandle | None = None
        self._sack_task: asyncio.Task[None] | None = None

    async def _handle_data(self, data: bytes) -> None:
        # aiortc lets assertions and struct errors of a bad packet out into its receive loop,
        # which ends with an exception that nobody retrieves.
        try:
            await self._handle_packet(data)
        except Exception as error:
            _log.warning("a peer broke the transport's rules: %s", error or type(error).__name__)
            await self.stop()

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
            await self._sack_soon(at_once=gap_before)

    async def _receive_chunk(self, chunk: Chunk) -> None:
        if isinstance(chunk, DataChunk):
            await self._receive_data_chunk(chunk)
        elif isinstance(chunk, SackChunk):
            await self._receive_sack_chunk(chunk)
        elif isinstance(chunk, ForwardTsnChunk):
            raise PeerViolation("a FORWARD TSN on a reliable association")
        elif isinstance(chunk, InitChunk) and self._association_state == self.State.ESTABLISHED:
            # A late duplicate. aiortc would start to count from its TSN again.
            return
        else:
            await super()._receive_chunk(chunk)

    async def _receive_data_chunk(self, chunk: DataChunk) -> None:
        if self._last_received_tsn is None:
            return
        if chunk.stream_id != STREAM_ID or chunk.flags & SCTP_DATA_UNORDERED:
            raise PeerViolation("data outside of the one ordered stream")
        if not chunk.user_data:
            raise PeerViolation("an empty DATA chunk")
        self._sack_needed = True
        ahead = (chunk.tsn - self._last_received_tsn) % SCTP_TSN_MODULO
        if ahead == 0 or ahead >= _HALF or chunk.tsn in self._early:
            if len(self._sack_duplicates) < SACK_DUPLICATES_MAX:
                self._sack_duplicates.append(chunk.tsn)
            return
        if ahead == 1:
            self._last_received_tsn = chunk.tsn
            await self._take(chunk)
            while self._early and not self._over:
                following = self._early.pop(tsn_plus_one(self._last_received_tsn), None)
                if following is None:
                    break
                self._early_bytes -= len(following.user_data)
                self._last_received_tsn = following.tsn
                await self._take(following)
        elif ahead <= TSNS_AHEAD_MAX and self._early_bytes + len(chunk.user_data) <= HELD_BYTES_MAX:
            self._early[chunk.tsn] = chunk
            self._early_bytes += len(chunk.user_data)
        # Else it is dropped, as if it had been lost: a correct sender sends it again.

    async def _take(self, chunk: DataChunk) -> None:
        """The next chunk in order. With one ordered stream that is all there is to ordering."""
        is_first = bool(chunk.flags & SCTP_DATA_FIRST_FRAG)
        if is_first == bool(self._fragments):
            raise PeerViolation("fragments that make no message")
        if chunk.flags & SCTP_DATA_LAST_FRAG and is_first:
            message = chunk.user_data
        else:
            self._fragments_bytes += len(chunk.user_data)
            if self._fragments_bytes > MESSAGE_BYTES_MAX:
                raise PeerViolation("a message without an end")
            self._fragments.append(chunk.user_data)
            if not chunk.flags & SCTP_DATA_LAST_FRAG:
                return
            message = b"".join(self._fragments)
            self._fragments.clear()
            self._fragments_bytes = 0
        await self._receive(chunk.stream_id, chunk.protocol, message)

    async def _receive(self, stream_id: int, pp_id: int, data: bytes) -> None:
        # Frames are never empty and never text, and nobody opens channels here.
        if pp_id != WEBRTC_BINARY:
            raise PeerViolation(f"a message of kind {pp_id}")
        channel = self._data_channels.get(stream_id)
        if channel is not None:
            channel.emit("message", data)

    async def _sack_soon(self, *, at_once: bool) -> None:
        self._packets_unacknowledged += 1
        if at_once or self._early or self._sack_duplicates or self._packets_unacknowledged >= 2:
            await self._send_sack()
        elif self._sack_handle is None:
            self._sack_handle = self._clock.call_later(SACK_DELAY_S, self._sack_is_due)

    def _sack_is_due(self) -> None:
        self._sack_handle = None
        if self._sack_needed and not self._over:
            self._sack_task = self._clock.create_task(self._send_sack())

    async def _send_sack(self) -> None:
        base = self._last_received_tsn
        if base is None:
            return
        gaps: list[list[int]] = []
        for distance in sorted((tsn - base) % SCTP_TSN_MODULO for tsn in self._early):
            if gaps and distance == gaps[-1][1] + 1:
                gaps[-1][1] = distance
            elif len(gaps) < SACK_GAPS_MAX:
                gaps.append([distance, distance])
            else:
                break
        sack = SackChunk()
        sack.cumulative_tsn = base
        sack.advertised_rwnd = max(0, self._advertised_rwnd - self._early_bytes)
        sack.duplicates = self._sack_duplicates[:]
        sack.gaps = [(start, end) for start, end in gaps]
        self._sack_duplicates.clear()
        self._sack_needed = False
        self._packets_unacknowledged = 0
        if self._sack_handle is not None:
            self._sack_handle.cancel()
            self._sack_handle = None
        await self._send_chunk(sack)

    async def _send_chunk(self, chunk: Chunk) -> None:
        # Many sends happen in tasks that nobody awaits. That the DTLS layer is gone is
        # announced by the DTLS layer itself.
        try:
            await super()._send_chunk(chunk)
        except ConnectionError:
            _log.debug("a packet was not sent, the connection is gone")

    def _set_state(self, state: RTCSctpTransport.State) -> None:
        super()._set_state(state)
        if state == self.State.CLOSED:
            self._over = True
            if self._sack_handle is not None:
                self._sack_handle.cancel()
                self._sack_handle = None
            self._early.clear()
            self._fragments.clear()
            self._outbound_queue.clear()
            self._sent_queue.clear()
            self._data_channel_queue.clear()

    def _get_timestamp(self) -> int:
        # For the age of our own cookies: a wall clock that jumps would refuse a fresh one.
        return int(self._clock.time())
