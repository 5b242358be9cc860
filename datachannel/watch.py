"""Notices that the network under the links has changed: other addresses, or the computer slept.

Nothing tells a socket that its address is gone, and no time passes for a computer that sleeps; both
would be found only when heartbeats are missing. `Looks` is pure. `watch` looks every few seconds.

Not here: what is done then (mesh.py checks its links, rendezvous.py calls the server again).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

import psutil

LOOK_S: Final = 2.0
GAP_S: Final = 8.0
"""More than any pause of a busy loop. A clock that was set looks like sleep; no harm is done."""


def own_addresses() -> frozenset[str]:
    """This computer's addresses that lead to others."""
    return frozenset(
        one.address
        for interface in psutil.net_if_addrs().values()
        for one in interface
        if one.family in (socket.AF_INET, socket.AF_INET6)
        and not one.address.startswith(("127.", "::1", "fe80:"))
    )


class Looks:
    """Whether something changed from one look to the next."""

    def __init__(self) -> None:
        self._before: tuple[float, float, frozenset[str]] | None = None

    def changed(self, loop_s: float, wall_s: float, addresses: frozenset[str]) -> bool:
        """The clocks of the loop and the world, and the computer's addresses."""
        before, self._before = self._before, (loop_s, wall_s, addresses)
        if before is None:
            return False
        slept = max(loop_s - before[0], abs(wall_s - before[1])) > LOOK_S + GAP_S
        return slept or addresses != before[2]


async def watch(
    addresses: Callable[[], frozenset[str]],
    wall_clock: Callable[[], float],
    on_change: Callable[[], None],
) -> None:
    """Look until cancelled. `addresses` must be quick; `on_change` must not raise."""
    loop, looks = asyncio.get_running_loop(), Looks()
    while True:
        if looks.changed(loop.time(), wall_clock(), addresses()):
            on_change()
        await asyncio.sleep(LOOK_S)
