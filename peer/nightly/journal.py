"""What happened, for a person to look back: nights, messages, and how much travelled each hour.

One JSON file, replaced whole, with bounds on all of it. It is no ground for any decision about
data: a journal that is lost or damaged is begun anew, and one that cannot be written (a full disk)
goes on in memory, since nobody's files and nobody's friends may suffer for it.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import msgspec

from peer.nightly.schedule import Done
from peer.state import write_atomic

log = logging.getLogger("covey.night")

NIGHTS_MAX, MESSAGES_MAX, HOURS_MAX = 400, 200, 24 * 35
TEXT_LETTERS_MAX = 500
SAID_MAX = 1_000
"""Things of which it is remembered that they were told; a friend who is gone is one."""
VERSION = 1
_HOUR_NS = 3600 * 10**9


class NightEntry(msgspec.Struct):
    """One night, complete or not."""

    time_ns: int
    ok: bool
    seconds: float
    files: int
    new_bytes: int
    shipped_bytes: int
    message: str
    friends: int
    asked_for: bool = False


class Message(msgspec.Struct):
    """Something a person should know; `key` tells what it is about, so that it is told once."""

    time_ns: int
    level: str
    text: str
    key: str = ""


class Hour(msgspec.Struct):
    """What went out and came in during an hour."""

    time_ns: int
    up_bytes: int
    down_bytes: int


class _Stored(msgspec.Struct):
    version: int = VERSION
    nights: list[NightEntry] = []
    messages: list[Message] = []
    traffic: list[Hour] = []
    said: dict[str, int] = {}
    succeeded_ns: int = 0
    tried_ns: int = 0
    failures: int = 0
    paused_until_ns: int = 0


class Journal:
    """The journal of one member, in one file. What changes it writes it, and may wait for a disk;
    threads may do so at the same time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            stored = msgspec.json.decode(path.read_bytes(), type=_Stored)
        except (OSError, msgspec.MsgspecError):
            stored = _Stored()
        self._stored = stored if stored.version == VERSION else _Stored()

    @property
    def paused_until_ns(self) -> int:
        """Until when a person wants no nights; 0 when they do."""
        return self._stored.paused_until_ns

    def done(self, since_ns: int) -> Done:
        """What the schedule goes by."""
        stored = self._stored
        return Done(since_ns, stored.succeeded_ns, stored.tried_ns, stored.failures)

    def begin_night(self, now_ns: int) -> None:
        """It is tried now; counts as a failure until `end_night` says otherwise."""
        with self._lock:
            self._stored.tried_ns = now_ns
            self._stored.failures += 1
            self._write()

    def end_night(self, entry: NightEntry, *, interrupted: bool = False) -> None:
        """How it went. One that was only interrupted is no failure, and goes on when it may."""
        with self._lock:
            entry.message = entry.message[:TEXT_LETTERS_MAX]
            self._stored.nights = [*self._stored.nights, entry][-NIGHTS_MAX:]
            if entry.ok:
                self._stored.succeeded_ns = entry.time_ns
                self._stored.failures = 0
            elif interrupted:
                self._stored.failures = max(0, self._stored.failures - 1)
            self._write()

    def pause(self, until_ns: int) -> None:
        """No nights by themselves until then."""
        with self._lock:
            self._stored.paused_until_ns = until_ns
            self._write()

    def say(self, now_ns: int, level: str, text: str, key: str = "") -> None:
        """Keep a message, and that something was said about its key."""
        with self._lock:
            message = Message(now_ns, level, text[:TEXT_LETTERS_MAX], key)
            self._stored.messages = [*self._stored.messages, message][-MESSAGES_MAX:]
            if key:
                said = self._stored.said
                said.pop(key, None)
                said[key] = now_ns
                if len(said) > SAID_MAX:
                    del said[next(iter(said))]
            self._write()

    def last_said_ns(self, key: str) -> int:
        """When something was last said about this; 0 for never."""
        return self._stored.said.get(key, 0)

    def count_traffic(self, now_ns: int, up_bytes: int, down_bytes: int) -> None:
        """So much travelled since the last call."""
        if not up_bytes and not down_bytes:
            return
        with self._lock:
            begin = now_ns - now_ns % _HOUR_NS
            hours = self._stored.traffic
            if not hours or hours[-1].time_ns != begin:
                hours.append(Hour(begin, 0, 0))
                del hours[:-HOURS_MAX]
            hours[-1].up_bytes += up_bytes
            hours[-1].down_bytes += down_bytes
            self._write()

    def as_answer(self) -> dict[str, Any]:
        """nights, messages and traffic, oldest first."""
        built: dict[str, Any] = msgspec.to_builtins(self._stored)
        return {name: built[name] for name in ("nights", "messages", "traffic")}

    def _write(self) -> None:
        try:
            write_atomic(self._path, msgspec.json.encode(self._stored))
        except OSError as error:
            log.warning("the journal cannot be written: %s", error)
