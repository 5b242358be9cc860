"""SCTP's sending half, for one ordered, reliable data channel: aiortc's with its faults cured.

- A chunk becomes a packet once, which is kept for retransmission; what one batch of packets leads
  to is sent together (aiortc_fixes_receive.py, aiortc_fixes_dtls.py).
- The sent queue is searched only when something in it is marked for retransmission; aiortc walks
  all of it on every packet.
- A chunk is retransmitted fast once (RFC 9260 7.2.4), then the timer is in charge; aiortc sends
  one lost chunk dozens of times in a round trip.
- The timer's least value is 0.3 s instead of 1 s, it doubles when it expires, and no wall clock
  takes part.
- The congestion window has a maximum. What the peer has is not sent again when the timer expires.
- A SACK costs time proportional to what is in flight, whatever ranges it names.
- No more is in flight than the peer has room for; aiortc never looks at what it announces.
"""

from __future__ import annotations

import itertools
from collections import deque
from struct import pack

from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcsctptransport import (
    SCTP_DATA_FIRST_FRAG,
    SCTP_DATA_LAST_FRAG,
    SCTP_TSN_MODULO,
    USERDATA_MAX_LENGTH,
)
from aiortc.utils import uint16_add, uint32_gt, uint32_gte
from google_crc32c import value as crc32c

from datachannel.aiortc_fixes_receive import PeerViolation, SerialOrderSctp

CWND_PACKETS_FIRST = 10  # RFC 6928 for TCP, and what libdatachannel does; aiortc begins with 3
CWND_BYTES_MAX = 4 * 1024 * 1024  # 40 MB/s at 100 ms; more only fills queues
RTO_S_MIN = 0.3
RTO_S_MAX = 10.0
RTO_S_UNMEASURED = 1.0
FAST_RETRANSMIT_MISSES = 3
BURST_PACKETS = 4
BURST_PACKETS_IN_RECOVERY = 2
_CHUNK_HEADER_BYTES = 16


class Outgoing:
    """A DATA chunk on its way: its packet, and what is known of it."""

    __slots__ = (
        "acked",
        "in_flight",
        "marked",
        "misses",
        "packet",
        "sent_at",
        "sent_count",
        "size",
        "tsn",
    )

    def __init__(self, tsn: int, size: int, packet: bytes) -> None:
        self.tsn = tsn
        self.size = size  # of the user's data in it
        self.packet = packet
        self.sent_at = 0.0  # the first time
        self.sent_count = 0
        self.misses = 0
        self.marked = False  # for retransmission
        self.acked = False  # by a gap block
        self.in_flight = False  # counted in the flight size


