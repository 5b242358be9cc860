"""The doctor's probes on the real network and the real disk."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from datachannel import webrtc_probe
from peer.doctor.paths import Address, RouterTried
from peer.doctor.probes import measure_disk
from peer.doctor.verdicts import Disk, Reached
from peer.finding.reach import call
from peer.ports import RandomBytes, RunBlocking
from signaling.messages import IceServer


class RealProbes:
    """Implements `peer.doctor.examine.Probes`."""

    def __init__(
        self,
        home: Path,
        *,
        wall_s: Callable[[], float],
        monotonic_s: Callable[[], float],
        random_bytes: RandomBytes,
        run_blocking: RunBlocking,
        ask_router: Callable[[], Awaitable[RouterTried | None]],
    ) -> None:
        self._home, self._wall_s, self._monotonic_s = home, wall_s, monotonic_s
        self._random_bytes, self._run_blocking = random_bytes, run_blocking
        self._ask_router = ask_router

    async def server(self, url: str) -> Reached:
        """See Probes."""
        called = await call(url)
        ahead_s = None
        if called.date_s is not None:
            ahead_s = self._wall_s() - called.date_s - called.took_s / 2
            # The server tells whole seconds: what is left of its second is not our fault.
            ahead_s = max(ahead_s - 1.0, 0.0) if ahead_s > 0 else ahead_s
        return Reached(url, called.why, called.advice, ahead_s, called.took_s)

    async def seen_from(
        self, urls: Sequence[str]
    ) -> tuple[Sequence[str], Mapping[str, Sequence[Address | None]]]:
        """See Probes."""
        return await webrtc_probe.seen_from(urls)

    async def why_no_relay(self, server: IceServer, url: str) -> str:
        """See Probes."""
        return await webrtc_probe.why_no_relay(server, url)

    def transport_of(self, url: str) -> str:
        """See Probes."""
        return webrtc_probe.transport_of(url)

    async def router(self) -> RouterTried | None:
        """See Probes."""
        return await self._ask_router()

    async def disk(self) -> Disk:
        """See Probes."""
        return await self._run_blocking(self._measure)

    def _measure(self) -> Disk:
        return measure_disk(self._home, now=self._monotonic_s, random_bytes=self._random_bytes)
