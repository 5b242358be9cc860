"""A person's own traffic: packets at an even rate, as a video call sends them.

    python -m tests.support.video send ADDRESS MBIT_PER_S SECONDS
    python -m tests.support.video receive ADDRESS SECONDS

The sender says how many bytes it sent, the receiver how many came within so many seconds of the
first.
"""

from __future__ import annotations

import socket
import sys
import time

PORT = 5004
PACKET_BYTES = 1200
HEADERS_BYTES = 28


def send(address: str, mbit_per_s: float, seconds: float) -> int:
    """Send for so long; how many bytes it was with all headers."""
    packet = bytes(PACKET_BYTES)
    pause_s = (PACKET_BYTES + HEADERS_BYTES) / (mbit_per_s * 125_000)
    sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        began = time.monotonic()
        while (due := sent * pause_s) < seconds:
            time.sleep(max(began + due - time.monotonic(), 0.0))
            line.sendto(packet, (address, PORT))
            sent += 1
    return sent * (PACKET_BYTES + HEADERS_BYTES)


def receive(address: str, seconds: float) -> int:
    """How many bytes came, with all headers."""
    count = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind((address, PORT))
        print("ready", flush=True)
        line.recv(PACKET_BYTES)
        until = time.monotonic() + seconds
        while (left_s := until - time.monotonic()) > 0:
            count += 1
            line.settimeout(left_s)
            try:
                line.recv(PACKET_BYTES)
            except TimeoutError:
                break
    return count * (PACKET_BYTES + HEADERS_BYTES)


if __name__ == "__main__":
    part, where, *numbers = sys.argv[1:]
    work = send if part == "send" else receive
    print(work(where, *map(float, numbers)), flush=True)
