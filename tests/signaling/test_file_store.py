"""The store in a file: what was told is there after a restart, whenever the process died."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signaling.config import Limits
from signaling.messages import MEMBERS_MAX, MemberId
from signaling.notices import Entered, Group, Left
from signaling.stores import StoreError
from signaling.stores.file import TinyDbStore, pieces_of
from tests.support.registry import Hearing

ROOT = Path(__file__).parents[2]
KEY = b"k" * 32
NAMES = [number.to_bytes(32, "big") for number in range(4)]


def a_group(number: int, members: int = 1, card: bytes = b"a card") -> Group:
    return Group(
        NAMES[number], KEY, {MemberId(index.to_bytes(32, "big")): card for index in range(members)}
    )


def a_store(folder: Path, limits: Limits = Limits()) -> TinyDbStore:  # noqa: B008 - it is frozen
    return TinyDbStore(folder, limits)


async def tell(store: TinyDbStore, group: Group) -> None:
    """Tell the store of all that makes a group what this one is."""
    known = (await store.find(group.name_id)).group
    for member in known.members if known else ():
        store.tell(Left(group.name_id, member))
    for member, card in group.members.items():
        store.tell(Entered(group.name_id, group.group_key, member, card, "joins", True))


def saved(folder: Path, *batches: list[Group]) -> dict[bytes, Group]:
    """What a restarted server finds after these were saved."""

    async def save() -> None:
        store = a_store(folder)
        await store.open(Hearing())
        for batch in batches:
            for group in batch:
                await tell(store, group)
            await asyncio.sleep(0)
        await store.close()

    asyncio.run(save())
    return loaded(folder)


def loaded(folder: Path) -> dict[bytes, Group]:
    async def find() -> dict[bytes, Group]:
        store = a_store(folder)
        found = [await store.find(name) for name in NAMES]
        assert store.groups == sum(one.group is not None for one in found)
        await store.close()
        return {one.group.name_id: one.group for one in found if one.group is not None}

    return asyncio.run(find())


def test_a_new_store_is_empty_and_private(tmp_path: Path):
    folder = tmp_path / "new" / "folder"
    assert saved(folder) == {}
    saved(folder, [a_group(1)])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


ids = st.binary(min_size=32, max_size=32)
groups = st.builds(
    Group,
    st.sampled_from(NAMES),
    st.just(KEY),
    st.dictionaries(ids.map(MemberId), st.binary(max_size=20), max_size=4),
)


@given(st.lists(st.lists(groups, max_size=4), max_size=6))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_last_state_of_each_group_is_what_is_there(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Group]]
):
    folder = tmp_path_factory.mktemp("store")
    expected: dict[bytes, Group] = {}
    for group in (group for batch in batches for group in batch):
        expected.pop(group.name_id, None)
        if group.members:
            expected[group.name_id] = group
    assert saved(folder, *batches) == expected


def test_a_restarted_store_goes_on_where_the_last_one_was(tmp_path: Path):
    saved(tmp_path, [a_group(1), a_group(2)])
    saved(tmp_path, [Group(a_group(1).name_id, KEY, {})])
    assert saved(tmp_path, [a_group(3), a_group(2, members=2)]) == {
        group.name_id: group for group in (a_group(2, members=2), a_group(3))
    }


def test_the_largest_group_is_kept(tmp_path: Path):
    largest = a_group(1, members=MEMBERS_MAX, card=bytes(4096))
    assert saved(tmp_path, [largest]) == {largest.name_id: largest}


async def test_one_folder_is_one_servers(tmp_path: Path):
    store = a_store(tmp_path)
    with pytest.raises(StoreError, match="another server"):
        a_store(tmp_path)
    await store.close()
    await a_store(tmp_path).close()


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"groups":[]}',
        b'{"groups":{"1":[]}}',
        b'{"groups":{"1":{}}}',
        b'{"groups":{"one":{"name_id":"00"}}}',
        b'{"groups":{"1":{"name_id":"zz","group_key":"00","members":{}}}}',
        b'{"groups":' + b"[" * 100_000,
        b"\xff\xfe\x00",
    ],
)
def test_a_damaged_database_is_named_and_left_alone(tmp_path: Path, damage: bytes):
    database = tmp_path / "groups.json"
    database.write_bytes(damage)
    with pytest.raises(StoreError, match=r"groups\.json is damaged"):
        loaded(tmp_path)
    assert database.read_bytes() == damage


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_any_damage_is_an_error_or_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
):
    folder = tmp_path_factory.mktemp("store")
    saved(folder, [a_group(1, members=2)])
    database = folder / "groups.json"
    text = bytearray(database.read_bytes())
    text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    database.write_bytes(text[: data.draw(st.integers(0, len(text)))])
    try:
        loaded(folder)
    except StoreError:
        return


async def test_groups_and_cards_are_bounded_together(tmp_path: Path):
    store = a_store(tmp_path, Limits(groups_max=2, cards_bytes_max=1000))
    assert (store.takes_groups, store.takes_members) == (True, True)
    await tell(store, a_group(1, card=bytes(500)))
    await tell(store, a_group(2, card=bytes(500)))
    assert (store.takes_groups, store.takes_members) == (False, False)
    await tell(store, Group(NAMES[1], KEY, {}))
    assert (store.takes_groups, store.takes_members) == (True, True)
    await store.close()


async def test_what_never_was_cannot_leave(tmp_path: Path):
    store = a_store(tmp_path)
    store.tell(Left(NAMES[0], MemberId(bytes(32))))
    await tell(store, a_group(1))
    store.tell(Left(NAMES[1], MemberId(b"x" * 32)))
    assert (await store.find(NAMES[1])).group == a_group(1)
    assert store.groups == 1
    await store.close()


def test_a_folder_that_is_none_is_an_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be used"):
        a_store(tmp_path / "file")


DIES = """
import asyncio, os, signal, sys
from pathlib import Path
from signaling.config import Limits
from signaling.notices import Entered
from signaling.stores.file import TinyDbStore
from tests.support.registry import Hearing

