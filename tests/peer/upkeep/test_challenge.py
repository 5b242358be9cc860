"""Audits of every night: they keep scores, and what fails twice is made anew."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from peer.service import Event
from peer.upkeep.challenge import Challenged, challenge, shown_bytes
from peer.upkeep.scores import read_scores
from tests.support.small_group import Holder, SmallGroup, small_group


@pytest.fixture
def files(tmp_path) -> Path:
    root = tmp_path / "files"
    root.mkdir()
    (root / "one").write_bytes(random.Random(1).randbytes(300_000))
    return root


async def audits(group: SmallGroup, nights: int, events: list[Event] | None = None) -> Challenged:
    for _ in range(nights):
        emit = (lambda event: None) if events is None else events.append
        outcome = await challenge(group.member, emit)
    return outcome


def spoil(holder: Holder) -> int:
    """Every share rots; how many."""
    for path in holder.share_files():
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    return len(holder.share_files())


async def test_friends_who_show_what_they_keep_get_credit_for_it(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        outcome = await audits(group, 3)
        assert outcome.passed == outcome.asked > 0
        assert outcome.failed == {}
        assert shown_bytes(group.member) == group.member.catalog.bytes_per_holder()


async def test_what_rots_is_in_doubt_first_and_forgotten_the_second_time(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        bad = next(iter(group.holders.values()))
        spoiled = spoil(bad)
        events: list[Event] = []
        outcome = await audits(group, 1, events)
        assert outcome.failed == {"friend 0": spoiled}
        assert outcome.lost == 0
        assert group.member.catalog.shares_per_holder()[bad.member] == spoiled
        assert "friend 0 could not show a part" in str(events)
        outcome = await audits(group, 1)
        assert outcome.lost == spoiled
        assert bad.member not in group.member.catalog.shares_per_holder()
        assert bad.share_files() == []
        score = read_scores(group.member.catalog).of(bad.member)
        assert score.sentence.startswith(f"could not show {spoiled}")


async def test_who_sleeps_or_says_nothing_loses_nothing(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        asleep = next(iter(group.holders.values()))
        asleep.online = False
        outcome = await audits(group, 3)
        assert outcome.failed == {}
        assert read_scores(group.member.catalog).of(asleep.member).value == 1
        assert asleep.member in group.member.catalog.shares_per_holder()
