"""Who may connect, join and speak how often. Token buckets; time is an argument.

`Admission` holds the rules about strangers: they are counted by address and by group, in bounded
memory. Who has proven to be a member of the group it asks for is bound by none of the rules about
passwords: it knows the password, so the answer tells it nothing, and nobody who guesses, from the
same address or at the same group, can lock it out. Nor can it lock out newcomers elsewhere: only
who has guessed wrong itself waits for what others have guessed at its group.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Hashable

from signaling.config import Limits, Rate

KEYS_MAX = 100_000
"""Buckets kept of a kind; the one unused for longest goes first, and is full when it comes back."""
EXPIRED_AT_ONCE = 4
"""Kept no longer than they say anything: each use looks at so many of the oldest."""
BACK_OFF_S_MAX = 3600.0
FORGIVEN_S = 6 * 3600.0
"""Who has not failed for so long has not failed."""


class Bucket:
    """A token bucket, full at first."""

    __slots__ = ("_burst", "_rate", "_then", "_tokens")

    def __init__(self, rate: Rate, *, now: float) -> None:
        self._rate, self._burst = rate
        self._tokens, self._then = float(self._burst), now

    def wait(self, *, now: float) -> float:
        """The seconds until there is a token: 0.0 when there is one."""
        self._refill(now)
        return 0.0 if self._tokens >= 1.0 else (1.0 - self._tokens) / self._rate

    def take(self, *, now: float, cost: float = 1.0) -> float:
        """As `wait`, and when there is a token, `cost` tokens are taken, at the worst on credit."""
        wait = self.wait(now=now)
        if not wait:
            self._tokens -= cost
        return wait

    def is_full(self, *, now: float) -> bool:
        """Whether it is as a new one would be."""
        self._refill(now)
        return self._tokens >= self._burst

    def _refill(self, now: float) -> None:
        # A clock that goes back gives nothing and takes nothing.
        self._tokens += max(now - self._then, 0.0) * self._rate
        self._tokens = min(self._tokens, float(self._burst))
        self._then = max(now, self._then)


class Buckets:
    """A bucket for each key, `keys_max` of them."""

    def __init__(self, rate: Rate, *, keys_max: int = KEYS_MAX) -> None:
        self._rate, self._keys_max = rate, keys_max
        self._buckets: OrderedDict[Hashable, Bucket] = OrderedDict()

    def wait(self, key: Hashable, *, now: float) -> float:
        """The seconds until there is a token for this key."""
        bucket = self._buckets.get(key)
        return 0.0 if bucket is None else bucket.wait(now=now)

    def take(self, key: Hashable, *, now: float) -> float:
        """As `wait`, and when there is a token, it is taken."""
        self._expire(now)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(self._rate, now=now)
            if len(self._buckets) > self._keys_max:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return bucket.take(now=now)

    def _expire(self, now: float) -> None:
        for _ in range(EXPIRED_AT_ONCE):
            oldest = next(iter(self._buckets), None)
            if oldest is None or not self._buckets[oldest].is_full(now=now):
                return
            del self._buckets[oldest]

    def __len__(self) -> int:
        return len(self._buckets)


class BackOff:
    """Who fails too often waits, and twice as long after each further failure.

    Of `rate`, (1 / pause, failures): so many are free, and the first pause is that long, in
    seconds. While somebody waits nothing is counted, so the wait has an end, an hour at most.
    """

    def __init__(self, rate: Rate, *, keys_max: int = KEYS_MAX) -> None:
        (per_s, self._free), self._keys_max = rate, keys_max
        self._pause_s = 1 / per_s
        self._failures: OrderedDict[Hashable, tuple[int, float]] = OrderedDict()

    def wait(self, key: Hashable, *, now: float) -> float:
        """The seconds until this key may try again: 0.0 when it may."""
        count, last = self._failures.get(key, (0, now))
        if count < self._free or now - last >= FORGIVEN_S:
            return 0.0
        doubled = min(count - self._free, 64)
        pause_s = min(self._pause_s * 2.0**doubled, max(BACK_OFF_S_MAX, self._pause_s))
        return max(0.0, last + pause_s - now)

    def has_failed(self, key: Hashable, *, now: float) -> bool:
        """Whether this key has failed, and is not forgiven."""
        count, last = self._failures.get(key, (0, now))
        return count > 0 and now - last < FORGIVEN_S

    def fail(self, key: Hashable, *, now: float) -> None:
        """Count one failure."""
        count = self._failures[key][0] if self.has_failed(key, now=now) else 0
        self._failures[key] = (count + 1, now)
        self._failures.move_to_end(key)
        for _ in range(EXPIRED_AT_ONCE):
            oldest = next(iter(self._failures))
            is_old = not self.has_failed(oldest, now=now)
            if not is_old and len(self._failures) <= self._keys_max:
                break
            del self._failures[oldest]

    def __len__(self) -> int:
        return len(self._failures)


class Admission:
    """The rules about strangers."""

    def __init__(self, limits: Limits) -> None:
        self._connects = Buckets(limits.connects_per_address)
        self._wrong_by_address = BackOff(limits.wrong_passwords_per_address)
        self._wrong_by_group = Buckets(limits.wrong_passwords_per_group)
        self._unknown = Buckets(limits.unknown_groups_per_address)
        self._new_groups = Buckets(limits.new_groups_per_address)
        self._new_members = Buckets(limits.new_members_per_address)
        self._rejoins = Buckets(limits.joins_per_member)

    def connect(self, address: str, *, now: float) -> float:
        """A connection is opened. The seconds to wait when that is too often, else 0.0."""
        return self._connects.take(address_key(address), now=now)

    def join(
        self, address: str, name_id: bytes, *, is_known: bool, create: bool, now: float
    ) -> float:
        """A stranger wants into a group that is known or not: the seconds to wait, else 0.0."""
        key = address_key(address)
        waits = [self._wrong_by_address.wait(key, now=now), self._new_members.wait(key, now=now)]
        if is_known and self._wrong_by_address.has_failed(key, now=now):
            waits.append(self._wrong_by_group.wait(name_id, now=now))
        if is_known:
            return max(waits)
        kind = self._new_groups if create else self._unknown
        return max(*waits, kind.wait(key, now=now))

    def rejoin(self, name_id: bytes, member: bytes, *, now: float) -> float:
        """A member, proven to be one, comes again. The seconds to wait when that is too often."""
        return self._rejoins.take((name_id, member), now=now)

    def count_wrong_password(self, address: str, name_id: bytes, *, now: float) -> None:
        """It was not the group's password."""
        self._wrong_by_address.fail(address_key(address), now=now)
        self._wrong_by_group.take(name_id, now=now)

    def count_bad_signature(self, address: str, *, now: float) -> None:
        """It signed with other keys than it showed; that says nothing about any group."""
        self._wrong_by_address.fail(address_key(address), now=now)

    def count_unknown_group(self, address: str, *, now: float) -> None:
        """It was told that there is no such group."""
        self._unknown.take(address_key(address), now=now)

    def count_new_member(self, address: str, *, created: bool, now: float) -> None:
        """It is in, and perhaps it started the group."""
        self._new_members.take(address_key(address), now=now)
        if created:
            self._new_groups.take(address_key(address), now=now)


def address_key(address: str) -> str:
    """What counts as one address: an IPv4 address, or an IPv6 /64."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(ip) >> 64 << 64, 64)))
