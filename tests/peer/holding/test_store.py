"""What a holder keeps: durable, whole, within its limit, one owner apart from the other."""

from __future__ import annotations

import errno
import os
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chunking.formats import SHARE_HEADER_BYTES, PackId
from chunking.keys import MemberKeys
from chunking.root import RootRecord, seal_root
from chunking.share import Share, make_shares
from peer.holding import disk
from peer.holding.store import BadShare, Busy, NoRoom, ShareStore, Stale
from signaling.messages import MemberId, member_id_of

BLOCK = 64 * 1024
ANNA = MemberKeys.from_master(b"a" * 32)
ANNA_ID = member_id_of(ANNA.identity_public_key)
BEN_ID = MemberId(b"b" * 32)


class Clock:
    """Two clocks that a test sets."""

    def __init__(self) -> None:
        self.wall = 1_000_000.0
        self.monotonic = 50.0

    def pass_days(self, days: float) -> None:
        self.wall += days * 86_400
        self.monotonic += days * 86_400


@pytest.fixture
def clock() -> Clock:
    return Clock()


def open_store(root: Path, clock: Clock, limit: int = 10 << 20) -> ShareStore:
    return ShareStore(
        root,
        limit_bytes=limit,
        wall_s=lambda: clock.wall,
        monotonic_s=lambda: clock.monotonic,
        free_bytes_min=0,
    )


