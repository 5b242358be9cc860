"""What follows a night: every step is taken, whatever came of those before it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from peer.service import Event
from peer.upkeep import care
from peer.upkeep.challenge import shown_bytes
from tests.support.small_group import SmallGroup, small_group


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


def shown(group: SmallGroup) -> list[int]:
    """What our statement says that each friend has shown to keep."""
    own = group.member.book.statements()[group.owner]
    said = {dealing.member: dealing.shown_bytes for dealing in own.dealings}
    return [said.get(bytes(friend), 0) for friend in group.holders]


async def test_after_a_night_friends_are_audited_and_what_they_showed_is_stated(tmp_path: Path):
    files = tmp_path / "files"
    files.mkdir()
    (files / "film").write_bytes(os.urandom(300_000))
    async with small_group(tmp_path / "group", 3) as group:
        assert (await group.backup(files))["ok"]
        first, rotten, away = group.holders.values()
        tending = care.Care(group.member, Nothing(), lambda event: None)
        said = await tending.run()
        assert said["statements"] == "3 of 3 friends told 0 new usage statements."
        assert said["audit"].startswith("Friends showed ")
        stored = group.member.catalog.bytes_per_holder()
        assert shown(group) == [stored[friend] for friend in group.holders]
        assert all(size > 300_000 for size in shown(group))
        for path in rotten.share_files():
            path.write_bytes(path.read_bytes()[:-1] + b"?")
        away.online = False
        for link in away.links:
            await link.close()
        await tending.run()
        assert shown(group)[0] == stored[first.member]
        assert shown(group)[1] < stored[rotten.member]
        assert shown(group)[2] == stored[away.member]  # it keeps what it had shown


async def test_notes_on_audits_that_cannot_be_read_are_begun_anew(tmp_path: Path):
    async with small_group(tmp_path, 1) as group:
        group.member.catalog.set_meta("scores", b"nonsense")
        assert shown_bytes(group.member) == {}
