"""`covey check` over friends with real stores: honest, away, lying, and with rotten disks."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from bench.trees import compare_trees
from chunking.formats import (
    NONCE_BYTES,
    PACK_DATA,
    PACK_INDEX,
    PACK_META,
    SHARE_HEADER_BYTES,
    ChunkId,
    PackId,
)
from chunking.pack import Pack, PackWriter
from chunking.seal import Sealer
from chunking.share import ShareHeader, encode_header, make_shares, name_of
from datachannel.messages import Found, Get, List, Listing
from peer.catalog import NewPack, PackRow
from peer.service import Event
from peer.upkeep import audit
from peer.upkeep.absence import DAY_S, note_absences
from peer.upkeep.check import Check
from peer.upkeep.presence import SAMPLE_S
from peer.upkeep.repair import repair
from signaling.messages import MemberId
from tests.support.small_group import Holder, SmallGroup, small_group


@pytest.fixture
def files(tmp_path) -> Path:
    root = tmp_path / "files"
    root.mkdir()
    chance = random.Random(1)
    for number in range(4):
        (root / f"file {number}").write_bytes(chance.randbytes(150_000))
    return root


async def check(group: SmallGroup, percent: float = 0, seed: int = 1) -> Event:
    return await Check(
        group.member, lambda event: None, wall_text=str, seed=seed, percent=percent
    ).run()


def pack_of(group: SmallGroup, kind: int = PACK_DATA) -> PackRow:
    return next(iter(group.member.catalog.packs(kind=kind)))


def share_file(group: SmallGroup, row: PackRow, number: int) -> tuple[Holder, Path]:
    """Who has this share, and where."""
    name = row.shares[number].hex()
    for holder in group.holders.values():
        for path in holder.share_files():
            if path.name == name:
                return holder, path
    raise AssertionError("nobody has that share")


def rot(path: Path, at: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def reconnect(group: SmallGroup) -> None:
    group._sessions.clear()


# --- when all is well ---------------------------------------------------------------------------


async def test_a_healthy_backup_is_told_in_one_sentence(tmp_path, files):
    async with small_group(tmp_path / "group", 5) as group:
        await group.backup(files)
        result = await check(group)
        assert result["ok"], result
        assert result["message"] == (
            "All 3 parts of your backup can be rebuilt; any 3 friends can vanish."
        )
        assert result["next_step"] == ""
        assert result["summary"]["audited_shares"] == 5 * 3  # every friend has one of each pack
        assert len(result["summary"]["root_record"]["newest"]) == 5


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_shares_are_drawn_all_data_opens(tmp_path, files, seed):
    async with small_group(tmp_path / "group", 5) as group:
        await group.backup(files)
        result = await check(group, 100, seed)
        assert result["ok"], result
        chunks = sum(
            len(group.member.catalog.chunks_of(n.pack)) for n in group.member.catalog.packs()
        )
        assert result["summary"]["read"]["chunks_opened"] == chunks
        assert "All of it was fetched and opened" in result["message"]


async def test_other_seeds_rebuild_packs_from_other_shares(tmp_path, files):
    async with small_group(tmp_path / "group", 5) as group:
        await group.backup(files)
        row = pack_of(group)
        drawn: set[frozenset[MemberId]] = set()
        asked: list[MemberId] = []
        for holder in group.holders.values():
            honest = holder.handler

            async def watch(remote, request, stream, holder=holder, honest=honest):
                if (
                    isinstance(request, Get)
                    and request.name in row.shares
                    and not (request.block_count)
                ):
                    asked.append(holder.member)
                await honest(remote, request, stream)

            holder.handler = watch
        reconnect(group)
        for seed in range(12):
            asked.clear()
            assert (await check(group, 100, seed))["ok"]
            drawn.add(frozenset(asked))
            assert len(asked) == row.needed
        assert len(drawn) > 4


async def test_with_percent_only_a_part_is_read(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        result = await check(group, 34)
        assert result["ok"]
        assert result["summary"]["read"]["packs_tried"] == 1
        assert "1 of 1 part that" in result["message"]


async def test_without_a_backup_the_next_step_is_to_make_one(tmp_path):
    async with small_group(tmp_path / "group", 2) as group:
        result = await check(group)
        assert not result["ok"]
        assert (result["message"], result["next_step"]) == (
            "Nothing is backed up yet.",
            "covey backup",
        )


# --- who is there -------------------------------------------------------------------------------


async def test_a_friend_who_is_away_is_named_and_does_not_count(tmp_path, files):
    async with small_group(tmp_path / "group", 5) as group:
        await group.backup(files)
        away = group.holders[MemberId(b"\x02" * 32)]
        away.online = False
        result = await check(group, 100)
        assert result["ok"]
        assert result["summary"]["can_vanish"] == 2
        assert "friend 1 is not online." in result["message"]
        assert len(group.member.catalog.placements(pack_of(group).pack)) == 5  # it will be back


async def test_too_few_friends_is_no_loss_for_good(tmp_path, files):
    async with small_group(tmp_path / "group", 5) as group:
        await group.backup(files)
        for holder in list(group.holders.values())[:4]:
            holder.online = False
        packs = len(list(group.member.catalog.packs()))
        result = await check(group)
        assert not result["ok"]
        assert "3 parts of 3 cannot be rebuilt from the 1 friend who answered" in result["message"]
        assert "Check again when friend 0, friend 1, friend 2 and 1 more" in result["next_step"]
        assert result["summary"]["given_up_packs"] == 0
        assert len(list(group.member.catalog.packs())) == packs
        for holder in group.holders.values():
            holder.online = True
        assert (await check(group))["ok"]


async def test_a_friend_who_lists_shares_and_sends_none_did_not_answer(
    tmp_path, files, monkeypatch
):
    monkeypatch.setattr(audit, "GIVE_UP_S", 0.3)
    async with small_group(tmp_path / "group", 5) as group:
        await group.backup(files)
        stuck = next(iter(group.holders.values()))
        honest = stuck.handler

        async def hang(remote: MemberId, request, stream):
            if isinstance(request, Get):
                await asyncio.Event().wait()
            await honest(remote, request, stream)

        stuck.handler = hang
        reconnect(group)
        result = await check(group, 100)
        assert result["ok"]
        assert "friend 0 did not answer." in result["message"]
        assert result["summary"]["can_vanish"] == 2
        assert len(group.member.catalog.placements(pack_of(group).pack)) == 5


async def test_a_friend_with_an_older_root_record_is_named(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        late = next(iter(group.holders.values()))
        late.online = False
        await group.backup()
        late.online = True
        result = await check(group)
        assert result["ok"]
        assert "friend 0 has not got the newest record yet." in result["message"]
        assert result["next_step"].endswith("covey backup")
        assert result["summary"]["root_record"]["older"] == ["friend 0"]


async def test_a_newer_record_at_a_friend_is_not_well(tmp_path, files):
    async with small_group(tmp_path / "group", 2) as group:
        await group.backup(files)
        old = group.member.root_file.read_bytes()
        await group.backup()
        group.member.root_file.write_bytes(old)
        result = await check(group)
        assert not result["ok"]
        assert "newer record" in result["message"]


# --- lies and rot -------------------------------------------------------------------------------


async def test_a_rotten_share_is_found_taken_off_and_deleted(tmp_path, files):
    async with small_group(tmp_path / "group", 5) as group:
        await group.backup(files)
        row = pack_of(group)
        holder, path = share_file(group, row, 1)
        rot(path, SHARE_HEADER_BYTES + 5)  # whichever block is asked for, the proof shows it
        result = await check(group)
        assert result["ok"]  # four others are more than enough
        assert result["summary"]["wrong_shares"] == {holder.card.name: 1}
        assert f"{holder.card.name} lists 1 share and returned something else" in result["message"]
        assert result["summary"]["can_vanish"] == 2
        assert 1 not in group.member.catalog.placements(row.pack)
        assert not path.exists()
        again = await check(group)
        assert (again["ok"], again["summary"]["wrong_shares"]) == (True, {})


@pytest.mark.parametrize(
    "how", [lambda d: d[:-70_000], lambda d: d + b"more", lambda d: b"x" + d[1:]]
)
async def test_shares_of_another_length_or_header_are_wrong(tmp_path, files, how):
    async with small_group(tmp_path / "group", 5) as group:
        await group.backup(files)
        holder, path = share_file(group, pack_of(group), 0)
        path.write_bytes(how(path.read_bytes()))
        result = await check(group)
        assert result["summary"]["wrong_shares"] == {holder.card.name: 1}


async def test_a_liar_that_lists_everything_and_has_nothing_is_found_out(tmp_path, files):
    async with small_group(tmp_path / "group", 5) as group:
        await group.backup(files)
        liar = next(iter(group.holders.values()))
        honest = liar.handler

        async def lie(remote: MemberId, request, stream):
            if isinstance(request, Get):
                await stream.send(Found(b"CVSH" + bytes(76), 1000))
                await stream.send_data(b"z" * 1000)
                await stream.finish()
            else:
                await honest(remote, request, stream)

        liar.handler = lie
        reconnect(group)
        result = await check(group, 100)
        assert result["ok"]
        assert result["summary"]["wrong_shares"] == {"friend 0": 3}
        assert all(
            liar.member not in group.member.catalog.placements(row.pack).values()
            for row in group.member.catalog.packs()
        )


async def test_a_share_that_is_gone_is_no_longer_placed(tmp_path, files):
    async with small_group(tmp_path / "group", 5) as group:
        await group.backup(files)
        row = pack_of(group)
        _, path = share_file(group, row, 2)
        path.unlink()
        result = await check(group)
        assert result["ok"]
        assert result["summary"]["thin_packs"] == 1
        assert 2 not in group.member.catalog.placements(row.pack)


# --- loss ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [PACK_DATA, PACK_META, PACK_INDEX])
async def test_what_a_lost_pack_had_is_sent_again_by_the_next_night(tmp_path, files, kind):
    async with small_group(tmp_path / "group", 5) as group:
        await group.backup(files)
        row = pack_of(group, kind)
        for number in range(1, 5):
            share_file(group, row, number)[1].unlink()
        result = await check(group)
        assert not result["ok"]
        assert "1 part of 3 is lost for good" in result["message"]
        assert result["next_step"].endswith("covey backup")
        assert (await group.backup())["ok"]
        assert (await check(group, 100))["ok"]
        assert (await group.restore(tmp_path / "back"))["ok"]
        assert compare_trees(files, Path(f"{tmp_path}/back{files}")).differences == ()


async def test_what_only_an_older_snapshot_had_is_told_as_lost(tmp_path, files):
    async with small_group(tmp_path / "group", 5) as group:
        await group.backup(files)
        (files / "file 0").unlink()
        (files / "file 1").unlink()
        await group.backup()
        for number in range(1, 5):
            share_file(group, pack_of(group), number)[1].unlink()
        lost = await check(group)
        assert (lost["ok"], lost["summary"]["given_up_packs"]) == (False, 1)
        again = await check(group)
        assert not again["ok"]
        assert again["message"].endswith(
            "The newest snapshot lacks 2 pieces. Older snapshots lack 2 pieces that got lost."
        )
        assert (await group.backup())["ok"]
        after = await check(group, 100)
        assert after["ok"], after
        assert after["summary"]["missing_chunks"] == {"newest": 0, "older": 2}
        assert (await group.restore(tmp_path / "back"))["ok"]
        assert compare_trees(files, Path(f"{tmp_path}/back{files}")).differences == ()


@pytest.mark.parametrize("somebody_is_away", [False, True])
async def test_a_pack_that_no_set_of_its_shares_makes_is_given_up_when_all_were_asked(
    tmp_path, files, somebody_is_away
):
    async with small_group(tmp_path / "group", 5) as group:
        await group.backup(files)
        row = add_pack(group, Pack(PackId(b"p" * 32), random.Random(2).randbytes(4096), ()))
        if somebody_is_away:
            for holder in list(group.holders.values())[:2]:
                holder.online = False
        result = await check(group, 100)
        assert not result["ok"]
        assert result["summary"]["read"]["damaged_packs"] == 1
        assert result["summary"]["wrong_shares"] == {}
        assert result["summary"]["given_up_packs"] == (not somebody_is_away)
        packs = [known.pack for known in group.member.catalog.packs()]
        assert (row in packs) == somebody_is_away


async def test_a_pack_is_not_given_up_while_a_friend_is_away_who_may_have_enough(tmp_path, files):
    async with small_group(tmp_path / "group", 5) as group:
        await group.backup(files)
        row = pack_of(group)
        for number in (2, 3, 4):
            share_file(group, row, number)[1].unlink()
        away, _ = share_file(group, row, 1)
        away.online = False
        # Even if the catalog knows nothing of what the friend has, as after a rebuild.
        group.member.catalog.forget_placements([(row.pack, 1)])
        result = await check(group)
        assert not result["ok"]
        assert (result["summary"]["lost_packs"], result["summary"]["given_up_packs"]) == (1, 0)
        assert f"Check again when {away.card.name}" in result["next_step"]
        away.online = True
        assert (await check(group))["ok"]


async def test_who_is_away_for_good_does_not_keep_what_is_lost_from_being_sent_again(
    tmp_path, files
):
    async with small_group(tmp_path / "group", 2) as group:
        await group.backup(files)
        group.add_friend(7)
        *away, here = group.holders.values()
        for holder in away:
            holder.online = False
            for link in holder.links:
                link.cut()
        catalog, now_s = group.member.catalog, 1_750_000_000.0

        def pass_days(days: int) -> None:
            nonlocal now_s
            for look in range(26 + 2 * days):
                now_s += SAMPLE_S if look < 26 else DAY_S / 2
                note_absences(catalog, now_s, [here.member], list(group.holders))

        pass_days(4)
        packs = len(list(catalog.packs()))
        assert (await repair(group.member, lambda event: None)).given_up == 2 * packs
        assert (await check(group))["summary"]["given_up_packs"] == 0
        pass_days(90)
        assert (await check(group))["summary"]["given_up_packs"] == packs
        assert (await group.backup())["ok"]
        assert (await group.restore(tmp_path / "back"))["ok"]


async def test_friends_who_lack_most_of_what_they_had_may_have_a_disk_that_is_not_mounted(
    tmp_path, files
):
    async with small_group(tmp_path / "group", 5) as group:
        await group.backup(files)
        bare = list(group.holders.values())[:4]
        honest = {holder.member: holder.handler for holder in bare}

        async def nothing_there(remote: MemberId, request, stream):
            assert isinstance(request, List)
            await stream.send(Listing((), False))
            await stream.finish()

        for holder in bare:
            holder.handler = nothing_there
        reconnect(group)
        result = await check(group)
        assert not result["ok"]
        assert result["summary"]["given_up_packs"] == 0
        assert "lack most of what you gave them" in result["message"]
        for holder in bare:
            holder.handler = honest[holder.member]
        reconnect(group)
        assert (await check(group))["ok"]


async def test_a_pack_that_still_lies_in_the_spool_is_not_given_up(tmp_path, files):
    async with small_group(tmp_path / "group", 5) as group:
        await group.backup(files)
        row = pack_of(group)
        for number in range(5):
            share_file(group, row, number)[1].unlink()
        (group.member.spool / row.id.hex()).write_bytes(b"all shares")
        result = await check(group)
        assert (result["summary"]["lost_packs"], result["summary"]["given_up_packs"]) == (1, 0)


async def test_a_pack_with_a_chunk_that_does_not_open_is_told_and_never_given_up(tmp_path, files):
    """It may be a newer Covey's; and the rest of the pack is sound."""
    async with small_group(tmp_path / "group", 5) as group:
        await group.backup(files)
        writer = PackWriter(1 << 20)
        sealer = Sealer(group.keys)
        good = sealer.chunk_id(b"good")
        writer.add(good, sealer.seal(good, b"good", group.random_bytes(NONCE_BYTES)))
        writer.add(ChunkId(b"c" * 32), b"\x09" + bytes(99))  # no algorithm that is known today
        pack = writer.finish(group.keys, group.random_bytes(NONCE_BYTES))
        row = add_pack(group, pack)
        result = await check(group, 100)
        assert not result["ok"]
        read = result["summary"]["read"]
        assert (read["damaged_packs"], read["packs_opened"]) == (1, 3)
        assert "1 is damaged" in result["message"]
        assert result["summary"]["given_up_packs"] == 0
        assert group.member.catalog.pack(row).id == pack.id


