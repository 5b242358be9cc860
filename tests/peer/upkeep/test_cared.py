"""What came of looking after the group is there to be told by day."""

from __future__ import annotations

from pathlib import Path

from peer.upkeep.cared import keep_said, look_after, read_said
from tests.support.small_group import small_group


class Nothing:
    def used_by_owner(self) -> dict[bytes, int]:
        return {}


async def test_what_the_steps_said_is_kept_and_who_said_nothing_left_out(tmp_path: Path):
    async with small_group(tmp_path, 1) as group:
        assert read_said(group.member.catalog) is None
        await look_after(group.member, Nothing(), lambda event: None)
        told = read_said(group.member.catalog)
        assert told is not None
        texts = [step["text"] for step in told["steps"]]
        assert "1 of 1 friends told 0 new usage statements." in texts
        keep_said(group.member.catalog, {"audit": "", "repair": "All is well."}, 7)
        steps = [{"step": "repair", "text": "All is well."}]
        assert read_said(group.member.catalog) == {"time_ns": 7, "steps": steps}
