"""How much all links carried, from what each of them counts while it lasts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol


class Link(Protocol):
    """What one link tells of itself (datachannel.engine.LinkInfo)."""

    @property
    def member(self) -> bytes: ...
    @property
    def bytes_sent(self) -> int: ...
    @property
    def bytes_received(self) -> int: ...


class LinkTraffic:
    """Sums over links that come and go; a new link to the same friend begins at nothing."""

    def __init__(self, links: Callable[[], Sequence[Link]]) -> None:
        self._links = links
        self._last: dict[bytes, tuple[int, int]] = {}
        self._sent = self._received = 0

    def carried(self) -> tuple[int, int]:
        """Bytes sent and received since the start, as far as was seen."""
        now = {link.member: (link.bytes_sent, link.bytes_received) for link in self._links()}
        for member, (sent, received) in now.items():
            before = self._last.get(member, (0, 0))
            fresh = sent < before[0] or received < before[1]
            self._sent += sent - (0 if fresh else before[0])
            self._received += received - (0 if fresh else before[1])
        self._last = now
        return self._sent, self._received
