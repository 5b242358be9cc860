"""What a server can be told, and the defaults with their reasons."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from signaling.messages import IceServer


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of the server anyone may use. Rates are per second, bursts in events.

    An honest group of 20 that starts together behind one address, and then calls each other all
    at once, stays well below all of it.
    """

    connections_max: int = 20_000
    connections_per_address_max: int = 1_000
    groups_max: int = 200_000
    connects_per_address: tuple[float, int] = (5.0, 300)
    wrong_passwords_per_address: tuple[float, int] = (0.02, 10)
    wrong_passwords_per_group: tuple[float, int] = (0.1, 60)
    new_groups_per_address: tuple[float, int] = (0.01, 50)
    messages_per_connection: tuple[float, int] = (30.0, 600)
    outgoing_messages_max: int = 512
    """Waiting for a slow reader; then it is dropped, and comes back to a full picture."""
    outgoing_bytes_max: int = 4 << 20
    join_timeout_s: float = 20.0
    heartbeat_s: float = 25.0
    send_timeout_s: float = 20.0


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """One server. Without `names` it goes by the name under which a client called it."""

    data: Path
    host: str = "127.0.0.1"
    port: int = 0
    names: tuple[str, ...] = ()
    ice_servers: tuple[IceServer, ...] = ()
    limits: Limits = Limits()
