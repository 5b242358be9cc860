"""What was written once is read for ever, and written the same again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import zstandard

from chunking import duty, erasure, index, merkle, pack, root, seal, share, statement, tree
from tests.golden import samples

GOLDEN = Path(__file__).parent.parent / "golden"
NAMES = sorted(samples.binary_files())
ZSTD_THAT_WROTE_THEM = (1, 5, 7)  # another one may compress better, and its frames differ


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.bin").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_todays_code_writes_the_very_same_bytes(name):
    if "zstd" in name and zstandard.ZSTD_VERSION != ZSTD_THAT_WROTE_THEM:
        pytest.skip("another version of zstd")
    assert samples.binary_files()[name] == (GOLDEN / name).read_bytes()


def test_there_is_a_sample_of_every_golden_file_and_no_other():
    assert sorted(path.name for path in GOLDEN.glob("*.bin")) == NAMES


def test_sealed_chunks_still_open():
    sealer = seal.Sealer(samples.KEYS)
    for name, chunk in (("plain", samples.PLAIN_CHUNK), ("zstd", samples.TEXT_CHUNK)):
        assert sealer.open(sealer.chunk_id(chunk), golden(f"sealed_{name}")) == chunk


def test_a_pack_is_still_read():
    data = golden("pack")
    sealer = seal.Sealer(samples.KEYS)
    entries = pack.read_pack_table(samples.KEYS, data)
    chunks = [
        sealer.open(entry.id, data[entry.offset : entry.offset + entry.length]) for entry in entries
    ]
    assert tuple(chunks) == samples.CHUNKS


def test_shares_are_still_read_and_joined():
    data = golden("pack")
    payloads = {}
    for number in (2, 5):
        whole = golden(f"share_{number}")
        header, payload = whole[:80], whole[80:]
        decoded = share.decode_header(header)
        assert decoded == share.ShareHeader(
            samples.OWNER, pack.pack_id_of(data), samples.NEEDED, number, len(data)
        )
        name = share.name_of(header, payload)
        proof = merkle.range_proof(merkle.leaf_hashes(payload), 1, 1)
        share.verify_range(name, header, 1, payload[65_536:], proof)
        payloads[number] = payload
    size = share.payload_length_of(len(data), samples.NEEDED)
    payloads[1] = data[size : 2 * size]
    assert erasure.join(payloads, samples.NEEDED, len(data)) == data


def test_share_names_stay_what_they_are():
    names = [one.name.hex() for one in samples.shares_of(samples.a_pack())]
    assert names == SHARE_NAMES


def test_trees_are_still_read():
    assert tree.decode_directory(golden("directory")) == samples.ENTRIES
    assert tree.decode_snapshot(golden("snapshot")) == samples.SNAPSHOT
    assert tuple(tree.unpack_ids(golden("list"))) == samples.LIST_IDS


def test_the_index_and_the_root_record_are_still_read():
    assert index.decode_index(golden("index")) == index.Index(b"", samples.INDEX_ENTRIES)
    newer = index.decode_index(golden("index_2"))
    assert newer.entries == samples.INDEX_ENTRIES
    assert index.removed_packs(newer) == [samples.an_id(1000), samples.an_id(1001)]
    data = golden("root")
    assert root.read_root_envelope(data) == (samples.KEYS.identity_public_key, 41)
    assert root.open_root(samples.KEYS, data) == samples.ROOT_RECORD


def test_a_duty_is_still_read():
    assert duty.read_duty(golden("duty")) == samples.DUTY


def test_a_usage_statement_is_still_read():
    assert statement.read_statement(golden("statement")) == samples.STATEMENT


def test_keys_stay_what_they_are():
    assert json.loads((GOLDEN / "keys.json").read_text()) == samples.key_vectors()


SHARE_NAMES = [
    "8626e93c6693c776368cd2dd1419b685515a28ec759ac4e31def5fc9fb5ab965",
    "85817f44c7550478f4e37598a8e61fba3f1d3cd2156d2b40ad65935c8d739edd",
    "0688055e1154d5cb4b2e1edaefe87514d526dd4b855facd69d2c314f5e25d1fd",
    "e180103fed9318008882f9a525957c22398bd14a60758b553677a265ddfc42f1",
    "4cafd3f6e298e9f92401051e570b47d4c07ce3b62de276099928069bbdf5ff5e",
    "0bf40e2f08a18f2daea40f444ef1c4629d81e931d2c0204bc402aeb41f8668d6",
]
