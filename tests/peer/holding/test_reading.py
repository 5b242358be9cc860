"""How held shares are read: in ranges with proofs, hashed once, from one file, by their owner."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chunking import merkle
from chunking.formats import BLOCK_BYTES, SHARE_HEADER_BYTES, PackId, ShareName
from chunking.share import Share, make_shares, verify_range
from datachannel.errors import Unavailable
from datachannel.requests import get_share
from peer.holding import reading
from peer.holding.reading import LeafCache
from peer.holding.store import BadShare, ShareStore
from signaling.messages import MemberId
from tests.support.small_group import SmallGroup, small_group

OWNER = MemberId(b"o" * 32)


@pytest.fixture
def store(tmp_path) -> ShareStore:
    return ShareStore(
        tmp_path / "held",
        limit_bytes=1 << 30,
        wall_s=lambda: 1.0,
        monotonic_s=lambda: 1.0,
        free_bytes_min=0,
    )


def a_share(size: int = 5 * BLOCK_BYTES + 100, owner: MemberId = OWNER) -> Share:
    data = bytes(range(251)) * (size // 251 + 1)
    return make_shares(data[:size], PackId(b"p" * 32), owner=owner, needed=1, numbers=[0])[0]


def put(store: ShareStore, share: Share, owner: MemberId = OWNER) -> None:
    ticket = store.begin_put(owner, share.name, share.header, len(share.payload))
    store.append(ticket, share.payload)
    store.finish_put(ticket)


def file_of(store: ShareStore, share: Share) -> Path:
    (path,) = store._layout.root.glob(f"*/shares/*/{share.name.hex()}")
    return path


def count_hashing(monkeypatch) -> list[int]:
    """The sizes of what is hashed from now on, one for each pass over a share."""
    passes: list[int] = []
    real = reading._leaves_of

    def counted(fd: int, length: int) -> list[bytes]:
        passes.append(length)
        return real(fd, length)

    monkeypatch.setattr(reading, "_leaves_of", counted)
    return passes


def is_proved(store: ShareStore, share: Share, first: int, count: int) -> bool:
    held = store.open_range(OWNER, share.name, first, count)
    assert held is not None
    with closing(held):
        data = held.read(0, held.size)
        verify_range(share.name, held.header, first, data, held.proof)
    return data == share.payload[first * BLOCK_BYTES : (first + count) * BLOCK_BYTES]


def test_any_range_comes_with_a_proof_against_the_name(store):
    share = a_share()
    put(store, share)
    for first in range(6):
        for count in range(1, 7 - first):
            assert is_proved(store, share, first, count)


@pytest.mark.parametrize("blocks", [(5, 2), (6, 1), (6, 0), (0, 7), (1000, 1)])
def test_blocks_that_a_share_does_not_have_are_refused(store, blocks):
    share = a_share()
    put(store, share)
    with pytest.raises(BadShare):
        store.open_range(OWNER, share.name, *blocks)


def test_a_thousand_ranges_of_a_share_hash_it_once(store, monkeypatch):
    share = a_share(40 * BLOCK_BYTES)
    put(store, share)
    passes = count_hashing(monkeypatch)
    for number in range(1000):
        assert is_proved(store, share, number % 40, 1)
    assert passes == [len(share.payload)]


def test_ranges_asked_for_at_the_same_time_hash_a_share_once(store, monkeypatch):
    share = a_share(200 * BLOCK_BYTES)
    put(store, share)
    passes = count_hashing(monkeypatch)
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(lambda n: is_proved(store, share, n, 1), range(64)))
    assert len(passes) == 1


def test_a_whole_share_is_not_hashed_to_be_read(store, monkeypatch):
    share = a_share()
    put(store, share)
    passes = count_hashing(monkeypatch)
    with closing(store.open_range(OWNER, share.name, 0, 0)) as held:
        assert held.read(0, held.size) == share.payload
    assert passes == []


def test_hashes_are_forgotten_when_there_are_too_many():
    cache, computed = LeafCache(bytes_max=10 * 32), []

    def leaves_of(number: int) -> list[bytes]:
        def compute() -> list[bytes]:
            computed.append(number)
            return [bytes([number]) * 32] * 4

        return cache.get((OWNER, bytes([number])), compute)

    for number in (1, 2, 1, 3, 1, 2):
        assert leaves_of(number) == [bytes([number]) * 32] * 4
    assert computed == [1, 2, 3, 2]


def test_a_share_that_rots_is_told_and_what_was_remembered_proves_only_what_is_right(store):
    share = a_share()
    put(store, share)
    path = file_of(store, share)
    rotten = bytearray(path.read_bytes())
    rotten[SHARE_HEADER_BYTES + 1] ^= 1
    assert is_proved(store, share, 4, 1)  # remembered now
    path.write_bytes(rotten)
    assert is_proved(store, share, 4, 1)  # these blocks are right still
    store._leaves = LeafCache()
    with pytest.raises(BadShare, match="rotted"):
        store.open_range(OWNER, share.name, 4, 1)
    put(store, share)  # repaired
    assert is_proved(store, share, 0, 1)


def test_a_range_goes_on_being_read_when_its_share_is_deleted(store):
    share = a_share()
    put(store, share)
    held = store.open_range(OWNER, share.name, 1, 2)
    store.delete(OWNER, (share.name,))
    file_in_trash = store._layout.find_trashed(OWNER, share.name)
    file_in_trash.unlink()
    with closing(held):
        assert held.read(0, held.size) == share.payload[BLOCK_BYTES : 3 * BLOCK_BYTES]


def test_a_share_in_the_trash_is_read_from_there(store):
    share = a_share()
    put(store, share)
    store.delete(OWNER, (share.name,))
    assert is_proved(store, share, 2, 1)


def test_nobody_reads_what_another_member_keeps(store):
    share = a_share()
    put(store, share)
    assert is_proved(store, share, 2, 1)
    assert store.open_range(MemberId(b"n" * 32), share.name, 2, 1) is None


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 70 * BLOCK_BYTES), data=st.data())
def test_hashing_in_steps_finds_the_same_leaves(tmp_path_factory, size, data):
    payload = data.draw(st.binary(min_size=1, max_size=50)) * (size // 50 + 1)
    path = tmp_path_factory.mktemp("leaves") / "share"
    path.write_bytes(bytes(SHARE_HEADER_BYTES) + payload)
    with path.open("rb") as file:
        assert reading._leaves_of(file.fileno(), len(payload)) == merkle.leaf_hashes(payload)


async def with_a_share(group: SmallGroup) -> ShareName:
    """One share at the only friend, 30 blocks long."""
    share = a_share(30 * BLOCK_BYTES, group.owner)
    (holder,) = group.holders.values()
    put(holder.store, share, group.owner)
    return share.name


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_no_file_stays_open_after_ranges_refusals_and_links_that_broke(tmp_path):
    before = open_files()
    async with small_group(tmp_path, 1) as group:
        name = await with_a_share(group)
        (holder,) = group.holders.values()
        for cut_after in [None, 100, 100_000, 1_000_000, None]:
            session = await group.session(holder.member)
            far = holder.links[-1].other
            far.cut_after_bytes = None if cut_after is None else far.sent_bytes + cut_after
            try:
                async with get_share(session, name, 2, 20) as (_, body):
                    async for _ in body:
                        pass
            except Unavailable:
                assert cut_after is not None
    assert open_files() == before
