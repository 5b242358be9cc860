"""Days that this member has really seen pass.

Nothing is deleted because a clock says so: clocks jump. Observed time grows by the monotonic clock
while the member runs, and by at most one day for all the time it was off, however long the wall
clock says that was. A clock that jumps a year costs a day.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from peer.state import write_atomic

DAY_S = 86_400
OFF_S_MAX = DAY_S
"""What a stop can add, at most."""
SAVE_EVERY_S = 3600


class _Saved(msgspec.Struct):
    seconds: float
    wall_s: float


class ObservedTime:
    """A counter of observed seconds, kept in a file."""

    def __init__(
        self, path: Path, *, wall_s: Callable[[], float], monotonic_s: Callable[[], float]
    ) -> None:
        self._path, self._wall_s, self._monotonic_s = path, wall_s, monotonic_s
        self._lock = threading.Lock()
        self._seconds = self._load()
        self._last = monotonic_s()
        self._saved_at = self._seconds
        self._save()

    @property
    def day(self) -> int:
        """Whole observed days since this member began."""
        self._advance()
        return int(self._seconds // DAY_S)

    def _load(self) -> float:
        try:
            saved = msgspec.json.decode(self._path.read_bytes(), type=_Saved)
        except (OSError, msgspec.MsgspecError):
            return 0.0
        off = max(self._wall_s() - saved.wall_s, 0.0)
        return max(saved.seconds, 0.0) + min(off, OFF_S_MAX)

    def _advance(self) -> None:
        with self._lock:  # no moment may count twice
            now = self._monotonic_s()
            self._seconds += max(now - self._last, 0.0)
            self._last = now
            if self._seconds - self._saved_at >= SAVE_EVERY_S:
                self._save()

    def _save(self) -> None:
        self._saved_at = self._seconds
        saved = _Saved(self._seconds, self._wall_s())
        with contextlib.suppress(OSError):  # a full disk must not stop us; time is counted later
            write_atomic(self._path, msgspec.json.encode(saved))
