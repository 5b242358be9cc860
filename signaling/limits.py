"""How much anyone may try. Pure: time is an argument, memory is bounded."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Hashable

from signaling.config import Limits, Rate

KEYS_MAX = 100_000
"""Buckets kept; the one unused for longest goes first, and is full when it comes back."""
WAIT_S_MAX = 3600.0


class Buckets:
    """A token bucket for each key: `rate` tokens a second, at most `burst` of them."""

    def __init__(self, rate: float, burst: int, *, keys_max: int = KEYS_MAX) -> None:
        if rate <= 0 or burst < 1 or keys_max < 1:
            raise ValueError("a bucket holds at least one token, and is filled again")
        self._rate, self._burst, self._keys_max = rate, burst, keys_max
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: Hashable, *, now: float) -> float:
        """Take one token. 0.0 when there was one, else the seconds until there is."""
        tokens = self._tokens(key, now)
        wait = self._wait(tokens)
        self._buckets[key] = (tokens if wait else tokens - 1.0, now)
        self._buckets.move_to_end(key)
        while len(self._buckets) > self._keys_max:
            self._buckets.popitem(last=False)
        return wait

    def wait(self, key: Hashable, *, now: float) -> float:
        """As `take`, without taking."""
        return self._wait(self._tokens(key, now))

    def _tokens(self, key: Hashable, now: float) -> float:
        tokens, then = self._buckets.get(key, (float(self._burst), now))
        return min(float(self._burst), tokens + max(now - then, 0.0) * self._rate)

    def _wait(self, tokens: float) -> float:
        return 0.0 if tokens >= 1.0 else (1.0 - tokens) / self._rate


class Bucket:
    """One token bucket."""

    def __init__(self, rate: Rate) -> None:
        self._buckets = Buckets(*rate, keys_max=1)

    def take(self, *, now: float) -> float:
        """As `Buckets.take`."""
        return self._buckets.take(None, now=now)


class Gate:
    """Who may connect and who may try to join, now.

    Members that a group knows are always let try: they prove their identity, which cannot be
    guessed, so no guesser can lock a group's members out, not even from behind their own address.
    Everybody else waits when too many attempts failed at the group or from the address.
    """

    def __init__(self, limits: Limits) -> None:
        self._connects = Buckets(*limits.connects_per_address)
        self._failures = Buckets(*limits.failures_per_address)
        self._failures_of_group = Buckets(*limits.failures_per_group)
        self._unknown_groups = Buckets(*limits.unknown_groups_per_address)
        self._new_groups = Buckets(*limits.new_groups_per_address)
        self._new_members = Buckets(*limits.new_members_per_address)

    def connect(self, address: str, *, now: float) -> float:
        """Count a connection. The seconds to wait, 0.0 when it may come in."""
        return self._connects.take(address, now=now)

    def wait_to_join(
        self, address: str, name_id: bytes, *, known_group: bool, create: bool, now: float
    ) -> float:
        """The seconds until somebody who is no member yet may try to join."""
        wait = max(
            self._failures.wait(address, now=now),
            self._failures_of_group.wait(name_id, now=now),
            self._new_members.wait(address, now=now),
        )
        if not known_group:
            buckets = self._new_groups if create else self._unknown_groups
            wait = max(wait, buckets.wait(address, now=now))
        return min(wait, WAIT_S_MAX)

    def failed(self, address: str, name_id: bytes, code: str, *, now: float) -> None:
        """An attempt to join was refused with this code."""
        if code in ("wrong_password", "bad_signature", "bad_message"):
            self._failures.take(address, now=now)
        if code == "wrong_password":  # others do not even show a guess of the password
            self._failures_of_group.take(name_id, now=now)
        if code == "unknown_group":
            self._unknown_groups.take(address, now=now)

    def entered(self, address: str, *, new_group: bool, now: float) -> None:
        """Somebody has become a member."""
        self._new_members.take(address, now=now)
        if new_group:
            self._new_groups.take(address, now=now)


def address_key(address: str) -> str:
    """What counts as one address: an IPv4 address, or an IPv6 /64; "" for what is none."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))


def client_address(remote: str, forwarded_for: str) -> str:
    """Whose connection this is. Only a proxy on this very computer is believed.

    A proxy appends the address that it saw, so the last one is what our own proxy says.
    """
    own = address_key(remote)
    if own == "127.0.0.1" or remote.partition("%")[0] == "::1":
        return address_key(forwarded_for.rpartition(",")[2].strip()) or own
    return own
