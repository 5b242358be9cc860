"""What follows a night: every step is taken, whatever came of those before it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from peer.service import Event
from peer.upkeep import care
from tests.support.small_group import small_group


@dataclass
class Done:
    sentence: str


class Nothing:
    def used_by_owner(self) -> dict[bytes, int]:
        return {}


async def test_a_step_that_fails_is_told_and_spoils_nothing(tmp_path: Path, monkeypatch):
    async def fail(_: care.Care) -> Done:
        raise ValueError("the disk is on fire")

    async def work(_: care.Care) -> Done:
        return Done("This was done.")

    monkeypatch.setattr(care, "STEPS", (("putting out", fail), ("work", work)))
    events: list[Event] = []
    async with small_group(tmp_path, 1) as group:
        said = await care.Care(group.member, Nothing(), events.append).run()
    assert said == {"work": "This was done."}
    assert [event["event"] for event in events] == ["progress", "note", "progress"]
    assert "the disk is on fire" in events[1]["text"]


async def test_our_usage_statement_is_made_after_a_night(tmp_path: Path):
    async with small_group(tmp_path, 2) as group:
        said = await care.Care(group.member, Nothing(), lambda event: None).run()
        assert said["statements"] == "2 of 2 friends told 0 new usage statements."
        assert group.owner in group.member.book.statements()
