"""What happened in a world, in order, and one number for all of it.

Two runs of one seed must give the same hash: that is what makes a failure found once a failure that
can be looked at. The last events are kept to be shown; the hash covers all.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque

KEPT = 200
"""Events that are shown when something went wrong."""


class Trace:
    """Notes what happens, with the loop's time."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._now = asyncio.get_running_loop().time
        self.last: deque[str] = deque(maxlen=KEPT)
        self.events = 0

    def note(self, kind: str, *facts: object) -> None:
        """Something happened that is worth showing."""
        line = f"{self._now():.6f} {kind} {' '.join(map(str, facts))}"
        self.last.append(line)
        self.events += 1
        self._hash.update(f"{line}\n".encode())

    def fold(self, frame: bytes) -> None:
        """A frame arrived: only the hash is told."""
        self._hash.update(frame)

    def hash(self) -> str:
        """Of everything until now."""
        return self._hash.hexdigest()
