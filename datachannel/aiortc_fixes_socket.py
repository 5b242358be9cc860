"""A UDP socket that reads and writes many packets in one system call, as an asyncio transport.

asyncio's own datagram transport, and uvloop's, take one packet in a call; at 20,000 packets a
second that is a third of all the time. Linux can do better: a message may be cut into packets by
the kernel (UDP_SEGMENT), and packets that came together are handed out together (UDP_GRO). Where
the system has neither, or a device refuses, packets go one by one, and nothing else changes.

Also here: aioice's protocol for a socket, which knows data from STUN by the first byte (RFC 7983)
instead of trying to parse every packet.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import sys
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from aioice.ice import StunProtocol

SOCKET_BUFFER_BYTES: Final = 4 * 1024 * 1024
"""Asked for; the system grants what it allows. The default loses packets as soon as the loop is
busy for a few milliseconds."""
READ_PACKETS_MAX: Final = 48
"""Taken at a time, before others have their turn and the answers go out. If it were more than a
small part of a window, the two ends would take turns at working instead of working side by side."""
SEGMENTS_MAX: Final = 40
"""Packets in one call: below the kernel's 64, and below 64 KiB with packets of 1,500 bytes."""
WAITING_BYTES_MAX: Final = 4 * 1024 * 1024
"""What waits while the socket takes nothing; more is lost, as it would be in a router."""
_DATAGRAM_BYTES_MAX: Final = 65_536
_UDP: Final = 17
_UDP_SEGMENT: Final = 103
_UDP_GRO: Final = 104
_SIZE_BYTES: Final = 4
_HAS_OFFLOADS: Final = sys.platform == "linux"

Address = tuple[str, int]


class ManyPackets(asyncio.DatagramTransport):
    """A bound UDP socket whose packets go to `protocol`. Made by `bind`."""

    def __init__(self, sock: socket.socket, protocol: asyncio.DatagramProtocol) -> None:
        super().__init__({"socket": sock, "sockname": sock.getsockname()})
        self._sock = sock
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray(_DATAGRAM_BYTES_MAX)
        self._view = memoryview(self._buffer)
        self._waiting: deque[tuple[bytes, Address]] = deque()
        self._waiting_bytes = 0
        self._closing = False
        self.cuts_messages = _HAS_OFFLOADS
        self._loop.add_reader(sock, self._read)
        protocol.connection_made(self)

    def sendto(self, data: Any, addr: Any = None) -> None:  # noqa: ANN401 - as in the base class
        """Send one packet. What the socket does not take now waits."""
        if self._closing:
            return
        if self._waiting or not self._send_one(data, addr):
            self._wait(data, addr)

    def send_many(self, packets: Sequence[bytes], addr: Address) -> None:
        """Send packets to one address, in order, in as few system calls as can be."""
        start = 0
        while start < len(packets):
            end = alike_until(packets, start) if self.cuts_messages else start + 1
            if end - start == 1 or self._waiting or self._closing:
                self.sendto(packets[start], addr)
                start += 1
                continue
            if self._send_cut(packets[start:end], addr):
                start = end

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._closing

    def close(self) -> None:
        """Send what waits if the socket takes it at once, and close. May be called many times."""
        if self._closing:
            return
        self._closing = True
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        while self._waiting and self._send_one(*self._waiting.popleft()):
            pass
        self._waiting.clear()
        self._loop.call_soon(self._gone)

    def abort(self) -> None:
        """Close."""
        self.close()

    def _gone(self) -> None:
        self._protocol.connection_lost(None)
        self._sock.close()

    def _read(self) -> None:
        taken = 0
        while taken < READ_PACKETS_MAX and not self._closing:
            try:
                size, extra, _, addr = self._sock.recvmsg_into(
                    [self._buffer], socket.CMSG_SPACE(_SIZE_BYTES)
                )
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:  # of a packet that was sent before
                self._protocol.error_received(error)
                return
            step = int.from_bytes(extra[0][2][:_SIZE_BYTES], sys.byteorder) if extra else size
            taken += 1
            for start in range(0, size, step or 1):
                packet = bytes(self._view[start : min(start + step, size)])
                self._protocol.datagram_received(packet, addr)
                taken += 1

    def _send_one(self, data: bytes, addr: Address) -> bool:
        try:
            self._sock.sendto(data, addr)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            self._protocol.error_received(error)
        return True

    def _send_cut(self, packets: Sequence[bytes], addr: Address) -> bool:
        """One message for the kernel to cut; False when they are to be sent in another way."""
        size = len(packets[0]).to_bytes(2, sys.byteorder)
        try:
            self._sock.sendmsg(packets, [(_UDP, _UDP_SEGMENT, size)], 0, addr)
        except (BlockingIOError, InterruptedError):
            for packet in packets:
                self._wait(packet, addr)
        except OSError as error:
            if error.errno in (errno.EIO, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOPROTOOPT):
                self.cuts_messages = False  # the kernel is old, or the device cannot
                return False
            self._protocol.error_received(error)
        return True

    def _wait(self, data: bytes, addr: Address) -> None:
        if self._waiting_bytes + len(data) > WAITING_BYTES_MAX:
            return
        if not self._waiting:
            self._loop.add_writer(self._sock, self._write)
        self._waiting.append((bytes(data), addr))
        self._waiting_bytes += len(data)

    def _write(self) -> None:
        while self._waiting:
            data, addr = self._waiting[0]
            if not self._send_one(data, addr):
                return
            self._waiting.popleft()
            self._waiting_bytes -= len(data)
        self._loop.remove_writer(self._sock)


def alike_until(packets: Sequence[bytes], start: int) -> int:
    """Where those end that the kernel can cut apart: all of one size, the last may be shorter."""
    size = len(packets[start])
    end = start + 1
    while end < len(packets) and end - start < SEGMENTS_MAX:
        if len(packets[end]) != size:
            return end + 1 if len(packets[end]) < size else end
        end += 1
    return end


class DemultiplexingProtocol(StunProtocol):
    """aioice's protocol of a socket; data goes straight to the connection."""

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        """STUN begins with a byte below 4, DTLS with one from 20 to 63."""
        first = data[0] if data else 0
        if isinstance(first, int) and 20 <= first < 64:
            assert isinstance(data, bytes)
            self.receiver.data_received(data, self.local_candidate.component)
        else:
            super().datagram_received(data, addr)


async def bind(address: str, protocol: asyncio.DatagramProtocol) -> asyncio.DatagramTransport:
    """A socket at a free port of an address of this computer. Raises OSError."""
    if sys.platform == "win32":  # its event loop waits for nothing but its own transports
        loop = asyncio.get_running_loop()
        return (await loop.create_datagram_endpoint(lambda: protocol, (address, 0)))[0]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER_BYTES)
        if _HAS_OFFLOADS:
            with contextlib.suppress(OSError):
                sock.setsockopt(_UDP, _UDP_GRO, 1)
        sock.bind((address, 0))
    except OSError:
        sock.close()
        raise
    return ManyPackets(sock, protocol)
