"""A slow line between two network namespaces, and the two ends of a link on it. Needs root."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from netsim.lab.line import Conditions
from netsim.lab.network import Wire
from netsim.lab.spaces import Space, check_possible, new_space

NEAR, FAR = "10.98.0.1", "10.98.0.2"
END = (sys.executable, "-m", "bench.link_ends")


@contextmanager
def slow_line(mbit: float, rtt_s: float, queue_ms: int) -> Iterator[tuple[Space, Space]]:
    """Two computers; the first one's uplink is slow, with a queue before it."""
    check_possible()
    with (
        new_space("near") as near,
        new_space("far") as far,
        Wire.laid((near, "eth0"), (far, "eth0"), Conditions(delay_s=rtt_s / 2)),
    ):
        for space, address in ((near, NEAR), (far, FAR)):
            space.ip("address", "add", f"{address}/24", "dev", "eth0")
            space.ip("link", "set", "eth0", "up")
        near.run(
            *("tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", f"{mbit}mbit"),
            *("burst", "16kb", "latency", f"{queue_ms}ms"),
        )
        yield near, far


def link_on(
    stack: ExitStack, line: tuple[Space, Space], engine: str, *more: str
) -> subprocess.Popen[bytes]:
    """Shares go from one computer to the other until the stack ends; the receiver, whose standard
    error tells how it went (bench/link_ends.py). `more` are its seconds, and `spare`."""
    ends = [
        stack.enter_context(
            space.running(
                *(*END, f"covey {engine}", part, address, *more),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if part == "receive" else subprocess.DEVNULL,
            )
        )
        for space, part, address in zip(line, ("send", "receive"), (NEAR, FAR), strict=True)
    ]
    for speaker, listener in (ends, ends[::-1]):
        assert speaker.stdout is not None
        assert listener.stdin is not None
        listener.stdin.write(speaker.stdout.readline())
        listener.stdin.flush()
    return ends[1]
