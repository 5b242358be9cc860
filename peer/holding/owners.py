"""When each owner was last seen here, and whose shares may go: after a goodbye, or a long silence.

Seen is who is online or asks for something. Days are observed days (`observed.py`), so neither a
clock that jumps nor a computer that was off for a year makes anybody silent. After a goodbye the
shares stay for some days, in case it is regretted; after a long silence they stay until somebody
needs the space. Whoever is seen again takes both back.

Not here: the files of shares (store.py), and who is gone for the purpose of repair.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from peer.state import write_atomic

SILENT_DAYS = 120
"""An owner that was not seen for so long may lose shares, and only when their space is needed."""
GOODBYE_DAYS = 14
"""As long as deleted shares are kept."""


class _Noted(msgspec.Struct):
    seen_day: int
    left_day: int | None = None


class Owners:
    """The owners who have something here. `day` is the number of the observed day."""

    def __init__(self, path: Path, owners: Iterable[bytes], day: Callable[[], int]) -> None:
        """`owners` have something here; who is not noted in `path` counts as seen today."""
        self._path, self._day = path, day
        today, noted = day(), self._read()
        self._noted = {
            owner: _not_to_come(noted.get(owner.hex(), _Noted(today)), today) for owner in owners
        }
        if noted.keys() != {owner.hex() for owner in self._noted}:
            self._write()

    def is_noted_today(self, owner: bytes) -> bool:
        """Whether `see` would change nothing."""
        noted = self._noted.get(owner)
        return noted is not None and noted.left_day is None and noted.seen_day == self._day()

    def see(self, owner: bytes) -> None:
        """This owner is there; a goodbye of it is taken back."""
        if not self.is_noted_today(owner):
            self._noted[owner] = _Noted(self._day())
            self._write()

    def begin(self, owner: bytes) -> None:
        """Count the days from now on for an owner of whom nothing was known."""
        if owner not in self._noted:
            self._noted[owner] = _Noted(self._day())
            self._write()

    def has_left(self, owner: bytes) -> bool:
        """Whether this owner has said goodbye and was not seen since."""
        noted = self._noted.get(owner)
        return noted is not None and noted.left_day is not None

    def known(self) -> list[bytes]:
        """All owners."""
        return sorted(self._noted)

    def say_goodbye(self, owner: bytes) -> None:
        """This owner has left for good."""
        noted = self._noted.get(owner)
        if noted is not None and noted.left_day is None:
            noted.left_day = self._day()
            self._write()

    def forget(self, owner: bytes) -> None:
        """Nothing of this owner is here any more."""
        if self._noted.pop(owner, None) is not None:
            self._write()

    def unseen_days(self, owner: bytes) -> int:
        """Observed days since this owner was seen; 0 for one of whom nothing is known."""
        noted = self._noted.get(owner)
        return 0 if noted is None else max(0, self._day() - noted.seen_day)

    def spare(self) -> list[bytes]:
        """Whose shares may go when space is needed: who has left, then the longest silent first."""
        silent = [
            (noted.left_day is None, -self.unseen_days(owner), owner)
            for owner, noted in self._noted.items()
            if noted.left_day is not None or self.unseen_days(owner) >= SILENT_DAYS
        ]
        return [owner for _, _, owner in sorted(silent)]

    def over(self) -> list[bytes]:
        """Who said goodbye so long ago that all of it goes."""
        return sorted(
            owner
            for owner, noted in self._noted.items()
            if noted.left_day is not None and self._day() - noted.left_day >= GOODBYE_DAYS
        )

    def _read(self) -> dict[str, _Noted]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, _Noted])
        except (OSError, msgspec.MsgspecError):
            return {}

    def _write(self) -> None:
        noted = {owner.hex(): noted for owner, noted in self._noted.items()}
        # Lost on a full disk, it costs nobody a byte: without a note an owner counts as seen.
        with contextlib.suppress(OSError):
            write_atomic(self._path, msgspec.json.encode(noted))


def _not_to_come(noted: _Noted, today: int) -> _Noted:
    """Days that are to come are of an observed time that was lost: it began anew."""
    left = noted.left_day
    return _Noted(min(noted.seen_day, today), None if left is None else min(left, today))
