"""A backup leaves the line to the person: on a line of 10 Mbit/s between two network namespaces."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from netsim.lab.line import Conditions
from netsim.lab.network import Wire
from netsim.lab.spaces import Space, check_possible, new_space

pytestmark = [pytest.mark.system, pytest.mark.slow]

NEAR, FAR = "10.98.0.1", "10.98.0.2"
LINE_MBIT, VIDEO_MBIT = 10.0, 5.0
SECONDS = 25.0
END = (sys.executable, "-m", "bench.link_ends")
VIDEO = (sys.executable, "-m", "tests.support.video")


@contextmanager
def slow_line() -> Iterator[tuple[Space, Space]]:
    """Two computers; the first one's uplink is slow, with a queue of 200 ms before it."""
    check_possible()
    with (
        new_space("near") as near,
        new_space("far") as far,
        Wire.laid((near, "eth0"), (far, "eth0"), Conditions(delay_s=0.015)),
    ):
        for space, address in ((near, NEAR), (far, FAR)):
            space.ip("address", "add", f"{address}/24", "dev", "eth0")
            space.ip("link", "set", "eth0", "up")
        rate = f"{LINE_MBIT:.0f}mbit"
        near.run(
            *("tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", rate),
            *("burst", "16kb", "latency", "200ms"),
        )
        yield near, far


def backup(stack: ExitStack, near: Space, far: Space, engine: str) -> None:
    """Shares begin to go from one to the other, and go on until the stack ends."""
    ends = [
        stack.enter_context(
            space.running(
                *(*END, f"covey {engine}", part, address, "1", "spare"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        )
        for space, part, address in ((near, "send", NEAR), (far, "receive", FAR))
    ]
    for speaker, listener in (ends, ends[::-1]):
        assert speaker.stdout is not None
        assert listener.stdin is not None
        listener.stdin.write(speaker.stdout.readline())
        listener.stdin.flush()


def received(space: Space) -> int:
    return int(space.run("cat", "/sys/class/net/eth0/statistics/rx_bytes"))


@pytest.mark.parametrize("engine", ["aiortc", "libdatachannel"])
def test_a_video_call_keeps_its_rate_and_the_backup_takes_the_rest(engine):
    with slow_line() as (near, far), ExitStack() as stack:
        backup(stack, near, far, engine)
        time.sleep(12.0)  # the backup has the line for itself
        listener = stack.enter_context(
            far.running(*VIDEO, "receive", FAR, str(SECONDS), stdout=subprocess.PIPE)
        )
        assert listener.stdout is not None
        assert listener.stdout.readline() == b"ready\n"
        before = received(far)
        sent = int(near.run(*VIDEO, "send", FAR, str(VIDEO_MBIT), str(SECONDS)))
        arrived = int(listener.stdout.readline())
        ours = received(far) - before - arrived
    spare = (LINE_MBIT - VIDEO_MBIT) * 125_000 * SECONDS
    print(f"video {arrived / sent:.3f}, backup {ours / spare:.3f} of the rest")
    assert arrived / sent > 0.95
    assert ours / spare > 0.70
