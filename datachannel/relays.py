"""The STUN and TURN servers that a member may use now, of what kind, and when to ask for fresh
credentials.

Pure. Credentials are good for a while from when they came, by this computer's own clock that only
goes forward: whose wall clock is right does not matter. They are renewed at half of their time, so
that an attempt to connect always has some that last; TURN servers whose credentials have run out,
because the signaling server is away, are left out, since they would only cost time.
"""

from __future__ import annotations

from collections.abc import Sequence

from signaling.messages import ICE_URL, IceServer

RENEW_AT = 0.5
"""Of their time. A coturn's clock may be off by as much as the other half."""
RENEW_S_MIN = 60.0
"""A server that gives credentials for seconds is not asked more often than this."""


class RelayBook:
    """What the server gave, with its time."""

    def __init__(self) -> None:
        self._servers: tuple[IceServer, ...] = ()
        self._since = self._lifetime_s = 0.0

    def take(self, servers: Sequence[IceServer], lifetime_s: float, *, now: float) -> None:
        """These count from now on; `lifetime_s` 0 is for ever."""
        self._servers = usable_ice_servers(servers)
        self._since, self._lifetime_s = now, lifetime_s

    def usable(self, *, now: float) -> tuple[IceServer, ...]:
        """Those whose credentials are good, and those that need none."""
        if not self._lifetime_s or now < self._since + self._lifetime_s:
            return self._servers
        return tuple(server for server in self._servers if not server.credential)

    def renew_at(self) -> float | None:
        """When to ask for fresh credentials; None for never."""
        if not self._lifetime_s:
            return None
        return self._since + max(self._lifetime_s * RENEW_AT, RENEW_S_MIN)


def usable_ice_servers(servers: Sequence[IceServer]) -> tuple[IceServer, ...]:
    """Those whose addresses make sense."""
    return tuple(
        server
        for server in servers
        if server.urls and all(ICE_URL.fullmatch(url) for url in server.urls)
    )


def is_udp(url: str) -> bool:
    """Whether a STUN or TURN server is asked over UDP."""
    return not url.startswith(("turns:", "stuns:")) and not url.endswith("transport=tcp")


def has_udp_turn(servers: Sequence[IceServer]) -> bool:
    """Whether a relay is offered over UDP."""
    return any(url.startswith("turn") and is_udp(url) for one in servers for url in one.urls)


def has_stream_turn(servers: Sequence[IceServer]) -> bool:
    """Whether a relay is offered over TCP or TLS."""
    return any(url.startswith("turn") and not is_udp(url) for one in servers for url in one.urls)
