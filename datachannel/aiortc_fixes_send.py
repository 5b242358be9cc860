"""SCTP's sending half, for one ordered, reliable data channel: aiortc's with its faults cured.

- The sent queue is searched only when something in it is marked for retransmission; aiortc walks
  all of it on every packet.
- A chunk is retransmitted fast once (RFC 9260 7.2.4), then the timer is in charge; aiortc sends
  one lost chunk dozens of times in a round trip.
- The timer's least value is 0.3 s instead of 1 s, it doubles when it expires, and no wall clock
  takes part.
- The congestion window has a maximum. What the peer has is not sent again when the timer expires.
- A SACK costs time proportional to what is in flight, whatever ranges it names.

The peer's receive window is not looked at, as in aiortc: the session's credits are far smaller.
"""

from __future__ import annotations

import asyncio
import itertools

from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcsctptransport import (
    SCTP_TSN_MODULO,
    USERDATA_MAX_LENGTH,
    DataChunk,
    SackChunk,
)
from aiortc.utils import uint32_gt, uint32_gte

from datachannel.aiortc_fixes_receive import PeerViolation, SerialOrderSctp

CWND_BYTES_MAX = 4 * 1024 * 1024  # 40 MB/s at 100 ms; more only fills queues
RTO_S_MIN = 0.3
RTO_S_MAX = 10.0
RTO_S_UNMEASURED = 1.0
FAST_RETRANSMIT_MISSES = 3
BURST_PACKETS = 4
BURST_PACKETS_IN_RECOVERY = 2