folder, step = Path(sys.argv[1]), int(sys.argv[2])
store = TinyDbStore(folder, Limits())
names = [number.to_bytes(32, "big") for number in range(4)]
steps = 0

def counted(function):
    def call(*args, **kwargs):
        global steps
        for when in ("before", "after"):
            if steps == step:
                os.kill(os.getpid(), signal.SIGKILL)
            steps += 1
            if when == "before":
                result = function(*args, **kwargs)
        return result
    return call

class Slow:
    def __init__(self, file): self.file, self.write = file, counted(self.whole)
    def whole(self, data): self.file.write(data); self.file.flush()
    def __getattr__(self, name): return getattr(self.file, name)
    def __enter__(self): return self
    def __exit__(self, *_): self.file.close()

fdopen = os.fdopen
os.fdopen = lambda *args, **kwargs: Slow(fdopen(*args, **kwargs))
for name in ("open", "fsync", "replace"):
    setattr(os, name, counted(getattr(os, name)))

async def change():
    await store.open(Hearing())
    for found in [await store.find(name) for name in names]:
        for member in found.group.members if found.group else ():
            name, key = found.group.name_id, found.group.group_key
            store.tell(Entered(name, key, member, b"new", "joins", True))
    await store.close()

asyncio.run(change())
print(steps)
"""


def die_at(folder: Path, step: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", DIES, str(folder), str(step)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_server_killed_between_any_two_steps_leaves_the_old_database_or_the_new(tmp_path: Path):
    old = [a_group(1, card=b"old"), a_group(2, card=b"old")]
    new = [a_group(1, card=b"new"), a_group(2, card=b"new")]
    by_name = [{group.name_id: group for group in batch} for batch in (old, new)]
    calm = die_at(tmp_path, -1)
    assert calm.returncode == 0, calm.stderr
    saved(tmp_path, old)
    finished = die_at(tmp_path, -1)
    steps = int(finished.stdout)
    assert loaded(tmp_path) == by_name[1]
    assert steps >= 20  # open, several writes, sync, rename, the folder; before and after each
    outcomes = []
    for step in range(steps):
        saved(tmp_path, old)
        assert die_at(tmp_path, step).returncode == -9
        outcomes.append(by_name.index(loaded(tmp_path)))
    assert outcomes == sorted(outcomes)  # old until the rename, new from then on
    assert set(outcomes) == {0, 1}


def test_all_is_synced_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def seen_fsync(fd: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file"
        size = os.fstat(fd).st_size
        calls.append(f"sync {kind}" if kind == "folder" else f"sync {size > 100}")
        fsync(fd)

    def seen_replace(source: Path, target: Path) -> None:
        calls.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "replace", seen_replace)
    saved(tmp_path, [a_group(1)])
    assert calls == ["sync True", "rename", "sync folder"]


def test_a_large_database_is_encoded_in_small_pieces_so_that_other_threads_get_turns():
    rows = {str(number): {"name_id": "0" * 64, "members": {}} for number in range(10_000)}
    pieces = list(pieces_of({"groups": rows, "others": {}}))
    assert max(map(len, pieces)) < 200
    assert msgspec.json.decode(b"".join(pieces)) == {"groups": rows, "others": {}}
