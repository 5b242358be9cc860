"""A cable between two network namespaces with a bad line in it, as a process of its own.

The kernel's own `netem` is missing from small kernels. So the wire holds a TAP device in each of
the two namespaces, looks like an Ethernet cable to both, and carries every packet through a `Line`.

    python -m netsim.lab.wire SPACE DEVICE SPACE DEVICE

A line of JSON on standard input sets the conditions of both directions, or of each in a list of
two; the first one lays the wire, which says "ready". It ends when standard input does, so that it
never outlives its lab. Needs root.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import subprocess
import sys
import time
from typing import Any

from netsim.lab.line import Conditions, Line

PACKETS_AT_ONCE = 64
"""Taken from one end before the other has its turn."""
QUEUE_PACKETS = 10_000
"""Of a device: bursts wait there while the wire has no core."""
FRAME_BYTES_MAX = 2_048
_TUNSETIFF = 0x400454CA
_TAP_WITHOUT_HEADER = 0x0002 | 0x1000


class End:
    """One end of the wire, and the line that leads from it to the other one."""

    def __init__(self, space: str, device: str, line: Line) -> None:
        self.line = line
        self.file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        name = f"cvy{os.getpid()}{device}"[:15]
        flags = _TAP_WITHOUT_HEADER.to_bytes(2, sys.byteorder)
        fcntl.ioctl(self.file, _TUNSETIFF, name.encode().ljust(16, b"\0") + flags + bytes(22))
        _ip("link", "set", name, "netns", space, "name", device)
        _ip("-n", space, "link", "set", device, "txqueuelen", str(QUEUE_PACKETS), "up")

    def take(self, now: float) -> None:
        """Let those packets in that wait at this end."""
        with contextlib.suppress(BlockingIOError):
            for _ in range(PACKETS_AT_ONCE):
                self.line.take(os.read(self.file, FRAME_BYTES_MAX), now)


def run(ends: tuple[End, End], commands: int) -> None:
    """Carry packets until `commands`, a file of lines that set conditions, ends."""
    ways = ((ends[0], ends[1]), (ends[1], ends[0]))
    unread = b""
    while True:
        dues = [end.line.next_at for end in ends if end.line.next_at is not None]
        wait_s = max(0.0, min(dues) - _now()) if dues else None
        readable, _, _ = select.select([ends[0].file, ends[1].file, commands], (), (), wait_s)
        if commands in readable:
            text = os.read(commands, 65_536)
            if not text:
                return
            *lines, unread = (unread + text).split(b"\n")
            for line in lines:
                for end, conditions in zip(ends, conditions_of(line), strict=True):
                    end.line.conditions = conditions
                print("set", flush=True)
        for source, target in ways:
            if source.file in readable:
                source.take(_now())
            for packet in source.line.give(_now()):
                with contextlib.suppress(OSError):  # a full device loses it, as a router would
                    os.write(target.file, packet)


def conditions_of(line: bytes | str) -> tuple[Conditions, Conditions]:
    """The conditions of the two directions that a line of JSON names. Raises ValueError."""
    told: Any = json.loads(line)
    there, back = told if isinstance(told, list) else (told, told)
    return Conditions(**there), Conditions(**back)


def _now() -> float:
    return time.monotonic()  # noqa: TID251 - real packets have a real clock


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def main(near: str, near_device: str, far: str, far_device: str) -> None:
    """Lay the wire and carry."""
    conditions = conditions_of(sys.stdin.readline())
    ends = (
        End(near, near_device, Line(conditions[0], seed=1)),
        End(far, far_device, Line(conditions[1], seed=2)),
    )
    print("ready", flush=True)
    run(ends, sys.stdin.fileno())


if __name__ == "__main__":
    main(*sys.argv[1:])