class QuickSctp(SerialOrderSctp):
    """The sending half: no needless searching, one fast retransmission, a sober timer."""

    def __init__(self, transport: RTCDtlsTransport, port: int = 5000) -> None:
        super().__init__(transport, port)
        self._outbound_queue: deque[Outgoing] = deque()  # type: ignore[assignment]
        self._sent_queue: deque[Outgoing] = deque()  # type: ignore[assignment]
        self._cwnd = CWND_PACKETS_FIRST * USERDATA_MAX_LENGTH
        self._something_marked = False
        self._retransmitted_fast: set[int] = set()
        self._expiries = 0  # of T3, without an acknowledgement in between
        self._t3_due = 0.0
        self._sacks = 0  # since something was sent last: each one lets a burst out
        self._was_full = False  # the window, when it was used last
        self._room = CWND_BYTES_MAX  # at the peer, when it said so last

    @property
    def rtt_s(self) -> float | None:
        """The smoothed round trip, when one was measured."""
        return self._srtt

    # Messages in

    async def _data_channel_flush(self) -> None:
        self._flush()
        await self._transmit_reconfig()

    async def _transmit(self) -> None:
        self._flush()

    def _flush(self) -> None:
        if self._flush_handle is not None:
            self._flush_handle.cancel()
            self._flush_handle = None
        if self._over:
            return
        if self._association_state == self.State.ESTABLISHED:
            self._fill_window()
        self._send_out()

    def _cut(self, stream_id: int, protocol: int, message: bytes) -> None:
        """Make the packets of a message, with their sequence numbers and checksums."""
        sequence = self._outbound_stream_seq.get(stream_id, 0)
        self._outbound_stream_seq[stream_id] = uint16_add(sequence, 1)
        ports = pack("!HHL", self._local_port, self._remote_port, self._remote_verification_tag)
        last = len(message) - USERDATA_MAX_LENGTH
        for start in range(0, len(message), USERDATA_MAX_LENGTH):
            data = message[start : start + USERDATA_MAX_LENGTH]
            flags = (SCTP_DATA_FIRST_FRAG if start == 0 else 0) | (
                SCTP_DATA_LAST_FRAG if start >= last else 0
            )
            size = len(data)
            tsn = self._local_tsn
            self._local_tsn = (tsn + 1) % SCTP_TSN_MODULO
            length = size + _CHUNK_HEADER_BYTES
            rest = (
                pack("!BBHLHHL", 0, flags, length, tsn, stream_id, sequence, protocol)
                + data
                + b"\0" * (-length & 3)
            )
            checksum = crc32c(ports + b"\0\0\0\0" + rest)
            packet = ports + checksum.to_bytes(4, "little") + rest
            self._outbound_queue.append(Outgoing(tsn, size, packet))

    # Packets out

    def _fill_window(self) -> None:
        """Send what the window takes: first what was lost, then what is new."""
        recovering = self._fast_recovery_exit is not None
        burst = BURST_PACKETS_IN_RECOVERY if recovering else BURST_PACKETS
        burst *= USERDATA_MAX_LENGTH * max(1, self._sacks)
        self._sacks = 0
        room = max(self._room, USERDATA_MAX_LENGTH)  # one packet asks whether there is room again
        window = min(self._flight_size + burst, self._cwnd, room)
        if not self._something_marked or self._retransmit(window):
            self._send_new(window)
        self._was_full = self._flight_size >= self._cwnd

    def _send_new(self, window: int) -> None:
        now = self._clock.time()
        while self._flight_size < window:
            if not self._outbound_queue:
                if not self._data_channel_queue:
                    return
                channel, protocol, message = self._data_channel_queue.popleft()
                assert channel.id is not None, "the channel is negotiated"
                self._cut(channel.id, protocol, message)
                channel._addBufferedAmount(-len(message))
            one = self._outbound_queue.popleft()
            self._sent_queue.append(one)
            self._send_one(one)
            one.sent_at = now

    def _send_one(self, one: Outgoing) -> None:
        if not one.in_flight:
            one.in_flight = True
            self._flight_size += one.size
        one.sent_count += 1
        self._out.append(one.packet)
        if self._t3_handle is None:
            self._t3_restart()

    def _retransmit(self, window: int) -> bool:
        """Send again what is marked, in order; False when the window does not take all."""
        earliest = self._sent_queue[0] if self._sent_queue else None
        for one in [one for one in self._sent_queue if one.marked]:
            if self._fast_recovery_transmit:
                self._fast_recovery_transmit = False  # one goes out whatever the window says
            elif self._flight_size >= window:
                return False
            one.misses = 0
            one.marked = False
            self._send_one(one)
            if one is earliest:
                self._t3_restart()
        self._something_marked = False
        return True

    # Acknowledgements in

    def _take_sack(self, cumulative_tsn: int, room: int, gaps: list[tuple[int, int]]) -> None:
        if uint32_gt(self._last_sacked_tsn, cumulative_tsn):
            return  # an old one, overtaken
        acknowledged = (cumulative_tsn - self._last_sacked_tsn) % SCTP_TSN_MODULO
        if acknowledged > len(self._sent_queue):
            raise PeerViolation("an acknowledgement of what was never sent")
        self._last_sacked_tsn = cumulative_tsn
        self._room = room
        done_bytes = self._acknowledge(acknowledged)
        loss = False
        if gaps:
            gap_bytes, loss = self._strike(gaps)
            done_bytes += gap_bytes
        self._adjust_window(acknowledged > 0 and self._was_full, done_bytes, loss=loss)
        if not self._sent_queue:
            self._t3_cancel()
            self._something_marked = False
        elif acknowledged:
            self._t3_restart()
        self._sacks += 1
        self._flush_soon()

    def _acknowledge(self, count: int) -> int:
        """Drop the first `count` chunks of the sent queue; returns the bytes newly known of."""
        if not count:
            return 0
        done_bytes = 0
        first = self._sent_queue[0]
        for _ in range(count):
            one = self._sent_queue.popleft()
            if not one.acked:
                done_bytes += one.size
            self._leave_flight(one)
            if self._retransmitted_fast:
                self._retransmitted_fast.discard(one.tsn)
        self._expiries = 0
        if first.sent_count == 1:
            self._update_rto(self._clock.time() - first.sent_at)
        else:
            self._set_rto()
        return done_bytes

    def _leave_flight(self, one: Outgoing) -> None:
        if one.in_flight:
            one.in_flight = False
            self._flight_size -= one.size

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
        missing: list[tuple[int, Outgoing]] = []
        blocks = iter(gaps)
        start, end = next(blocks)
        for offset, one in enumerate(itertools.islice(self._sent_queue, end_before), start=1):
            if offset > end:
                start, end = next(blocks)
            if offset < start:
                missing.append((offset, one))
            elif not one.acked:
                one.acked = True
                one.marked = False
                done_bytes += one.size
                highest_new = offset
                self._leave_flight(one)
        loss = False
        for offset, one in missing:
            if offset > highest_new:
                break
            loss = self._miss(one) or loss
        return done_bytes, loss

    def _miss(self, one: Outgoing) -> bool:
        """One more report without this chunk; True when it counts as lost now."""
        if one.marked or one.tsn in self._retransmitted_fast:
            return False
        one.misses += 1
        if one.misses < FAST_RETRANSMIT_MISSES:
            return False
        one.misses = 0
        one.acked = False
        one.marked = True
        self._something_marked = True
        self._retransmitted_fast.add(one.tsn)
        self._leave_flight(one)
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
            self._fast_recovery_exit = self._sent_queue[-1].tsn  # type: ignore[assignment]
            self._fast_recovery_transmit = True

    # The timer

    def _t3_restart(self) -> None:
        # Moved for every SACK; a timer that is early looks again.
        self._t3_due = self._clock.time() + self._rto
        if self._t3_handle is None:
            self._t3_handle = self._clock.call_at(self._t3_due, self._t3_look)
        elif self._t3_handle.when() > self._t3_due:
            self._t3_handle.cancel()
            self._t3_handle = self._clock.call_at(self._t3_due, self._t3_look)

    def _t3_look(self) -> None:
        self._t3_handle = None
        if self._clock.time() < self._t3_due:
            self._t3_handle = self._clock.call_at(self._t3_due, self._t3_look)
        else:
            self._t3_expired()

    def _t3_expired(self) -> None:
        for one in self._sent_queue:
            # What the peer has, it keeps; only if nothing moves is that doubted.
            if one.acked and not self._expiries:
                continue
            one.acked = False
            one.misses = 0
            one.marked = True
            self._leave_flight(one)
        self._something_marked = True
        self._retransmitted_fast.clear()
        self._expiries += 1
        self._set_rto()
        self._fast_recovery_exit = None
        self._partial_bytes_acked = 0
        self._ssthresh = max(self._cwnd // 2, 4 * USERDATA_MAX_LENGTH)
        self._cwnd = USERDATA_MAX_LENGTH
        self._flush_soon()

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
