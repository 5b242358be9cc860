"""What a server can be told, and the defaults with their reasons."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from signaling.messages import IceServer
from signaling.turn import TurnConfig

Rate = tuple[float, int]
"""A token bucket: (events per second that come back, events at once)."""

LOCAL_PROXIES = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of the server anyone may use.

    An honest group of 20 that starts together behind one address, and then calls each other all
    at once, stays well below all of it. An address is an IPv4 address or an IPv6 /64.
    """

    connections_max: int = 100_000
    """If the system gives so many files to a process; `covey serve` takes what it can get."""
    connections_per_address_max: int = 1_000
    groups_max: int = 50_000
    cards_bytes_max: int = 256 << 20
    """Of all cards together; they stay in memory."""
    connects_per_address: Rate = (5.0, 300)
    waiting_per_address_max: int = 300
    """TCP connections that are no WebSocket yet."""
    wrong_passwords_per_address: Rate = (0.02, 10)
    """Then who is no member yet waits, also with the right password: else the answer tells it.
    The first wait is 50 s, and each further guess doubles it."""
    wrong_passwords_per_group: Rate = (0.1, 60)
    """The same for guessers with many addresses; who has not guessed wrong does not wait."""
    unknown_groups_per_address: Rate = (0.05, 60)
    """Each tells that nobody uses a name."""
    new_groups_per_address: Rate = (0.01, 50)
    new_members_per_address: Rate = (0.05, 300)
    joins_per_member: Rate = (0.2, 30)
    """Each is told to the whole group."""
    messages_per_connection: Rate = (30.0, 600)
    messages_per_group: Rate = (1_000.0, 20_000)
    """No group takes more of the server than that, however many members it has."""
    signal_bytes_per_connection: Rate = (8_192.0, 4 << 20)
    """Enough to call 255 friends at once; far too slow to carry data through the server."""
    cards_per_connection: Rate = (0.2, 20)
    """A new card goes to the whole group and to the database."""
    grants_per_connection: Rate = (1 / 300, 6)
    """Fresh TURN credentials: an honest member asks after half of an hour."""
    outgoing_messages_max: int = 512
    """Waiting for a slow reader; then it is dropped, and comes back to a full picture."""
    outgoing_bytes_max: int = 4 << 20
    outgoing_bytes_total_max: int = 256 << 20
    """Waiting for all readers together."""
    request_timeout_s: float = 10.0
    """From a TCP connection to its WebSocket."""
    join_timeout_s: float = 20.0
    heartbeat_s: float = 25.0
    send_timeout_s: float = 20.0
    close_timeout_s: float = 3.0


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """One server.

    `names` are the host[:port] under which clients call it. Without any, it goes by whatever name
    a client called it: convenient, but then another server that a member joins can pass the
    member's challenge on and be connected here in its place (it still reads no signal). A public
    server names itself.

    `proxies` are the addresses or networks of reverse proxies whose X-Forwarded-For is believed.
    Everybody behind another one counts as one address.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 0
    names: tuple[str, ...] = ()
    store: str | None = None
    """The URL of a Redis that several instances share; without it, a file in `data`."""
    proxies: tuple[str, ...] = LOCAL_PROXIES
    metrics: tuple[str, int] | None = None
    """(host, port) of the metrics; no stranger should reach it."""
    ice_servers: tuple[IceServer, ...] = ()
    """Given to members as they are."""
    turn: TurnConfig | None = None
    """Given to members with credentials of their own."""
    limits: Limits = Limits()