def a_share(seed: int = 1, size: int = 150_000, owner: MemberId = ANNA_ID) -> Share:
    data = (seed.to_bytes(4, "big") * (size // 4 + 1))[:size]
    pack = PackId(seed.to_bytes(32, "big"))
    return make_shares(data, pack, owner=owner, needed=1, numbers=[0])[0]


def put(store: ShareStore, share: Share, owner: MemberId = ANNA_ID, *, upto: int | None = None):
    ticket = store.begin_put(owner, share.name, share.header, len(share.payload))
    if ticket.offset < len(share.payload):
        store.append(ticket, share.payload[ticket.offset : upto])
    if upto is None:
        store.finish_put(ticket)
    else:
        store.abort(ticket)
    return ticket


def read(store: ShareStore, share: Share, owner: MemberId = ANNA_ID) -> bytes | None:
    held = store.open_range(owner, share.name, 0, 0)
    if held is None:
        return None
    with closing(held):
        return held.read(0, held.size)


def size_on_disk(root: Path) -> int:
    ours = ("observed.json", "owners.json", "leases.json")
    files = (path for path in root.rglob("*") if path.is_file() and path.name not in ours)
    return sum(path.stat().st_size for path in files)


def test_a_finished_share_is_there_after_reopening(tmp_path, clock):
    share = a_share()
    put(open_store(tmp_path, clock), share)
    again = open_store(tmp_path, clock)
    assert read(again, share) == share.payload
    assert again.used_bytes == size_on_disk(tmp_path) == SHARE_HEADER_BYTES + len(share.payload)


def test_putting_a_share_twice_sends_nothing_the_second_time(tmp_path, clock):
    store, share = open_store(tmp_path, clock), a_share()
    put(store, share)
    used = store.used_bytes
    assert put(store, share).offset == len(share.payload)
    assert store.used_bytes == used


def test_a_broken_put_goes_on_behind_the_last_whole_block(tmp_path, clock):
    share = a_share(size=5 * BLOCK + 17)
    put(open_store(tmp_path, clock), share, upto=3 * BLOCK + 5)
    again = open_store(tmp_path, clock)
    ticket = again.begin_put(ANNA_ID, share.name, share.header, len(share.payload))
    assert ticket.offset == 3 * BLOCK
    again.append(ticket, share.payload[3 * BLOCK :])
    again.finish_put(ticket)
    assert read(again, share) == share.payload
    assert again.used_bytes == size_on_disk(tmp_path)


def test_bytes_that_do_not_have_the_name_are_refused_and_leave_nothing(tmp_path, clock):
    store, share = open_store(tmp_path, clock), a_share()
    ticket = store.begin_put(ANNA_ID, share.name, share.header, len(share.payload))
    store.append(ticket, bytes(len(share.payload)))
    with pytest.raises(BadShare):
        store.finish_put(ticket)
    assert read(store, share) is None
    assert store.used_bytes == size_on_disk(tmp_path) == 0


def test_more_bytes_than_announced_are_refused(tmp_path, clock):
    store, share = open_store(tmp_path, clock), a_share()
    ticket = store.begin_put(ANNA_ID, share.name, share.header, len(share.payload))
    with pytest.raises(BadShare):
        store.append(ticket, share.payload + b"!")
    store.abort(ticket)


def test_a_header_that_names_another_owner_is_refused(tmp_path, clock):
    store, share = open_store(tmp_path, clock), a_share(owner=BEN_ID)
    with pytest.raises(BadShare, match="another owner"):
        store.begin_put(ANNA_ID, share.name, share.header, len(share.payload))


def test_another_owner_sees_and_deletes_nothing(tmp_path, clock):
    store, share = open_store(tmp_path, clock), a_share()
    put(store, share)
    assert read(store, share, BEN_ID) is None
    assert store.list_after(BEN_ID, b"", 10) == ([], False)
    assert store.delete(BEN_ID, (share.name,)) == 0
    assert store.get_root(BEN_ID) is None
    assert read(store, share) == share.payload


def test_the_same_share_is_put_by_one_at_a_time(tmp_path, clock):
    store, share = open_store(tmp_path, clock), a_share()
    ticket = store.begin_put(ANNA_ID, share.name, share.header, len(share.payload))
    with pytest.raises(Busy):
        store.begin_put(ANNA_ID, share.name, share.header, len(share.payload))
    store.abort(ticket)
    put(store, share)


def test_the_limit_is_never_exceeded_not_even_by_what_is_only_announced(tmp_path, clock):
    share, other = a_share(1), a_share(2)
    limit = 2 * (SHARE_HEADER_BYTES + len(share.payload)) - 1
    store = open_store(tmp_path, clock, limit)
    ticket = store.begin_put(ANNA_ID, share.name, share.header, len(share.payload))
    with pytest.raises(NoRoom):
        store.begin_put(ANNA_ID, other.name, other.header, len(other.payload))
    assert store.used_bytes <= limit
    store.abort(ticket)
    put(store, other)
    assert store.used_bytes <= limit


def test_a_limit_that_was_lowered_refuses_more_and_keeps_what_is_there(tmp_path, clock):
    store, share = open_store(tmp_path, clock), a_share()
    put(store, share)
    store.limit_bytes = 1000
    assert store.free_bytes() == 0
    with pytest.raises(NoRoom):
        put(store, a_share(2))
    assert read(store, share) == share.payload


def test_a_full_disk_is_told_as_no_room_and_what_is_there_stays(tmp_path, clock, monkeypatch):
    store, share = open_store(tmp_path, clock), a_share()
    put(store, share)

    def full(fd: int, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    other = a_share(2)
    ticket = store.begin_put(ANNA_ID, other.name, other.header, len(other.payload))
    monkeypatch.setattr(disk, "write_all", full)
    with pytest.raises(NoRoom):
        store.append(ticket, other.payload)
    store.abort(ticket)
    assert read(store, share) == share.payload
    assert store.used_bytes == size_on_disk(tmp_path)


def test_a_crash_before_the_rename_leaves_a_beginning_that_can_go_on(tmp_path, clock, monkeypatch):
    store, share = open_store(tmp_path, clock), a_share(size=3 * BLOCK)
    ticket = store.begin_put(ANNA_ID, share.name, share.header, len(share.payload))
    store.append(ticket, share.payload)
    os.close(ticket.fd)  # the process is gone
    again = open_store(tmp_path, clock)
    assert read(again, share) is None
    assert put(again, share).offset == len(share.payload)
    assert read(again, share) == share.payload


def test_a_share_is_synced_before_and_its_folder_after_the_rename(tmp_path, clock, monkeypatch):
    steps: list[str] = []
    real_fsync, real_rename = os.fsync, os.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (steps.append("fsync"), real_fsync(fd))[1])
    monkeypatch.setattr(os, "rename", lambda a, b: (steps.append("rename"), real_rename(a, b))[1])
    store, share = open_store(tmp_path, clock), a_share()
    ticket = store.begin_put(ANNA_ID, share.name, share.header, len(share.payload))
    store.append(ticket, share.payload)
    steps.clear()
    store.finish_put(ticket)
    assert steps[0] == "fsync"
    assert steps[steps.index("rename") + 1] == "fsync"


def test_deleted_shares_are_kept_for_fourteen_observed_days(tmp_path, clock):
    store, share = open_store(tmp_path, clock), a_share()
    put(store, share)
    assert store.delete(ANNA_ID, (share.name, b"x" * 32)) == 1
    assert store.list_after(ANNA_ID, b"", 10) == ([], False)
    clock.pass_days(13)
    store.expire()
    assert read(store, share) == share.payload
    clock.pass_days(1)
    store.expire()
    assert read(store, share) is None
    assert store.used_bytes == size_on_disk(tmp_path) == 0


def test_a_clock_that_jumps_a_year_deletes_nothing(tmp_path, clock):
    share = a_share()
    store = open_store(tmp_path, clock)
    put(store, share)
    store.delete(ANNA_ID, (share.name,))
    clock.wall += 366 * 86_400
    store.expire()
    again = open_store(tmp_path, clock)
    assert read(again, share) == share.payload


def test_the_trash_goes_when_room_is_needed(tmp_path, clock):
    share, other = a_share(1), a_share(2)
    store = open_store(tmp_path, clock, SHARE_HEADER_BYTES + len(share.payload) + 100)
    put(store, share)
    store.delete(ANNA_ID, (share.name,))
    assert store.free_bytes() >= len(other.payload)
    put(store, other)
    assert read(store, share) is None
    assert store.used_bytes == size_on_disk(tmp_path)


def test_a_deleted_share_that_is_put_again_comes_back_without_being_sent(tmp_path, clock):
    store, share = open_store(tmp_path, clock), a_share()
    put(store, share)
    store.delete(ANNA_ID, (share.name,))
    assert put(store, share).offset == len(share.payload)
    assert store.list_after(ANNA_ID, b"", 10)[0] == [(share.name, len(share.payload))]


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize("how", [lambda d: d[:-1] + b"?", lambda d: d[:100], lambda d: d + b"x"])
def test_a_share_that_rotted_here_is_never_said_to_be_stored(tmp_path, clock, deleted, how):
    share = a_share()
    store = open_store(tmp_path, clock)
    put(store, share)
    (path,) = tmp_path.glob("*/shares/*/*")
    path.write_bytes(how(path.read_bytes()))
    store = open_store(tmp_path, clock)
    if deleted:
        assert store.delete(ANNA_ID, (share.name,)) == 1
    put(store, share)
    assert read(store, share) == share.payload
    assert store.used_bytes == size_on_disk(tmp_path)
    assert put(store, share).offset == len(share.payload)  # now there is nothing to send


def test_beginnings_that_nobody_goes_on_with_expire(tmp_path, clock):
    store, share = open_store(tmp_path, clock), a_share(size=3 * BLOCK)
    put(store, share, upto=2 * BLOCK)
    clock.pass_days(8)
    store.expire()
    assert store.used_bytes == size_on_disk(tmp_path) == 0


def test_listings_come_in_pages_in_order(tmp_path, clock):
    store = open_store(tmp_path, clock)
    shares = [a_share(n, 100) for n in range(1, 40)]
    for share in shares:
        put(store, share)
    names, after, more = [], b"", True
    while more:
        page, more = store.list_after(ANNA_ID, after, 7)
        names += [name for name, _ in page]
        after = names[-1]
    assert names == sorted(share.name for share in shares)


def test_a_root_record_is_replaced_only_by_a_newer_one_of_its_owner(tmp_path, clock):
    store = open_store(tmp_path, clock)
    first, second = (seal_root(ANNA, RootRecord(n, 5), bytes([n]) * 24) for n in (1, 2))
    store.put_root(ANNA_ID, first)
    store.put_root(ANNA_ID, second)
    store.put_root(ANNA_ID, second)
    with pytest.raises(Stale):
        store.put_root(ANNA_ID, first)
    with pytest.raises(BadShare):
        store.put_root(BEN_ID, second)
    with pytest.raises(BadShare):
        store.put_root(ANNA_ID, second[:-1] + bytes([second[-1] ^ 1]))
    assert store.get_root(ANNA_ID) == second
    assert open_store(tmp_path, clock).used_bytes == store.used_bytes == size_on_disk(tmp_path)


class StoreMachine(RuleBasedStateMachine):
    """The store against a dictionary, with reopening at any time."""

    LIMIT = 1_500_000

    @initialize()
    def begin(self) -> None:
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.store = open_store(Path(self.folder.name), self.clock, self.LIMIT)
        self.live: dict[bytes, Share] = {}

    @rule(seed=st.integers(1, 6), size=st.integers(1, 400_000))
    def put(self, seed: int, size: int) -> None:
        share = a_share(seed, size)
        try:
            put(self.store, share)
        except NoRoom:
            return
        self.live[share.name] = share

    @rule(seed=st.integers(1, 6), size=st.integers(70_000, 400_000), part=st.floats(0, 1))
    def begin_only(self, seed: int, size: int, part: float) -> None:
        share = a_share(seed, size)
        if share.name not in self.live:
            try:
                put(self.store, share, upto=int(size * part))
            except NoRoom:
                return
            if self.store.list_after(ANNA_ID, b"", 1000)[0].count((share.name, size)):
                self.live[share.name] = share  # it came back from the trash

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.live)))
        assert self.store.delete(ANNA_ID, (name,)) == 1
        del self.live[name]

    @rule(days=st.integers(0, 20))
    def wait(self, days: int) -> None:
        self.clock.pass_days(days)
        self.store.expire()

    @rule()
    def reopen(self) -> None:
        self.store = open_store(Path(self.folder.name), self.clock, self.LIMIT)

    @invariant()
    def holds_what_it_acknowledged_within_the_limit(self) -> None:
        if not hasattr(self, "store"):
            return
        page, _ = self.store.list_after(ANNA_ID, b"", 1000)
        assert dict(page) == {name: len(share.payload) for name, share in self.live.items()}
        for share in self.live.values():
            assert read(self.store, share) == share.payload
        assert self.store.used_bytes == size_on_disk(Path(self.folder.name)) <= self.LIMIT

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()


StoreMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestStoreAgainstADictionary = StoreMachine.TestCase
