"""DTLS between ICE and SCTP without a task, a queue or a wasted call for each packet.

aiortc lets every packet wake a task, which decrypts it, asks OpenSSL in vain whether there is
something to send, and awaits its way through the layers; each packet that is sent does the same.
Here a datagram is decrypted where it arrives and goes to SCTP in the same call, and what SCTP
sends is encrypted packet by packet and handed to the socket all at once (aiortc_fixes_socket.py).

The handshake, its timers and the checks of certificates are aiortc's own, untouched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol, cast

from aiortc.rtcdtlstransport import RTCDtlsTransport, State
from OpenSSL import SSL

from datachannel.aiortc_fixes_socket import SEGMENTS_MAX, ManyPackets

if TYPE_CHECKING:
    from datachannel.aiortc_fixes import SteadyConnection

RECORD_BYTES_MAX: Final = 1500
"""No packet is longer."""
_HEADER_BYTES: Final = 13
_APPLICATION_DATA: Final = 23


class PacketTaker(Protocol):
    """An SCTP transport that takes packets one by one, without being awaited."""

    def take_packet(self, packet: bytes) -> None: ...


class DirectDtls(RTCDtlsTransport):
    """Packets go straight through, in both directions."""

    def send_packets(self, packets: Sequence[bytes]) -> None:
        """Encrypt and send, in order. Raises ConnectionError when there is no connection."""
        ssl = self._ssl
        if self._state != State.CONNECTED or ssl is None:
            raise ConnectionError("the connection is gone")
        # The other end is to have work as soon as there is some.
        for start in range(0, len(packets), SEGMENTS_MAX):
            records = []
            for packet in packets[start : start + SEGMENTS_MAX]:
                ssl.send(packet)
                records.append(ssl.bio_read(RECORD_BYTES_MAX))
            self._send_records(records)

    async def _send_data(self, data: bytes) -> None:
        self.send_packets((data,))

    async def _RTCDtlsTransport__run(self) -> None:  # noqa: N802 - the base class's pump
        # It goes on underneath: for the timers of the handshake's last flight, for what came
        # before now, and to notice the end of the connection.
        connection = self._connection()
        connection.take = self._take
        try:
            await super()._RTCDtlsTransport__run()  # type: ignore[misc]
        finally:
            connection.take = None

    def _connection(self) -> SteadyConnection:
        return cast("SteadyConnection", self.transport._connection)

    def _take(self, datagram: bytes) -> None:
        """A datagram of DTLS. Nearly all hold one record of data; others are read to the end."""
        ssl, receiver = self._ssl, self._data_receiver
        if ssl is None or receiver is None or self._state != State.CONNECTED:
            return
        is_alone = (
            datagram[0] == _APPLICATION_DATA
            and int.from_bytes(datagram[11:_HEADER_BYTES], "big") == len(datagram) - _HEADER_BYTES
        )
        ssl.bio_write(datagram)
        try:
            packet = ssl.recv(RECORD_BYTES_MAX)
            while True:
                cast("PacketTaker", receiver).take_packet(packet)
                if is_alone:
                    return
                packet = ssl.recv(RECORD_BYTES_MAX)
        except SSL.ZeroReturnError:
            self._connection()._queue.put_nowait(None)  # the pump ends as when ICE ends
        except SSL.Error:
            pass  # no more, or a record that is none: DTLS goes on
        self._answer()

    def _answer(self) -> None:
        """Send what OpenSSL itself has to say, after something that was no data."""
        try:
            record = self._ssl.bio_read(RECORD_BYTES_MAX) if self._ssl else b""
            if record:
                self._send_records((record,))
        except (SSL.Error, ConnectionError):
            pass  # it has nothing to say, or there is nobody to hear it

    def _send_records(self, records: Sequence[bytes]) -> None:
        pair = self._connection()._nominated.get(1)
        if pair is None:
            raise ConnectionError("the connection is gone")
        transport = pair.protocol.transport
        if isinstance(transport, ManyPackets):
            transport.send_many(records, pair.remote_addr)
        else:
            for record in records:
                transport.sendto(record, pair.remote_addr)