def add_pack(group: SmallGroup, pack: Pack) -> int:
    """Have every friend hold a share of a pack that any two rebuild; its number."""
    shares = make_shares(pack.data, pack.id, owner=group.owner, needed=2, numbers=range(5))
    chunks = tuple((entry.id, entry.offset, entry.length) for entry in pack.entries)
    names = tuple(share.name for share in shares)
    new = NewPack(pack.id, PACK_DATA, 2, len(pack.data), names, chunks)
    row = group.member.catalog.record_pack(new).pack
    for holder, share in zip(group.holders.values(), shares, strict=True):
        put = holder.store.begin_put(group.owner, share.name, share.header, len(share.payload))
        holder.store.append(put, share.payload)
        holder.store.finish_put(put)
    placed = [(row, number, member) for number, member in enumerate(group.holders)]
    group.member.catalog.record_placements(placed, {row})
    return row


async def test_shares_that_were_made_wrong_are_told_from_those_that_were_not(tmp_path, files):
    """A bad memory cell when a share was made: it has its name, and is no part of the pack."""
    async with small_group(tmp_path / "group", 5) as group:
        await group.backup(files)
        row = pack_of(group)
        holder, path = share_file(group, row, 1)
        payload = bytearray(path.read_bytes()[SHARE_HEADER_BYTES:])
        payload[1000] ^= 4
        header = encode_header(ShareHeader(group.owner, row.id, row.needed, 1, row.length))
        name = name_of(header, bytes(payload))
        path.unlink()
        path.parent.parent.joinpath(name.hex()[:2]).mkdir(exist_ok=True)
        (path.parent.parent / name.hex()[:2] / name.hex()).write_bytes(header + payload)
        shares = list(row.shares)
        shares[1] = name
        group.member.catalog._db.execute(
            "UPDATE packs SET shares=? WHERE pack=?", (b"".join(shares), row.pack)
        )
        wrong = {}
        for seed in range(8):
            result = await check(group, 100, seed)
            assert result["summary"]["read"]["packs_opened"] == 3
            wrong |= result["summary"]["wrong_shares"]
        assert wrong == {holder.card.name: 1}
        assert 1 not in group.member.catalog.placements(row.pack)


