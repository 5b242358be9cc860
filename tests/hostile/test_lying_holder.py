"""Friends who return wrong bytes, and friends who are full or vanish: found out, worked around."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

import pytest

from bench.trees import compare_trees
from chunking.formats import PACK_DATA, SHARE_HEADER_BYTES
from datachannel.errors import Refusal, Unavailable
from datachannel.link import Handler, Stream
from datachannel.messages import (
    Found,
    Get,
    List,
    Listing,
    Put,
    Request,
    RootPut,
    Space,
    SpaceQuery,
)
from datachannel.requests import delete_shares, get_root, get_share, list_shares, put_share
from peer.backup import ship, survey
from peer.backup.ship import PUTS_PER_FRIEND
from peer.catalog import Catalog
from peer.restore import fetch
from peer.service import Problem
from signaling.messages import MemberId
from tests.support.small_group import Holder, small_group


@pytest.fixture
def files(tmp_path) -> Path:
    root = tmp_path / "files"
    root.mkdir()
    for number in range(5):
        (root / f"file {number}").write_bytes(os.urandom(200_000))
    return root


def assert_same(files: Path, target: Path) -> None:
    assert compare_trees(files, Path(f"{target}{files}")).differences == ()


def spoil_files(holder: Holder, how) -> None:
    files = holder.share_files()
    assert files
    for path in files:
        path.write_bytes(how(path.read_bytes()))


def flipped_bit(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def truncated(data: bytes) -> bytes:
    return data[: SHARE_HEADER_BYTES + (len(data) - SHARE_HEADER_BYTES) // 2]


def longer(data: bytes) -> bytes:
    return data + b"more"


def other_header(data: bytes) -> bytes:
    return flipped_bit(data[:SHARE_HEADER_BYTES]) + data[SHARE_HEADER_BYTES:]


@pytest.mark.parametrize("how", [flipped_bit, truncated, longer, other_header])
async def test_wrong_bytes_are_found_out_named_and_worked_around(tmp_path, files, how, caplog):
    caplog.set_level(logging.WARNING)
    async with small_group(tmp_path / "group", 5) as group:
        assert (await group.backup(files))["ok"]
        data = next(iter(group.member.catalog.packs(kind=PACK_DATA)))
        places = group.member.catalog.placements(data.pack)
        for number in range(3):  # the plain slices, which are asked for first, and one more
            spoil_files(group.holders[places[number]], how)
        result = await group.restore(tmp_path / "back")
        assert result["ok"], result
        assert_same(files, tmp_path / "back")
        named = [record.getMessage() for record in caplog.records]
        assert named
        assert all("friend " in text and "wrong share" in text for text in named)


async def test_with_too_few_honest_shares_the_lost_files_are_named_and_the_rest_is_restored(
    tmp_path, files
):
    async with small_group(tmp_path / "group", 5) as group:
        await group.backup(files)
        (files / "new").write_bytes(os.urandom(150_000))
        before = {path for h in group.holders.values() for path in h.share_files()}
        assert (await group.backup())["ok"]
        new_data = max(
            (row for row in group.member.catalog.packs(kind=PACK_DATA)), key=lambda row: row.pack
        )
        names = {name.hex() for name in new_data.shares}
        spoiled = 0
        for holder in group.holders.values():
            for path in holder.share_files():
                if path.name in names and path not in before and spoiled < 4:
                    path.write_bytes(flipped_bit(path.read_bytes()))
                    spoiled += 1
        assert spoiled == 4
        events = []
        result = await group.restore(tmp_path / "back", events)
        assert not result["ok"]
        assert [os.path.basename(item["path"]) for item in result["summary"]["lost"]] == ["new"]
        assert sorted(p.name for p in Path(f"{tmp_path}/back{files}").iterdir()) == [
            f"file {number}" for number in range(5)
        ]


async def test_a_holder_that_answers_with_another_owners_share_is_found_out(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        holder = next(iter(group.holders.values()))
        honest = holder.handler
        strange = b"CVSH" + bytes([1, 1, 0, 0]) + (1000).to_bytes(8, "big") + b"x" * 32 + b"y" * 32

        async def swap(remote: MemberId, request, stream):
            if isinstance(request, Get):
                await stream.send(Found(strange, 1000))
                await stream.send_data(b"z" * 1000)
                await stream.finish()
            else:
                await honest(remote, request, stream)

        holder.handler = swap
        group._sessions.clear()
        assert (await group.restore(tmp_path / "back"))["ok"]
        assert_same(files, tmp_path / "back")


async def test_a_holder_that_lies_about_lengths_or_sends_without_end_is_found_out(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        liars = list(group.holders.values())[:2]

        async def endless(remote: MemberId, request, stream):
            if isinstance(request, Get):
                await stream.send(Found(b"h" * SHARE_HEADER_BYTES, 10))
                while True:
                    await stream.send_data(b"z" * 60_000)
            await stream.reset("internal")

        for liar in liars:
            liar.handler = endless
        group._sessions.clear()
        assert (await group.restore(tmp_path / "back"))["ok"]


async def test_a_holder_that_says_stored_and_keeps_nothing_is_noticed_the_same_night(
    tmp_path, files
):
    async with small_group(tmp_path / "group", 5) as group:
        holder = next(iter(group.holders.values()))
        honest = holder.handler

        async def forgetful(remote: MemberId, request, stream):
            if isinstance(request, List):
                await stream.send(Listing((), False))
                await stream.finish()
            else:
                await honest(remote, request, stream)

        holder.handler = forgetful
        await group.backup(files)
        kept = {
            member
            for row in group.member.catalog.packs()
            for member in group.member.catalog.placements(row.pack).values()
        }
        assert holder.member not in kept


async def test_nobody_reads_lists_or_deletes_what_another_member_keeps(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        holder = next(iter(group.holders.values()))
        name = bytes.fromhex(holder.share_files()[0].name)
        group.owner = MemberId(b"n" * 32)  # a nosy member of the same group, at the same holder
        group._sessions.clear()
        session = await group.session(holder.member)
        with pytest.raises(Refusal) as refusal:
            async with get_share(session, name):
                pass
        assert refusal.value.code == "not_found"
        assert [item async for item in list_shares(session)] == []
        assert await delete_shares(session, [name]) == 0
        assert await get_root(session) is None
        share = holder.share_files()[0].read_bytes()
        header, payload = share[:SHARE_HEADER_BYTES], share[SHARE_HEADER_BYTES:]

        async def read(offset: int, size: int) -> bytes:
            return payload[offset : offset + size]

        with pytest.raises(Refusal) as refusal:
            await put_share(session, name, header, len(payload), read)
        assert refusal.value.code == "bad_share"


async def test_what_a_full_friend_cannot_take_goes_elsewhere(tmp_path, files):
    async with small_group(tmp_path / "group", 4) as group:
        full = group.add_friend(10, limit_bytes=100_000)
        result = await group.backup(files)
        assert result["ok"]
        assert full.store.used_bytes <= 100_000
        assert (await group.restore(tmp_path / "back"))["ok"]


def with_much_room(honest: Handler, lying: asyncio.Event) -> Handler:
    async def boast(remote: MemberId, request: Request, stream: Stream) -> None:
        if isinstance(request, SpaceQuery) and lying.is_set():
            await stream.send(Space(1 << 40, 0, 1 << 40))
            await stream.finish()
        else:
            await honest(remote, request, stream)

    return boast


async def test_when_friends_lie_about_their_room_the_night_fails_and_keeps_what_was_shipped(
    tmp_path, files
):
    async with small_group(tmp_path / "group", 2, limit_bytes=700_000) as group:
        lying = asyncio.Event()
        lying.set()
        for holder in group.holders.values():
            holder.handler = with_much_room(holder.handler, lying)
        result = await group.backup(files)
        lying.clear()
        assert not result["ok"]
        assert "has no more room" in result["next_step"]
        shipped = result["summary"]["shipped_bytes"]
        group.add_friend(5)
        group.add_friend(6)
        again = await group.backup()
        assert again["ok"], again
        assert again["summary"]["packed_bytes"] < 100_000  # no data was packed again
        assert shipped + again["summary"]["shipped_bytes"] < 3_500_000
        assert (await group.restore(tmp_path / "back"))["ok"]
        assert_same(files, tmp_path / "back")


async def test_a_link_cut_in_the_middle_of_shares_goes_on_where_it_was(tmp_path, files):
    (files / "large").write_bytes(os.urandom(4_000_000))
    async with small_group(tmp_path / "group", 1) as group:
        holder = next(iter(group.holders.values()))
        session = await group.session(holder.member)
        assert not session.closed
        holder.links[0].cut_after_bytes = 4_000_000
        result = await group.backup(files)
        assert result["ok"]
        sent = sum(link.sent_bytes for link in holder.links)
        stored = sum(path.stat().st_size for path in holder.share_files())
        assert len(holder.links) == 2
        # What the holder had not read yet is lost with the link: at most one window a stream.
        assert sent < stored + PUTS_PER_FRIEND * (1 << 20) + 100_000 < stored + 4_000_000


async def test_a_friend_without_a_root_record_leaves_the_night_unfinished_but_nothing_lost(
    tmp_path, files
):
    async with small_group(tmp_path / "group", 1) as group:
        holder = next(iter(group.holders.values()))
        honest = holder.handler

        async def no_root(remote: MemberId, request, stream):
            if isinstance(request, RootPut):
                raise Refusal("internal", "no")
            await honest(remote, request, stream)

        holder.handler = no_root
        result = await group.backup(files)
        assert not result["ok"]
        assert "could be told about the new snapshot" in result["message"]
        holder.handler = honest
        group._sessions.clear()
        assert (await group.backup())["ok"]


async def test_a_newer_record_at_a_friend_stops_the_night_before_anything_is_deleted(
    tmp_path, files
):
    async with small_group(tmp_path / "group", 2) as group:
        await group.backup(files)
        await group.backup()
        old = group.member.root_file.read_bytes()
        await group.backup()
        group.member.root_file.write_bytes(old)
        with pytest.raises(Problem, match="newer record"):
            await group.backup()


async def test_a_friend_that_never_answers_a_put_is_given_up_for_tonight(
    tmp_path, files, monkeypatch
):
    monkeypatch.setattr(ship, "STALL_S", 0.3)
    async with small_group(tmp_path / "group", 5) as group:
        holder = next(iter(group.holders.values()))
        honest = holder.handler

        async def hang(remote: MemberId, request, stream):
            if isinstance(request, Put):
                await asyncio.Event().wait()
            await honest(remote, request, stream)

        holder.handler = hang
        result = await group.backup(files)
        assert result["ok"]
        assert result["summary"]["problems"] == {holder.card.name: "does not answer any more"}
        assert result["summary"]["can_vanish"] == 2


async def test_a_friend_that_never_answers_a_get_is_given_up(tmp_path, files, monkeypatch):
    monkeypatch.setattr(fetch, "GIVE_UP_S", 0.3)
    monkeypatch.setattr(fetch, "LIST_TIMEOUT_S", 0.3)
    async with small_group(tmp_path / "group", 1) as group:
        await group.backup(files)
        holder = next(iter(group.holders.values()))

        async def hang(remote: MemberId, request, stream):
            await asyncio.Event().wait()

        holder.handler = hang
        group._sessions.clear()
        with pytest.raises(Problem, match="the snapshot itself cannot be read"):
            await group.restore(tmp_path / "back")


async def test_a_catalog_that_was_lost_is_filled_from_friends_before_a_night_builds_on_it(
    tmp_path, files
):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        packs = {row.id for row in group.member.catalog.packs()}
        group.member.catalog.close()
        for path in group.member.home.glob("catalog.sqlite*"):
            path.unlink()
        group.member.catalog = Catalog(group.member.catalog_path)
        result = await group.backup(files)
        assert result["ok"]
        assert packs <= {row.id for row in group.member.catalog.packs()}
        assert result["summary"]["packed_bytes"] < 100_000  # nothing was packed a second time
        assert len(group.member.catalog.snapshots()) == 2
        assert (await group.restore(tmp_path / "back"))["ok"]


async def test_a_damaged_spool_file_costs_an_unsafe_pack_and_never_a_safe_one(tmp_path, files):
    async with small_group(tmp_path / "group", 5) as group:
        away = list(group.holders.values())[4]
        honest = away.handler

        async def no_puts(remote: MemberId, request, stream):
            if isinstance(request, Put):
                raise Refusal("internal", "no")
            await honest(remote, request, stream)

        away.handler = no_puts
        # Four of five is safe; what the fifth lacks waits in the spool.
        assert (await group.backup(files))["ok"]
        waiting = sorted(group.member.spool.iterdir())
        assert waiting
        for path in waiting:
            path.write_bytes(bytes(path.stat().st_size))
        packs = {row.id for row in group.member.catalog.packs()}
        away.handler = honest
        group._sessions.clear()
        result = await group.backup()
        assert result["ok"], result
        assert packs <= {row.id for row in group.member.catalog.packs()}
        assert (await group.restore(tmp_path / "back"))["ok"]
        assert_same(files, tmp_path / "back")


async def test_a_friend_whose_first_dial_fails_is_not_left_out_of_the_night(
    tmp_path, files, monkeypatch
):
    monkeypatch.setattr(survey, "RETRY_S", 0.01)
    async with small_group(tmp_path / "group", 5) as group:
        dials: list[MemberId] = []
        real = group.session

        async def unlucky(member: MemberId):
            dials.append(member)
            if dials.count(member) == 1:
                raise Unavailable("no path to the other end was found")
            return await real(member)

        monkeypatch.setattr(group, "session", unlucky)
        result = await group.backup(files)
        assert (result["summary"]["needed"], result["summary"]["total"]) == (2, 5)
