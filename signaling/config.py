"""What a server can be told, and the defaults with their reasons."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from signaling.messages import IceServer

Rate = tuple[float, int]
"""Of a token bucket: events a second in the long run, and how many may come at once."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of the server anyone may use.

    An honest group of 20 that starts together behind one address, and then calls each other all
    at once, stays well below all of it.
    """

    connections_max: int = 20_000
    connections_per_address_max: int = 1_000
    groups_max: int = 50_000
    cards_bytes_max: int = 256 << 20
    """Of all cards that are remembered; they stay in memory."""

    connects_per_address: Rate = (5.0, 300)
    failures_per_address: Rate = (0.05, 20)
    """Wrong passwords, and signatures that are not good."""
    failures_per_group: Rate = (0.1, 60)
    unknown_groups_per_address: Rate = (0.5, 200)
    """Asking whether a group exists; everybody who starts one does it once."""
    new_groups_per_address: Rate = (0.01, 50)
    new_members_per_address: Rate = (0.05, 300)
    messages_per_connection: Rate = (30.0, 600)
    cards_per_connection: Rate = (0.1, 20)
    """A new card goes to all members, so it costs up to 256 times its size."""

    outgoing_messages_max: int = 512
    """Waiting for one slow reader; then it is dropped, and comes back to a full picture."""
    outgoing_bytes_max: int = 4 << 20
    outgoing_bytes_total_max: int = 256 << 20
    """Waiting for all readers."""
    request_timeout_s: float = 20.0
    """From a TCP connection to its WebSocket."""
    join_timeout_s: float = 20.0
    heartbeat_s: float = 25.0
    send_timeout_s: float = 20.0
    close_timeout_s: float = 2.0
    """How long an end that we asked to close may take for its answer."""


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """One server. Without `names` it goes by the name under which a client called it."""

    data: Path
    host: str = "127.0.0.1"
    port: int = 0
    names: tuple[str, ...] = ()
    ice_servers: tuple[IceServer, ...] = ()
    limits: Limits = Limits()
