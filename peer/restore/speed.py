"""How fast each friend is, as far as this job has seen, and how long it will take to send more.

A friend's rate is what arrives from it, over all that it sends at the time, in a moving average
that halves the weight of what was two seconds ago. Its latency is the time from a request to the
first answer. What is expected of it counts what it was asked for before.

A friend who was never asked is believed to be as fast as the best one: otherwise the first one to
be known would be asked for ever, however slow. What was seen a minute ago is forgotten, so that a
friend whose line was busy gets another chance.

Our own line is shared by all that is under way: on a slow one, each transfer waits for its turn.
How long that is (`turn_s`) is told from all that arrives, while it arrives; nobody is measured in
less. Pure: the clock is handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from signaling.messages import MemberId

RATE_UNKNOWN = 1_000_000.0
"""Bytes a second that an unknown friend is believed to send, if no better one is known."""
RATE_MIN = 1_000.0
LATENCY_UNKNOWN_S = 0.1
WINDOW_S = 0.25
"""What arrives is counted for so long, and for two turns, before it is a measurement."""
HALF_LIFE_S = 2.0
FRAME_BYTES = 60 << 10
"""What a friend sends of one transfer before it is the turn of another."""
FORGET_S = 60.0


@dataclass(slots=True)
class _Friend:
    rate: float | None = None
    latency_s: float | None = None
    backlog: int = 0
    transfers: int = 0
    sending: int = 0
    heard: float = 0.0
    counted_from: float = 0.0
    counted: int = 0


class Speeds:
    """All friends of a job. Each transfer is `begin`, `answer`, `arrive`..., `end`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._friends: dict[MemberId, _Friend] = {}
        self._all = _Friend()  # their sum, as if they were one

    # --- what happens -----------------------------------------------------------------------

    def begin(self, member: MemberId, size: int) -> None:
        """So many bytes are to be asked of this friend."""
        now, friend = self.clock(), self._friend(member)
        if not friend.transfers:
            friend.heard = now
        friend.transfers += 1
        friend.backlog += size

    def answer(self, member: MemberId, seconds: float) -> None:
        """The first answer came so long after the request; data follow."""
        now, friend = self.clock(), self._friend(member)
        if friend.latency_s is None:
            friend.latency_s = seconds
        friend.latency_s += (seconds - friend.latency_s) / 4
        friend.heard = now
        self._measure(friend)
        for one in (friend, self._all):
            if not one.sending:
                one.counted_from, one.counted = now, 0  # waiting is latency, and not rate
            one.sending += 1

    def arrive(self, member: MemberId, size: int) -> None:
        """So many bytes have come."""
        friend = self._friend(member)
        friend.backlog -= size
        friend.heard = self.clock()
        for one in (self._all, friend):
            one.counted += size
            self._measure(one)

    def end(self, member: MemberId, left: int, *, answered: bool) -> None:
        """A transfer is over, and so many bytes of it never came."""
        friend = self._friend(member)
        if left:  # it was broken off, maybe because nothing came: that is remembered
            friend.latency_s = max(friend.latency_s or 0.0, self.clock() - friend.heard)
        if answered:
            self._measure(friend, at_least_s=WINDOW_S / 10)
            friend.sending -= 1
            self._all.sending -= 1
        friend.backlog -= left
        friend.transfers -= 1
        assert friend.transfers >= friend.sending >= 0
        assert friend.backlog >= 0

    # --- what is to be expected -------------------------------------------------------------

    def rate(self, member: MemberId) -> float:
        """Bytes a second."""
        friend = self._friend(member)
        self._measure(friend)
        if friend.rate is not None:
            return max(friend.rate, RATE_MIN)
        known = [other.rate for other in self._friends.values() if other.rate is not None]
        return max([RATE_UNKNOWN, *known])

    def silent_s(self, member: MemberId) -> float:
        """For how long nothing has come of all that this friend was asked for."""
        friend = self._friend(member)
        return self.clock() - friend.heard if friend.transfers else 0.0

    def expected_s(self, member: MemberId, size: int) -> float:
        """How long so many bytes more would take. Who is silent is believed to stay so as long."""
        friend = self._friend(member)
        rate = self.rate(member)
        latency = LATENCY_UNKNOWN_S if friend.latency_s is None else friend.latency_s
        return max(latency, self.silent_s(member)) + (friend.backlog + size) / rate

    def remaining_s(self, member: MemberId, size: int, *, answered: bool) -> float:
        """How long the last `size` bytes of a transfer take, beside the friend's other ones."""
        friend = self._friend(member)
        ahead = min(friend.backlog, size * friend.sending) if answered else friend.backlog
        return ahead / self.rate(member)

    def turn_s(self) -> float:
        """How long a transfer waits for its turn at our own line, as fast as that last was."""
        others = max(self._all.sending - 1, 0)
        return (
            0.0 if self._all.rate is None else others * FRAME_BYTES / max(self._all.rate, RATE_MIN)
        )

    # --- inside -----------------------------------------------------------------------------

    def _friend(self, member: MemberId) -> _Friend:
        friend = self._friends.setdefault(member, _Friend())
        if not friend.transfers and self.clock() - friend.heard > FORGET_S:
            friend.rate = friend.latency_s = None
        return friend

    def _measure(self, friend: _Friend, *, at_least_s: float = WINDOW_S) -> None:
        if not friend.sending:
            return
        now = self.clock()
        seconds = now - friend.counted_from
        if friend is not self._all:
            at_least_s = max(at_least_s, 2 * self.turn_s())
        if seconds < at_least_s or seconds <= 0:
            return
        rate = friend.counted / seconds
        weight = 1.0 if friend.rate is None else 1 - 0.5 ** (seconds / HALF_LIFE_S)
        friend.rate = rate * weight + (friend.rate or 0.0) * (1 - weight)
        friend.counted_from, friend.counted = now, 0
