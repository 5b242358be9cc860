"""An owner's duty after a night: what it names, who gets it, and how often it is made anew."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from chunking.duty import Duty, read_duty
from chunking.formats import PACK_DATA
from datachannel.credentials import GOING
from peer.duty import publish
from peer.duty.holder import Duties
from peer.duty.publish import GRACE_DAYS, choose_packs, publish_duty
from tests.support.small_group import Holder, SmallGroup, small_group


@pytest.fixture
def files(tmp_path) -> Path:
    root = tmp_path / "files"
    root.mkdir()
    for number in range(3):
        (root / f"file {number}").write_bytes(random.Random(number).randbytes(150_000))
    return root


def keeps_duties(group: SmallGroup) -> None:
    for holder in group.holders.values():
        holder.handler.duties = Duties(
            holder.store,
            holder.folder / "leases",
            members=lambda: {group.owner},
            monotonic_s=lambda: 0.0,
        )


def duty_at(group: SmallGroup, holder: Holder) -> Duty:
    record = holder.store.records.get_duty(group.owner)
    assert record is not None
    return read_duty(record)


async def test_every_friend_gets_a_duty_that_names_every_pack_and_every_friend(tmp_path, files):
    async with small_group(tmp_path / "group", 4) as group:
        keeps_duties(group)
        assert (await publish_duty(group.member)).friends == 0  # nothing is backed up yet
        await group.backup(files)
        published = await publish_duty(group.member)
        assert (published.told, published.friends) == (4, 4)
        packs = {row.id: b"".join(row.shares) for row in group.member.catalog.packs()}
        for holder in group.holders.values():
            duty = duty_at(group, holder)
            assert {ref.pack: ref.shares for ref in duty.packs} == packs
            assert sorted(duty.deputies) == sorted(group.holders)
            assert (duty.counter, duty.grace_days) == (1, GRACE_DAYS)


async def test_who_was_away_gets_it_the_next_time_and_nobody_gets_it_twice(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        keeps_duties(group)
        await group.backup(files)
        late, *_ = group.holders.values()
        late.online = False
        assert (await publish_duty(group.member)).told == 2
        late.online = True
        before = sum(link.sent_bytes for one in group.holders.values() for link in one.links)
        assert (await publish_duty(group.member)).told == 3
        assert duty_at(group, late).counter == 1
        assert (await publish_duty(group.member)).told == 3
        after = sum(link.sent_bytes for one in group.holders.values() for link in one.links)
        record = late.store.records.get_duty(group.owner)
        assert record is not None
        assert after - before < 2 * len(record) + 1000


async def test_each_night_has_its_duty_and_a_long_one_is_made_anew_seldom(
    tmp_path, files, monkeypatch
):
    async with small_group(tmp_path / "group", 2) as group:
        keeps_duties(group)
        holder = next(iter(group.holders.values()))
        for counter in (1, 2):
            await group.backup(files)
            await publish_duty(group.member)
            assert duty_at(group, holder).counter == counter
        monkeypatch.setattr(publish, "SHORT_BYTES", 0)
        for _ in range(publish.RENEW_LONG_EVERY - 1):
            await group.backup(files)
            await publish_duty(group.member)
            assert duty_at(group, holder).counter == 2
        await group.backup(files)
        await publish_duty(group.member)
        assert duty_at(group, holder).counter == 2 + publish.RENEW_LONG_EVERY


async def test_who_is_leaving_is_no_deputy_and_a_stopped_computer_publishes_none(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        keeps_duties(group)
        await group.backup(files)
        goer, *others = group.holders.values()
        goer.card.leaving = GOING
        group.member.stopped = lambda: "Another computer goes on."
        assert (await publish_duty(group.member)).told == 0
        group.member.stopped = lambda: ""
        await publish_duty(group.member)
        assert sorted(duty_at(group, goer).deputies) == sorted(h.member for h in others)


async def test_where_there_is_no_room_for_all_packs_those_come_first_that_others_need(
    tmp_path, files, monkeypatch
):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        rows = {row.id: row.kind for row in group.member.catalog.packs()}
        everything = len(choose_packs(group.member.catalog))
        assert everything == len(rows)
        one = 32 + 3 * 32 + publish.REF_OVERHEAD_BYTES
        monkeypatch.setattr(publish, "DUTY_BYTES_MAX", publish.FRAME_BYTES + one * (everything - 1))
        chosen = choose_packs(group.member.catalog)
        assert len(chosen) == everything - 1
        left_out = set(rows) - {ref.pack for ref in chosen}
        assert [rows[pack] for pack in left_out] == [PACK_DATA]
