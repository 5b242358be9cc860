"""The store: what was saved is there after a restart, whenever the process died."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signaling.messages import MEMBERS_MAX, MemberId
from signaling.rooms import Group
from signaling.store import StoreError, TinyDbStore, pieces_of

ROOT = Path(__file__).parents[2]
KEY = b"k" * 32


def a_group(number: int, members: int = 1, card: bytes = b"a card") -> Group:
    name = number.to_bytes(32, "big")
    return Group(name, KEY, {MemberId(index.to_bytes(32, "big")): card for index in range(members)})


def saved(folder: Path, *batches: list[Group]) -> dict[bytes, Group]:
    """What a restarted server reads after these were saved."""
    store = TinyDbStore(folder)
    store.load()
    for batch in batches:
        store.save(batch)
    store.close()
    return loaded(folder)


def loaded(folder: Path) -> dict[bytes, Group]:
    store = TinyDbStore(folder)
    try:
        return store.load()
    finally:
        store.close()


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
    st.sampled_from([bytes([number]) * 32 for number in range(4)]),
    ids,
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


def test_one_folder_is_one_servers(tmp_path: Path):
    store = TinyDbStore(tmp_path)
    with pytest.raises(StoreError, match="another server"):
        TinyDbStore(tmp_path)
    store.close()
    TinyDbStore(tmp_path).close()


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


def test_a_disk_that_refuses_is_an_error_and_the_changes_can_be_saved_later(tmp_path: Path):
    store = TinyDbStore(tmp_path)
    store.load()
    store.save([a_group(1)])
    blocker = tmp_path / "groups.new"
    blocker.mkdir()
    with pytest.raises(StoreError, match="cannot be written"):
        store.save([a_group(2)])
    blocker.rmdir()
    store.save([a_group(3)])
    store.close()
    assert set(loaded(tmp_path)) == {a_group(number).name_id for number in (1, 2, 3)}


def test_a_folder_that_is_none_is_an_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be used"):
        TinyDbStore(tmp_path / "file")


DIES = """
import os, signal, sys
from pathlib import Path
from signaling.rooms import Group
from signaling.store import TinyDbStore

folder, step = Path(sys.argv[1]), int(sys.argv[2])
store = TinyDbStore(folder)
groups = store.load()
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
for name in ("open", "fsync", "replace", "close"):
    setattr(os, name, counted(getattr(os, name)))
for group in groups.values():
    group.members = {member: b"new" for member in group.members}
store.save(list(groups.values()))
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
    store = TinyDbStore(tmp_path)
    store.load()
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
    store.save([a_group(1)])
    store.close()
    assert calls == ["sync True", "rename", "sync folder"]


def test_a_large_database_is_encoded_in_small_pieces_so_that_other_threads_get_turns():
    rows = {str(number): {"name_id": "0" * 64, "members": {}} for number in range(10_000)}
    pieces = list(pieces_of({"groups": rows, "others": {}}))
    assert max(map(len, pieces)) < 200
    assert msgspec.json.decode(b"".join(pieces)) == {"groups": rows, "others": {}}
