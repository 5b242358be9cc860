"""The server's log: lines for people or JSON for machines, and never who talks to whom.

No ids, no names, no addresses. An operator who looks for abuse needs to tell one address from
another, so an address is shown as a short hash with a salt that nobody knows and that is made anew
each day: within a day the same address looks the same, and there is no way back from it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

import msgspec

from signaling.limits import Bucket, address_key

Style = Literal["text", "json"]

SALT_BYTES = 16
SALT_S = 86_400.0
TAG_BYTES = 4
LINES: tuple[float, int] = (2.0, 100)
"""Lines about refusals, a second and at once: who attacks must not fill the disk."""


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and error with a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def set_up(style: Style) -> None:
    """Log to standard error in this style. Called once, by the process that is a server."""
    handler = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    handler.setFormatter(JsonFormatter() if style == "json" else text)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    ours = logging.getLogger("covey")
    ours.handlers[:] = []
    ours.propagate = True
    ours.setLevel(logging.INFO)


class Tags:
    """What stands for an address in the log, for a day. `now` is any clock that goes on."""

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes
        self._salt = b""
        self._until = float("-inf")

    def tag(self, address: str, *, now: float) -> str:
        """The same for an address (an IPv6 /64) until the salt is made anew."""
        if now >= self._until:
            self._salt, self._until = self._random_bytes(SALT_BYTES), now + SALT_S
        key = address_key(address).encode()
        return hashlib.blake2b(key, digest_size=TAG_BYTES, key=self._salt).hexdigest()


class Refusals:
    """The log of who was refused, and why."""

    def __init__(self, random_bytes: Callable[[int], bytes], *, now: float) -> None:
        self._tags = Tags(random_bytes)
        self._lines = Bucket(LINES, now=now)
        self._log = logging.getLogger("covey.signaling.refusals")

    def write(self, address: str, reason: str, *, now: float) -> None:
        """`reason` is one of ours, never what a client sent."""
        if not self._lines.take(now=now):
            self._log.info("refused %s: %s", self._tags.tag(address, now=now), reason)
