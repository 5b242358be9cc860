"""Faults of simulated disks, met by the real store; and a world's name that is always the same."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from chunking.erasure import payload_length_of
from chunking.formats import PackId
from chunking.share import ShareHeader, encode_header, name_of
from netsim.world.disk import Disk, FaultyStore, default_root, steady_name
from peer.holding.store import NoRoom
from signaling.messages import MemberId

OWNER = MemberId(b"o" * 32)
PAYLOAD = bytes(range(256)) * 10
HEADER = encode_header(ShareHeader(OWNER, PackId(b"p" * 32), 1, 0, len(PAYLOAD)))
NAME = name_of(HEADER, PAYLOAD)


def store_on(disk: Disk) -> FaultyStore:
    return FaultyStore(disk, limit_bytes=1 << 20, wall_s=lambda: 1.0, monotonic_s=lambda: 1.0)


def put(store: FaultyStore) -> None:
    assert payload_length_of(len(PAYLOAD), 1) == len(PAYLOAD)
    one = store.begin_put(OWNER, NAME, HEADER, len(PAYLOAD))
    try:
        store.append(one, PAYLOAD)
        store.finish_put(one)
    finally:
        store.abort(one)


def test_a_full_disk_takes_nothing_and_gives_what_it_has(tmp_path: Path):
    disk = Disk(tmp_path / "disk", random.Random(1))
    store = store_on(disk)
    put(store)
    disk.is_full = True
    other = name_of(HEADER, PAYLOAD[::-1])
    with pytest.raises(NoRoom):
        store.begin_put(OWNER, other, HEADER, len(PAYLOAD))
    held = store.open_range(OWNER, NAME, 0, 0)
    assert held is not None
    held.close()


def test_a_put_that_a_broken_disk_has_failed_can_be_done_again(tmp_path: Path):
    disk = Disk(tmp_path / "disk", random.Random(1))
    store = store_on(disk)
    disk.errors = 1.0
    with pytest.raises(OSError, match="Input/output error"):
        put(store)
    disk.errors = 0.0
    put(store)
    assert store.has(OWNER, NAME)


def test_a_lost_disk_is_empty_and_well(tmp_path: Path):
    disk = Disk(tmp_path / "disk", random.Random(1))
    put(store_on(disk))
    disk.is_full = True
    disk.lose()
    assert not disk.is_full
    assert not store_on(disk).has(OWNER, NAME)


def test_the_default_folder_says_where_it_is_and_goes():
    with default_root() as (folder, where):
        assert folder.is_dir()
        assert where
    assert not folder.exists()


def test_a_worlds_folder_has_the_same_name_wherever_it_lies(tmp_path: Path):
    names = []
    for name in ("one", "another"):
        (tmp_path / name).mkdir()
        with steady_name(tmp_path / name) as steady:
            (steady / "file").write_text(name)
            names.append(steady)
        assert (tmp_path / name / "file").read_text() == name
    assert names[0] == names[1]
