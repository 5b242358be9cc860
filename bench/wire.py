"""A wire with a delay, losses and a rate, between two network namespaces.

The kernel's own `netem` is missing from small kernels, so the wire is a process: it holds a TUN
device in each namespace, and every packet that enters one leaves the other after half the round
trip, or never. All that is measured goes over it alike, TCP as well as UDP. Needs root.

    python -m bench.wire NEAR FAR RTT_MS LOSS_PERCENT MBIT_PER_S    (0: as fast as it can)
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import select
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator

NEAR, FAR = "covey-bench-near", "covey-bench-far"
NEAR_ADDRESS, FAR_ADDRESS = "10.99.0.1", "10.99.0.2"
QUEUE_S_MAX = 0.1  # a router's queue in front of a slow line, where there is a rate
PACKETS_AT_ONCE = 32
QUEUE_PACKETS = 20_000  # of the TUN device: bursts wait there while the wire has no core
MTU = 1500
_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_PI = 0x0001 | 0x1000


class Direction:
    """Packets under way from one device to the other."""

    def __init__(
        self, source: int, target: int, delay_s: float, loss: float, bytes_per_s: float
    ) -> None:
        self.source, self.target = source, target
        self._delay_s, self._loss, self._bytes_per_s = delay_s, loss, bytes_per_s
        self._free_at = 0.0  # when the slow line has sent all before
        self._under_way: deque[tuple[float, bytes]] = deque()
        self._random = random.Random(source)

    def take(self, now: float) -> None:
        """Let the packets in that wait at the source."""
        for _ in range(PACKETS_AT_ONCE):
            try:
                packet = os.read(self.source, MTU + 100)
            except BlockingIOError:
                return
            if self._loss and self._random.random() < self._loss:
                continue
            leaves = now
            if self._bytes_per_s:
                leaves = max(now, self._free_at) + len(packet) / self._bytes_per_s
                if leaves - now > QUEUE_S_MAX:
                    continue
                self._free_at = leaves
            self._under_way.append((leaves + self._delay_s, packet))

    def give(self, now: float) -> float | None:
        """Let those out that have arrived; returns when the next one will have."""
        while self._under_way:
            due, packet = self._under_way[0]
            if due > now:
                return due
            self._under_way.popleft()
            with contextlib.suppress(OSError):  # a full device loses it, as a router would
                os.write(self.target, packet)
        return None


def run(near: str, far: str, rtt_s: float, loss: float, bytes_per_s: float) -> None:
    """Be the wire until the process ends. Says "ready" when it is."""
    ends = [_device(near, NEAR_ADDRESS, FAR_ADDRESS), _device(far, FAR_ADDRESS, NEAR_ADDRESS)]
    directions = [
        Direction(ends[0], ends[1], rtt_s / 2, loss, bytes_per_s),
        Direction(ends[1], ends[0], rtt_s / 2, loss, bytes_per_s),
    ]
    print("ready", flush=True)
    wait_s: float | None = None
    while True:
        readable, _, _ = select.select(ends, (), (), wait_s)
        now = time.monotonic()
        for direction in directions:
            if direction.source in readable:
                direction.take(now)
        dues = [direction.give(now) for direction in directions]
        soonest = min((due for due in dues if due is not None), default=None)
        wait_s = None if soonest is None else max(0.0, soonest - time.monotonic())


def _device(namespace: str, address: str, other: str) -> int:
    name = "wire0"
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    wanted = f"cvw{os.getpid() % 10**6}{address[-1]}"
    fcntl.ioctl(file, _TUNSETIFF, struct.pack("16sH22x", wanted.encode(), _IFF_TUN_NO_PI))
    _ip("link", "set", wanted, "netns", namespace, "name", name)
    for command in (
        ("address", "add", address, "peer", other, "dev", name),
        ("link", "set", name, "mtu", str(MTU), "txqueuelen", str(QUEUE_PACKETS), "up"),
        ("link", "set", "lo", "up"),
    ):
        _ip("-n", namespace, *command)
    return file


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


@contextlib.contextmanager
def laid(rtt_ms: float, loss_percent: float, mbit_per_s: float = 0.0) -> Iterator[None]:
    """The wire between NEAR and FAR, for as long as the context lasts."""
    process = None
    try:
        for namespace in (NEAR, FAR):
            subprocess.run(["ip", "netns", "delete", namespace], capture_output=True, check=False)
            _ip("netns", "add", namespace)
        numbers = (str(rtt_ms), str(loss_percent), str(mbit_per_s))
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.wire", NEAR, FAR, *numbers], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise RuntimeError("the wire could not be laid")
        yield
    finally:
        if process is not None:
            process.kill()
            process.wait()
        for namespace in (NEAR, FAR):
            _ip("netns", "delete", namespace)


def is_possible() -> bool:
    """Whether this process may make namespaces and devices."""
    return os.geteuid() == 0 and os.path.exists("/dev/net/tun")


if __name__ == "__main__":
    near_name, far_name, rtt_ms, loss_percent, mbit = sys.argv[1:]
    with contextlib.suppress(KeyboardInterrupt):
        run(
            near_name, far_name, float(rtt_ms) / 1e3, float(loss_percent) / 100, float(mbit) * 125e3
        )
