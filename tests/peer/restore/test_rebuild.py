"""A lost computer's catalog from friends: all that it knew, nothing from a damaged index pack."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from chunking.formats import (
    PACK_DATA,
    PACK_INDEX,
    ChunkId,
    FormatError,
    IndexEntry,
    PackEntry,
    PackId,
    PackRef,
)
from chunking.index import encode_index
from chunking.keys import MemberKeys
from chunking.pack import Pack, PackWriter
from chunking.seal import Sealer
from chunking.share import make_shares
from peer.catalog import Catalog
from peer.restore import recover
from peer.restore.messages import share_file
from peer.restore.rebuild import _adopt, _Spec
from peer.restore.recover import fill_catalog
from tests.support.small_group import small_group

KEYS = MemberKeys.from_master(b"k" * 32)


@pytest.fixture
def files(tmp_path) -> Path:
    chance = random.Random(4)
    root = tmp_path / "files"
    for number in range(40):
        (root / f"folder {number}").mkdir(parents=True)
        (root / f"folder {number}" / "file").write_bytes(chance.randbytes(30_000))
    return root


def contents(catalog: Catalog) -> dict[PackId, list[tuple[ChunkId, int, int]]]:
    return {row.id: catalog.chunks_of(row.pack) for row in catalog.packs()}


def places(catalog: Catalog) -> dict[tuple[PackId, int], bytes]:
    ids = {row.pack: row.id for row in catalog.packs()}
    return {(ids[pack], number): member for pack, number, member in catalog.each_placement()}


@pytest.mark.parametrize("together", [recover.PLACES_TOGETHER, 3])
async def test_a_rebuilt_catalog_knows_every_pack_chunk_place_and_snapshot(
    files, tmp_path, monkeypatch, together
):
    monkeypatch.setattr(recover, "PLACES_TOGETHER", together)
    async with small_group(tmp_path, 4) as group:
        assert (await group.backup(files))["ok"]
        (files / "more").write_bytes(b"more" * 9000)
        assert (await group.backup())["ok"]
        record = group.member.read_root()
        old = group.member.catalog
        group.member.catalog_path = tmp_path / "new.sqlite"
        group.member.catalog = Catalog(group.member.catalog_path)
        try:
            await fill_catalog(group.member, record, lambda event: None)
            new = group.member.catalog
            assert contents(new) == contents(old)
            assert places(new) == places(old)
            assert [row.id for row in new.snapshots()] == [row.id for row in old.snapshots()]
            assert (await group.restore(tmp_path / "back"))["ok"]
        finally:
            old.close()


def an_index_pack(good: bool) -> Pack:
    """Two index objects; the second one says nonsense unless it is good."""
    sealer, writer = Sealer(KEYS), PackWriter(8 << 20)
    for number in (1, 2):
        ref = PackRef(PackId(bytes([number]) * 32), 1, 1000, b"s" * 32)
        entry = IndexEntry(ref, PACK_DATA, (PackEntry(ChunkId(bytes([number]) * 32), 0, 100),))
        data = encode_index([entry]) if good or number == 1 else b"this is no index"
        ident = sealer.chunk_id(data)
        writer.add(ident, sealer.seal(ident, data, bytes([number]) * 24))
    return writer.finish(KEYS, b"n" * 24)


def adopt(folder: Path, pack: Pack) -> Catalog:
    (share,) = make_shares(pack.data, pack.id, owner=b"o" * 32, needed=1, numbers=[0])
    (folder / share_file(7, 0)).write_bytes(share.payload)
    catalog = Catalog(folder / "catalog.sqlite")
    try:
        _adopt(catalog, KEYS, _Spec(pack.id, 1, len(pack.data), (share.name,)), folder, 7, [0])
    except FormatError:
        assert contents(catalog) == {}
        raise
    finally:
        rows = [row.kind for row in catalog.packs()]
        catalog.close()
    assert sorted(rows) == sorted([PACK_INDEX, PACK_DATA, PACK_DATA])
    return catalog


def test_an_index_pack_is_recorded_with_all_that_it_lists_and_leaves_no_file(tmp_path):
    adopt(tmp_path, an_index_pack(good=True))
    assert not (tmp_path / share_file(7, 0)).exists()


def test_of_an_index_pack_that_is_damaged_anywhere_nothing_is_recorded(tmp_path):
    with pytest.raises(FormatError):
        adopt(tmp_path, an_index_pack(good=False))


def test_bytes_that_are_another_pack_are_not_believed(tmp_path):
    good, other = an_index_pack(good=True), an_index_pack(good=False)
    with pytest.raises(FormatError):
        adopt(tmp_path, Pack(other.id, good.data, good.entries))