# --- the catalog --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lie",
    [
        "UPDATE packs SET length=length+64 WHERE kind=1",
        "UPDATE packs SET needed=needed-1 WHERE kind=1",
        "UPDATE packs SET needed=99 WHERE kind=1",
    ],
)
async def test_a_catalog_that_lies_makes_no_friend_a_liar(tmp_path, files, lie):
    async with small_group(tmp_path / "group", 5) as group:
        await group.backup(files)
        kinds = {row.kind for row in group.member.catalog.packs()}
        assert PACK_DATA in kinds
        group.member.catalog._db.execute(lie.replace("kind=1", f"kind={PACK_DATA}"))
        before = [len(holder.share_files()) for holder in group.holders.values()]
        result = await check(group, 100)
        assert not result["ok"]
        assert "list of backups is damaged" in result["message"]
        assert result["next_step"].endswith("covey check --rebuild")
        assert result["summary"]["wrong_shares"] == {}
        assert [len(holder.share_files()) for holder in group.holders.values()] == before


async def test_an_index_pack_that_the_root_record_names_must_be_in_the_catalog(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        group.member.catalog._db.execute(f"DELETE FROM packs WHERE kind={PACK_INDEX}")
        result = await check(group)
        assert not result["ok"]
        assert "1 of 1 index packs are not in it" in result["message"]


async def test_a_damaged_file_is_told(tmp_path, files):
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(files)
        catalog = group.member.catalog
        catalog._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        data = bytearray(group.member.catalog_path.read_bytes())
        for page in range(3, len(data) // 4096):
            data[page * 4096 : page * 4096 + 64] = os.urandom(64)
        group.member.catalog_path.write_bytes(data)
        result = await check(group)
        assert not result["ok"]
        assert result["next_step"].endswith("covey check --rebuild")
