"""How much of the person's line the links may take: told, changed, and kept for the next start."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Final

from datachannel.bandwidth import LEAST_BYTES_PER_S, Limits
from datachannel.throttle import Throttle
from peer.service import Answer, Problem

_RATE: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*([kKmMgG]?)(bit|B)(?:/s)?")
_BITS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}

Save = Callable[[Limits], Awaitable[None]]


class Limiting:
    """What a person allows the links of this member."""

    def __init__(self, throttle: Throttle, save: Save) -> None:
        self._throttle, self._save = throttle, save

    def told(self) -> Answer:
        """As `Service.limits` answers it."""
        limits, (up, down) = self._throttle.limits, self._throttle.rates
        return {
            "up_bytes_per_s": limits.up_bytes_per_s,
            "down_bytes_per_s": limits.down_bytes_per_s,
            "spare": limits.spare,
            "now_up_bytes_per_s": up,
            "now_down_bytes_per_s": down,
        }

    async def change(self, up: str, down: str, spare: bool | None) -> Answer:
        """See `Service.set_limits`. Raises Problem."""
        before = self._throttle.limits
        limits = Limits(
            rate_of(up) if up else before.up_bytes_per_s,
            rate_of(down) if down else before.down_bytes_per_s,
            before.spare if spare is None else spare,
        )
        await self._save(limits)
        self._throttle.limits = limits
        return self.told()

    def hurry(self) -> AbstractContextManager[None]:
        """The person waits meanwhile: only what was set as a limit holds."""
        return self._throttle.hurry()


def rate_of(text: str) -> float | None:
    """Bytes a second of `5Mbit`, `800 kbit/s`, `2MB` or `none`. Raises Problem."""
    if text.strip().lower() == "none":
        return None
    found = _RATE.fullmatch(text.strip())
    if found is None:
        raise Problem(
            f"«{text}» is no speed.", "Write it like 5Mbit, 800kbit or 2MB (a second), or none."
        )
    number, prefix, unit = found.groups()
    rate = float(number) * _BITS[prefix.lower()] / (8 if unit == "bit" else 1)
    if rate < LEAST_BYTES_PER_S:
        least = f"{LEAST_BYTES_PER_S * 8 / 1000:.0f} kbit/s"
        raise Problem(f"With less than {least} no backup comes to an end.", "Allow a little more.")
    return rate