class QuickSctp(SerialOrderSctp):
    """The sending half: no needless searching, one fast retransmission, a sober timer."""

    def __init__(self, transport: RTCDtlsTransport, port: int = 5000) -> None:
        super().__init__(transport, port)
        self._something_marked = False
        self._retransmitted_fast: set[int] = set()
        self._expiries = 0  # of T3, without an acknowledgement in between
        self._transmit_task: asyncio.Task[None] | None = None

    @property
    def rtt_s(self) -> float | None:
        """The smoothed round trip, when one was measured."""
        return self._srtt

    async def _transmit(self) -> None:
        if self._over:
            return
        recovering = self._fast_recovery_exit is not None
        burst = (BURST_PACKETS_IN_RECOVERY if recovering else BURST_PACKETS) * USERDATA_MAX_LENGTH
        window = min(self._flight_size + burst, self._cwnd)
        if self._something_marked and not await self._retransmit(window):
            return
        while self._outbound_queue and self._flight_size < window:
            chunk = self._outbound_queue.popleft()
            self._sent_queue.append(chunk)
            self._flight_size_increase(chunk)
            chunk._sent_count += 1
            chunk._sent_time = self._clock.time()
            await self._send_chunk(chunk)
            if self._t3_handle is None and not self._over:
                self._t3_start()

    async def _retransmit(self, window: int) -> bool:
        """Send again what is marked, in order; False when the window does not take all."""
        earliest = self._sent_queue[0] if self._sent_queue else None
        for chunk in [chunk for chunk in self._sent_queue if chunk._retransmit]:
            if self._fast_recovery_transmit:
                self._fast_recovery_transmit = False  # one goes out whatever the window says
            elif self._flight_size >= window:
                return False
            self._flight_size_increase(chunk)
            chunk._misses = 0
            chunk._retransmit = False
            chunk._sent_count += 1
            await self._send_chunk(chunk)
            if chunk is earliest and not self._over:
                self._t3_restart()
        self._something_marked = False
        return True

    async def _receive_sack_chunk(self, chunk: SackChunk) -> None:
        if uint32_gt(self._last_sacked_tsn, chunk.cumulative_tsn):
            return  # an old one, overtaken
        outstanding = len(self._sent_queue)
        acknowledged = (chunk.cumulative_tsn - self._last_sacked_tsn) % SCTP_TSN_MODULO
        if acknowledged > outstanding:
            raise PeerViolation("an acknowledgement of what was never sent")
        window_was_full = self._flight_size >= self._cwnd
        self._last_sacked_tsn = chunk.cumulative_tsn
        done_bytes = self._acknowledge(acknowledged)
        loss = False
        if chunk.gaps:
            gap_bytes, loss = self._strike(chunk.gaps)
            done_bytes += gap_bytes
        self._adjust_window(acknowledged > 0 and window_was_full, done_bytes, loss=loss)
        if not self._sent_queue:
            self._t3_cancel()
            self._something_marked = False
        elif acknowledged:
            self._t3_restart()
        await self._data_channel_flush()
        await self._transmit()

    def _acknowledge(self, count: int) -> int:
        """Drop the first `count` chunks of the sent queue; returns the bytes newly known of."""
        done_bytes = 0
        for number in range(count):
            sent = self._sent_queue.popleft()
            if not sent._acked:
                done_bytes += sent._book_size
            self._flight_size_decrease(sent)
            self._retransmitted_fast.discard(sent.tsn)
            if number == 0 and sent._sent_count == 1 and sent._sent_time is not None:
                self._update_rto(self._clock.time() - sent._sent_time)
        if count:
            self._expiries = 0
            self._set_rto()
        return done_bytes

    def _strike(self, gaps: list[tuple[int, int]]) -> tuple[int, bool]:
        """Take the gap blocks of a SACK; returns the bytes newly known of, and whether one is lost.

        The sent queue has consecutive TSNs, so that the offsets of a SACK are positions in it.
        """
        end_before = 0
        for start, end in gaps:
            if not end_before < start <= end <= len(self._sent_queue):
                return 0, False  # makes no sense; the cumulative TSN is good all the same
            end_before = end
        done_bytes, highest_new = 0, 0
        missing: list[tuple[int, DataChunk]] = []
        blocks = iter(gaps)
        start, end = next(blocks)
        for offset, sent in enumerate(itertools.islice(self._sent_queue, end_before), start=1):
            if offset > end:
                start, end = next(blocks)
            if offset < start:
                missing.append((offset, sent))
            elif not sent._acked:
                sent._acked = True
                sent._retransmit = False
                done_bytes += sent._book_size
                highest_new = offset
                self._flight_size_decrease(sent)
        loss = False
        for offset, sent in missing:
            if offset > highest_new:
                break
            loss = self._miss(sent) or loss
        return done_bytes, loss

    def _miss(self, sent: DataChunk) -> bool:
        """One more report without this chunk; True when it counts as lost now."""
        if sent._retransmit or sent.tsn in self._retransmitted_fast:
            return False
        sent._misses += 1
        if sent._misses < FAST_RETRANSMIT_MISSES:
            return False
        sent._misses = 0
        sent._acked = False
        sent._retransmit = True
        self._something_marked = True
        self._retransmitted_fast.add(sent.tsn)
        self._flight_size_decrease(sent)
        return True

    def _adjust_window(self, may_grow: bool, done_bytes: int, *, loss: bool) -> None:
        if self._fast_recovery_exit is not None:
            if uint32_gte(self._last_sacked_tsn, self._fast_recovery_exit):
                self._fast_recovery_exit = None
            return
        if may_grow and self._cwnd < CWND_BYTES_MAX:
            if self._cwnd <= self._ssthresh:
                # A SACK stands for two packets, so slow start grows by two.
                self._cwnd += min(done_bytes, 2 * USERDATA_MAX_LENGTH)
            else:
                self._partial_bytes_acked += done_bytes
                if self._partial_bytes_acked >= self._cwnd:
                    self._partial_bytes_acked -= self._cwnd
                    self._cwnd += USERDATA_MAX_LENGTH
        if loss:
            self._ssthresh = max(self._cwnd // 2, 4 * USERDATA_MAX_LENGTH)
            self._cwnd = self._ssthresh
            self._partial_bytes_acked = 0
            self._fast_recovery_exit = self._sent_queue[-1].tsn
            self._fast_recovery_transmit = True

    def _t3_expired(self) -> None:
        self._t3_handle = None
        for sent in self._sent_queue:
            # What the peer has, it keeps; only if nothing moves is that doubted.
            if sent._acked and not self._expiries:
                continue
            sent._acked = False
            sent._misses = 0
            sent._retransmit = True
            self._flight_size_decrease(sent)
        self._something_marked = True
        self._retransmitted_fast.clear()
        self._expiries += 1
        self._set_rto()
        self._fast_recovery_exit = None
        self._partial_bytes_acked = 0
        self._ssthresh = max(self._cwnd // 2, 4 * USERDATA_MAX_LENGTH)
        self._cwnd = USERDATA_MAX_LENGTH
        self._transmit_task = self._clock.create_task(self._transmit())

    def _update_rto(self, R: float) -> None:  # noqa: N803 - aiortc's name for it
        if self._srtt is None or self._rttvar is None:
            self._srtt, self._rttvar = R, R / 2
        else:
            self._rttvar += (abs(self._srtt - R) - self._rttvar) / 4
            self._srtt += (R - self._srtt) / 8
        self._set_rto()

    def _set_rto(self) -> None:
        if self._srtt is None or self._rttvar is None:
            base = RTO_S_UNMEASURED
        else:
            base = max(RTO_S_MIN, self._srtt + 4 * self._rttvar)
        self._rto = min(base * 2**self._expiries, RTO_S_MAX)
