"""What follows every night, whatever came of it: the group is looked after, step by step.

A step that fails is logged and told, and spoils neither the night nor the steps behind it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from peer.duty.night import see_to_duties
from peer.member import Emit, Member
from peer.service import note, progress
from peer.upkeep.challenge import challenge, shown_bytes
from peer.upkeep.rebalance import rebalance
from peer.upkeep.repair import repair
from peer.upkeep.statements import exchange

log = logging.getLogger("covey.upkeep")


class Held(Protocol):
    """What this member keeps for its friends."""

    def used_by_owner(self) -> Mapping[bytes, int]: ...


class Result(Protocol):
    """What came of a step."""

    @property
    def sentence(self) -> str:
        """For a person; empty when there is nothing to say."""
        ...


@dataclass(frozen=True, slots=True)
class Care:
    """What the steps work with. Use `run` after each night, under the member's busy lock."""

    member: Member
    held: Held
    emit: Emit

    async def run(self) -> dict[str, str]:
        """All steps in their order; what each has to say, by its name."""
        said: dict[str, str] = {}
        for name, step in STEPS:
            self.emit(progress("care"))
            try:
                said[name] = (await step(self)).sentence
            except Exception as error:
                log.exception("%s after the night failed", name)
                self.emit(note("", f"{name} after the night failed: {error}"))
        return said


async def _audit(care: Care) -> Result:
    return await challenge(care.member, care.emit)


async def _repair(care: Care) -> Result:
    return await repair(care.member, care.emit)


async def _rebalance(care: Care) -> Result:
    return await rebalance(care.member, care.emit)


async def _duties(care: Care) -> Result:
    return await see_to_duties(care.member)


async def _statements(care: Care) -> Result:
    return await exchange(care.member, care.held, partial(shown_bytes, care.member))


Step = Callable[[Care], Awaitable[Result]]
STEPS: tuple[tuple[str, Step], ...] = (
    ("audit", _audit),
    ("statements", _statements),
    ("repair", _repair),
    ("rebalance", _rebalance),
    ("duties", _duties),
)
"""Audits first, so that our statement says what they have shown."""
