"""The keeper in the real world."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import psutil

from peer.nightly.journal import Journal
from peer.nightly.keeper import Keeper, World
from peer.nightly.notify import notify
from peer.nightly.sampling import Sampler, byte_workers
from peer.nightly.schedule import Zone
from peer.nightly.throttle import Throttle
from peer.nightly.traffic import Link, LinkTraffic
from peer.ports import RunBlocking, WallClock

NIGHTS_VARIABLE = "COVEY_NIGHTS"
JOURNAL_FILE = "journal.json"


def nights_come() -> bool:
    """Whether nights come by themselves; `off` is for tests, and for who calls them by a timer."""
    return os.environ.get(NIGHTS_VARIABLE, "") != "off"


async def real_keeper(
    home: Path,
    member: bytes,
    created_ns: int,
    links: Callable[[], Sequence[Link]],
    wall_clock: WallClock,
    run_blocking: RunBlocking,
    keep_wanted: Callable[[bool], Awaitable[None]],
    *,
    wanted: bool,
) -> Keeper:
    """A keeper for the member of this state folder."""
    world = World(
        wall_clock=wall_clock,
        zone=own_zone,
        run_blocking=run_blocking,
        look=Sampler().look,
        throttle=Throttle(byte_workers, (psutil.Error,)),
        traffic=LinkTraffic(links),
        notify=notify,
        keep_wanted=keep_wanted,
    )
    journal = await run_blocking(Journal, home / JOURNAL_FILE)
    return Keeper(journal, world, member, created_ns, wanted=wanted)


def own_zone() -> Zone:
    """This computer's own, looked up anew: a laptop travels."""
    if sys.platform != "win32":
        time.tzset()
    return None
