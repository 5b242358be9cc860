"""Token buckets, by key, in bounded memory. Time is an argument."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

KEYS_MAX = 100_000
"""Buckets kept; the one unused for longest goes first, and is full when it comes back."""


class Buckets:
    """A token bucket for each key: `rate` tokens a second, at most `burst` of them."""

    def __init__(self, rate: float, burst: int, *, keys_max: int = KEYS_MAX) -> None:
        self._rate, self._burst, self._keys_max = rate, burst, keys_max
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, key: Hashable, *, now: float) -> float:
        """Take one token. 0.0 when there was one, else the seconds until there is."""
        tokens = self._tokens(key, now)
        allowed = tokens >= 1.0
        self._keep(key, tokens - 1.0 if allowed else tokens, now)
        return 0.0 if allowed else (1.0 - tokens) / self._rate

    def wait(self, key: Hashable, *, now: float) -> float:
        """As `take`, without taking."""
        tokens = self._tokens(key, now)
        return 0.0 if tokens >= 1.0 else (1.0 - tokens) / self._rate

    def _tokens(self, key: Hashable, now: float) -> float:
        tokens, then = self._buckets.get(key, (float(self._burst), now))
        return min(float(self._burst), tokens + max(now - then, 0.0) * self._rate)

    def _keep(self, key: Hashable, tokens: float, now: float) -> None:
        self._buckets[key] = (tokens, now)
        self._buckets.move_to_end(key)
        while len(self._buckets) > self._keys_max:
            self._buckets.popitem(last=False)

    def __len__(self) -> int:
        return len(self._buckets)


def address_key(address: str) -> str:
    """What counts as one address: an IPv4 address, or an IPv6 /64."""
    if ":" not in address:
        return address
    if address.lower().startswith("::ffff:") and "." in address:
        return address[7:]
    head, _, tail = address.partition("%")[0].partition("::")
    left = head.split(":") if head else []
    right = tail.split(":") if tail else []
    filled = left + ["0"] * (8 - len(left) - len(right)) + right
    return ":".join(part.lower().lstrip("0") or "0" for part in filled[:4]) + "::/64"
