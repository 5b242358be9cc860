"""What came of looking after the group, kept so that it can be told by day."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Protocol

from peer.member import Emit, Member
from peer.service import Answer
from peer.upkeep.care import Care, Held

_KEY = "cared"


class Keeper(Protocol):
    """Where small values are kept by name: the catalog."""

    def get_meta(self, key: str) -> bytes | None: ...
    def set_meta(self, key: str, value: bytes) -> None: ...


async def look_after(member: Member, held: Held, emit: Emit) -> None:
    """All steps of `Care`, and keep what they said."""
    said = await Care(member, held, emit).run()
    await member.run_blocking(keep_said, member.catalog, said, member.wall_clock())


def keep_said(keeper: Keeper, said: Mapping[str, str], time_ns: int) -> None:
    """This is what the steps said last."""
    steps = [{"step": step, "text": text} for step, text in said.items() if text]
    keeper.set_meta(_KEY, json.dumps({"time_ns": time_ns, "steps": steps}).encode())


def read_said(keeper: Keeper) -> Answer | None:
    """time_ns and steps: [{step, text}] of the last time; None before the first."""
    data = keeper.get_meta(_KEY)
    return None if data is None else json.loads(data)
