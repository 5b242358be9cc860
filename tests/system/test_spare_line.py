"""A backup leaves the line to the person: on a line of 10 Mbit/s between two network namespaces."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import ExitStack

import pytest

from netsim.lab.spaces import Space
from tests.support.slow_line import FAR, link_on, slow_line

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.quiet]

LINE_MBIT, VIDEO_MBIT = 10.0, 5.0
SECONDS = 25.0
VIDEO = (sys.executable, "-m", "tests.support.video")


def received(space: Space) -> int:
    return int(space.run("cat", "/sys/class/net/eth0/statistics/rx_bytes"))


@pytest.mark.parametrize("engine", ["aiortc", "libdatachannel"])
def test_a_video_call_keeps_its_rate_and_the_backup_takes_the_rest(engine):
    with slow_line(LINE_MBIT, 0.03, 200) as (near, far), ExitStack() as stack:
        link_on(stack, (near, far), engine, "1", "spare")
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
