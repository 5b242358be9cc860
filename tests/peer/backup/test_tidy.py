"""What goes and what stays: retention, the sweep, copies, and nights on which nothing may go."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec
import pytest

from bench.trees import compare_trees
from chunking.formats import PACK_DATA, PACK_META
from chunking.index import decode_index, removed_packs, share_names
from chunking.pack import read_pack_table
from chunking.seal import Sealer
from peer.backup.messages import NightReady, Note, PackMade
from peer.catalog import Catalog, IndexContent, NewPack
from peer.files import reader
from peer.restore.messages import Lost, NeedRange
from tests.peer.conftest import LocalMember

ONLY_TODAY = "1 daily 0 weekly 0 monthly 0 yearly"
PLENTY = 16
"""Files enough that a change of most of them is told."""


@pytest.fixture
def member(tmp_path) -> LocalMember:
    made = LocalMember(tmp_path / "member")
    made.recipe = msgspec.structs.replace(made.recipe, pack_bytes=64 << 10)
    return made


@pytest.fixture
def files(tmp_path) -> Path:
    root = tmp_path / "files"
    for number in range(PLENTY):
        path = root / f"folder {number % 4}" / f"file {number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(10_000))
    return root


def ready_of(heard) -> NightReady:
    (ready,) = heard.of(NightReady)
    return ready


def data_bytes(heard) -> int:
    return sum(made.length for made in heard.of(PackMade) if made.kind == PACK_DATA)


def snapshots(member: LocalMember) -> list[bytes]:
    catalog = Catalog(member.catalog_path)
    rows = catalog.snapshots()
    catalog.close()
    return [row.id for row in rows]


def packs(member: LocalMember, kind: int) -> int:
    catalog = Catalog(member.catalog_path)
    count = len(list(catalog.packs(kind=kind)))
    catalog.close()
    return count


def assert_restores(member: LocalMember, files: Path, target: Path, place: int = -1) -> None:
    heard = member.restore(target, snapshot=place)
    assert heard.of(Lost) == []
    assert compare_trees(files, Path(f"{target}{files}")).differences == ()


def copy_of(files: Path, target: Path) -> Path:
    subprocess.run(["cp", "-a", files, target], check=True)
    return target


def lose_catalog(member: LocalMember) -> None:
    """A new computer: the catalog has what index packs say, and nothing else."""
    catalog = Catalog(member.catalog_path)
    index_packs = list(catalog.packs(kind=3))
    rows = catalog.snapshots()
    catalog.close()
    for path in member.home.glob("catalog.sqlite*"):
        path.unlink()
    catalog = Catalog(member.catalog_path)
    sealer = Sealer(member.keys)
    for row in index_packs:
        data = (member.spool / row.id.hex()).read_bytes()[: row.length]
        table = read_pack_table(member.keys, data)
        indexes = [
            decode_index(sealer.open(chunk.id, data[chunk.offset : chunk.offset + chunk.length]))
            for chunk in table
        ]
        listed = [
            NewPack(
                entry.pack.pack,
                entry.kind,
                entry.pack.needed,
                entry.pack.length,
                tuple(share_names(entry.pack)),
                tuple((chunk.id, chunk.offset, chunk.length) for chunk in entry.chunks),
            )
            for index in indexes
            for entry in index.entries
        ]
        chunks = tuple((chunk.id, chunk.offset, chunk.length) for chunk in table)
        itself = NewPack(row.id, 3, row.needed, row.length, row.shares, chunks)
        removed = [ident for index in indexes for ident in removed_packs(index)]
        catalog.adopt_index(IndexContent(itself, tuple(listed), tuple(removed)))
    catalog.set_snapshots(rows)
    catalog.close()


# --- retention and the sweep ------------------------------------------------------------------


def test_a_snapshot_that_is_not_kept_goes_and_what_only_it_needed_goes_with_it(
    member, files, tmp_path
):
    member.night(files)
    for path in sorted(files.rglob("file *"))[:6]:
        path.write_bytes(os.urandom(11_000))
    before = packs(member, PACK_DATA)
    ready = ready_of(member.night(files, keep=ONLY_TODAY))
    assert ready.kept == []
    assert snapshots(member) == [ready.snapshot]
    member.night(files, keep=ONLY_TODAY)
    member.night(files, keep=ONLY_TODAY)
    assert packs(member, PACK_DATA) < before + 2
    assert member.stored_bytes() < 1.4 * (10 * 10_000 + 6 * 11_000)
    assert_restores(member, files, tmp_path / "back")


def test_a_night_that_fails_after_the_sweep_has_taken_nothing_away(member, files, tmp_path):
    old = copy_of(files, tmp_path / "old")
    member.night(files)
    for path in sorted(files.rglob("file *"))[:7]:
        path.write_bytes(os.urandom(11_000))
    before = snapshots(member)
    for _ in range(3):
        assert ready_of(member.night(files, keep=ONLY_TODAY, completes=False)).removed_packs
        assert snapshots(member) == before
    member.restore(tmp_path / "back")
    assert compare_trees(old, Path(f"{tmp_path}/back{files}")).differences == ()
    member.night(files, keep=ONLY_TODAY)
    assert_restores(member, files, tmp_path / "again")


def test_what_was_deleted_and_comes_back_while_a_snapshot_has_it_ships_nothing(member, files):
    saved = (files / "folder 0" / "file 0").read_bytes()
    member.night(files)
    (files / "folder 0" / "file 0").unlink()
    member.night(files)
    (files / "folder 1" / "found again").write_bytes(saved)
    assert data_bytes(member.night(files)) == 0


def test_nothing_that_is_listed_twice_or_removed_is_believed_after_a_recovery(
    member, files, tmp_path
):
    for _ in range(12):
        for path in sorted(files.rglob("file *"))[:5]:
            path.write_bytes(os.urandom(9_000))
        member.night(files, keep=ONLY_TODAY)
    catalog = Catalog(member.catalog_path)
    before = {row.id for row in catalog.packs()}
    catalog.close()
    lose_catalog(member)
    catalog = Catalog(member.catalog_path)
    assert {row.id for row in catalog.packs()} == before
    catalog.close()
    assert_restores(member, files, tmp_path / "back")


# --- copies -----------------------------------------------------------------------------------


def test_what_lives_of_mostly_dead_packs_is_copied_from_unchanged_local_files(
    member, files, tmp_path
):
    member.night(files)
    for path in sorted(files.rglob("file *"))[:5]:
        path.write_bytes(os.urandom(10_000))
    heard = member.night(files, keep=ONLY_TODAY)
    assert ready_of(heard).copied_bytes
    catalog = Catalog(member.catalog_path)
    asked = {catalog.pack(need.row).kind for need in heard.of(NeedRange)}
    catalog.close()
    assert asked <= {PACK_META}
    assert ready_of(member.night(files, keep=ONLY_TODAY)).removed_packs
    member.night(files, keep=ONLY_TODAY)
    assert_restores(member, files, tmp_path / "back")


def test_what_no_local_file_has_is_copied_from_friends(member, files, tmp_path):
    keep = "2 daily 0 weekly 0 monthly 0 yearly"
    first = sorted(files.rglob("file *"))
    member.night(files)
    for path in first[:5]:
        path.unlink()
    member.night(files, keep=keep)
    old = copy_of(files, tmp_path / "old")
    first[5].unlink()
    heard = member.night(files, keep=keep)  # now only the second snapshot needs this file
    catalog = Catalog(member.catalog_path)
    assert PACK_DATA in {catalog.pack(need.row).kind for need in heard.of(NeedRange)}
    catalog.close()
    assert ready_of(heard).copied_bytes
    assert ready_of(member.night(files, keep="3 daily")).removed_packs
    member.restore(tmp_path / "back", snapshot=0)
    assert compare_trees(old, Path(f"{tmp_path}/back{files}")).differences == ()


def test_a_pack_that_cannot_be_had_is_left_as_it_is(member, files, tmp_path):
    member.night(files)
    catalog = Catalog(member.catalog_path)
    member.lost_packs = {row.pack for row in catalog.packs(kind=PACK_META)}
    catalog.close()
    for path in sorted(files.rglob("file *"))[:5]:
        path.write_bytes(os.urandom(10_000))
    member.night(files, keep=ONLY_TODAY)
    member.night(files, keep=ONLY_TODAY)
    member.lost_packs = set()
    assert_restores(member, files, tmp_path / "back")


def test_a_night_that_fails_after_copying_leaves_every_chunk_where_it_was(member, files, tmp_path):
    member.night(files)
    for path in sorted(files.rglob("file *"))[:5]:
        path.write_bytes(os.urandom(10_000))
    copied = [
        ready_of(member.night(files, keep=ONLY_TODAY, completes=False)).copied_bytes
        for _ in range(3)
    ]
    assert copied[0]
    assert copied[1:] == [0, 0]  # it is on its way already
    member.night(files, keep=ONLY_TODAY)
    assert ready_of(member.night(files, keep=ONLY_TODAY)).removed_packs
    assert_restores(member, files, tmp_path / "back")


# --- the guard --------------------------------------------------------------------------------


def test_a_night_that_rewrites_most_files_holds_what_was_before_it(member, files, tmp_path):
    old = copy_of(files, tmp_path / "old")
    good = ready_of(member.night(files, keep=ONLY_TODAY)).snapshot
    for path in sorted(files.rglob("file *"))[:12]:
        path.write_bytes(os.urandom(10_000))  # as malware that encrypts does
    ready = ready_of(member.night(files, keep=ONLY_TODAY))
    assert (ready.gone, ready.before) == (12, PLENTY)
    assert ready.hold == good
    for _ in range(5):
        (files / "diary").write_bytes(os.urandom(100))
        ready = ready_of(member.night(files, keep=ONLY_TODAY))
        assert not ready.gone
        assert ready.kept == [good]
    member.restore(tmp_path / "back", snapshot=0)
    assert compare_trees(old, Path(f"{tmp_path}/back{files}")).differences == ()


def test_a_night_that_drops_most_files_holds_what_was_before_it(member, files):
    good = ready_of(member.night(files)).snapshot
    for path in sorted(files.rglob("file *"))[4:]:
        path.unlink()
    assert ready_of(member.night(files, keep=ONLY_TODAY)).hold == good


def test_when_the_person_says_that_it_was_meant_retention_goes_on(member, files):
    member.night(files)
    for path in sorted(files.rglob("file *"))[4:]:
        path.unlink()
    member.night(files, keep=ONLY_TODAY)
    member.hold = b""
    ready = ready_of(member.night(files, keep=ONLY_TODAY))
    assert (ready.kept, ready.hold) == ([], b"")


def test_a_second_drastic_night_does_not_move_the_hold(member, files):
    good = ready_of(member.night(files)).snapshot
    for _ in range(3):
        for path in sorted(files.rglob("file *")):
            path.write_bytes(os.urandom(10_000))
        assert ready_of(member.night(files, keep=ONLY_TODAY)).hold == good


def test_a_renamed_folder_and_touched_files_alarm_nobody(member, files):
    member.night(files)
    (files / "folder 0").rename(files / "elsewhere")
    for path in files.rglob("file *"):
        path.touch()
    ready = ready_of(member.night(files))
    assert (ready.gone, ready.hold) == (0, b"")


def test_two_nights_at_the_very_same_instant_make_one_snapshot(member, files, tmp_path):
    for _ in range(2):
        member.night(files, time_ns=5 * 10**18)
    assert len(snapshots(member)) == 1
    assert_restores(member, files, tmp_path / "back")


def test_a_few_files_may_all_change(member, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    (small / "diary").write_text("Monday")
    member.night(small)
    (small / "diary").write_text("Tuesday")
    assert not ready_of(member.night(small)).gone


# --- what is not there tonight ----------------------------------------------------------------


def test_a_marked_folder_that_is_missing_goes_on_as_it_was(member, files, tmp_path):
    stick = copy_of(files, tmp_path / "stick")
    member.night(files, stick)
    stick.rename(tmp_path / "in the drawer")
    for _ in range(3):
        ready = ready_of(member.night(files, stick, keep=ONLY_TODAY))
        assert ready.missing_marks == [os.fsencode(stick)]
        assert not ready.gone
        assert ready.files == 2 * PLENTY
    member.restore(tmp_path / "back")
    assert compare_trees(files, Path(f"{tmp_path}/back{stick}")).differences == ()


def test_a_folder_that_comes_back_is_not_read_again(member, files, tmp_path, monkeypatch):
    stick = copy_of(files, tmp_path / "stick")
    member.night(files, stick)
    stick.rename(tmp_path / "in the drawer")
    member.night(files, stick)
    (tmp_path / "in the drawer").rename(stick)
    monkeypatch.setattr(reader, "open_content", never_read)
    assert ready_of(member.night(files, stick)).files == 2 * PLENTY


def never_read(path, found):
    raise AssertionError(f"{path} is read")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root; CI runs as root")
def test_a_disk_that_is_not_mounted_goes_on_as_it_was(member, files, tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
    try:
        (place / "photo").write_bytes(os.urandom(5_000))
        member.night(files, place)
    finally:
        subprocess.run(["umount", place], check=True)
    ready = ready_of(member.night(files, place, keep=ONLY_TODAY))
    assert ready.missing_marks == [os.fsencode(place)]
    member.restore(tmp_path / "back")
    assert Path(f"{tmp_path}/back{place}/photo").stat().st_size == 5_000


def test_a_folder_that_cannot_be_listed_tonight_stays_as_it_was(
    member, files, tmp_path, monkeypatch
):
    member.night(files)
    real = reader.list_directory

    def fails(path):
        if path.endswith(b"folder 2"):
            raise OSError(5, "Input/output error")
        return real(path)

    monkeypatch.setattr(reader, "list_directory", fails)
    heard = member.night(files, keep=ONLY_TODAY)
    (note,) = heard.of(Note)
    assert note.text == "input/output error; what was backed up before is kept"
    assert ready_of(heard).files == PLENTY
    monkeypatch.undo()
    assert_restores(member, files, tmp_path / "back")


def test_a_marked_file_that_did_not_change_is_not_read(member, files, monkeypatch):
    marked = files / "folder 0" / "file 0"
    member.night(marked)
    monkeypatch.setattr(reader, "open_content", never_read)
    assert ready_of(member.night(marked)).files == 1


def test_what_is_no_longer_marked_is_forgotten(member, files):
    member.night(files / "folder 0", files / "folder 1")
    assert ready_of(member.night(files / "folder 0")).files == 4
    catalog = Catalog(member.catalog_path)
    paths = [path for path, _ in catalog.listings_after(b"", 100)]
    catalog.close()
    assert paths == [os.fsencode(files / "folder 0")]


def test_metadata_comes_in_whole_packs_and_data_in_joined_ranges(member, files, tmp_path):
    for number in range(60):
        (files / f"more {number}").mkdir()
        (files / f"more {number}" / "x").write_bytes(os.urandom(100))
    member.night(files)
    lose_catalog(member)
    heard = member.night(files)
    assert len(heard.of(NeedRange)) <= packs(member, PACK_META)


# --- a fresh computer -------------------------------------------------------------------------


def test_on_a_fresh_computer_old_snapshots_are_read_from_friends_before_anything_goes(
    member, files, tmp_path
):
    member.night(files)
    (files / "folder 3" / "new").write_bytes(os.urandom(10_000))
    member.night(files)
    lose_catalog(member)
    heard = member.night(files, keep="2 daily 0 weekly 0 monthly 0 yearly")
    assert heard.of(NeedRange)
    assert data_bytes(heard) == 0
    assert len(ready_of(heard).kept) == 1
    assert_restores(member, files, tmp_path / "back")
    member.night(files, keep=ONLY_TODAY)
    assert_restores(member, files, tmp_path / "again")


def test_an_empty_fresh_computer_loses_no_old_snapshot(member, files, tmp_path):
    old = copy_of(files, tmp_path / "old")
    good = ready_of(member.night(files)).snapshot
    lose_catalog(member)
    subprocess.run(["rm", "-r", files], check=True)
    files.mkdir()
    (files / "welcome").write_text("your new computer")
    ready = ready_of(member.night(files, keep=ONLY_TODAY))
    assert ready.hold == good
    member.night(files, keep=ONLY_TODAY)
    assert snapshots(member)[0] == good
    member.restore(tmp_path / "back", snapshot=0)
    assert compare_trees(old, Path(f"{tmp_path}/back{files}")).differences == ()


def test_a_fresh_computer_without_the_marked_folder_keeps_it_in_every_snapshot(
    member, files, tmp_path
):
    old = copy_of(files, tmp_path / "old")
    other = copy_of(files, tmp_path / "other")
    member.night(files, other)
    lose_catalog(member)
    subprocess.run(["rm", "-r", files], check=True)
    for _ in range(2):
        member.night(files, other, keep=ONLY_TODAY)
    member.restore(tmp_path / "back")
    assert compare_trees(old, Path(f"{tmp_path}/back{files}")).differences == ()


def test_when_an_old_tree_cannot_be_read_everything_stays(member, files):
    member.night(files)
    for path in sorted(files.rglob("file *"))[:6]:
        path.write_bytes(os.urandom(10_000))
    member.night(files)
    lose_catalog(member)
    before = snapshots(member)
    catalog = Catalog(member.catalog_path)
    member.lost_packs = {row.pack for row in catalog.packs(kind=PACK_META)}
    catalog.close()
    ready = ready_of(member.night(files, keep=ONLY_TODAY))
    assert ready.kept == before
    assert not ready.removed_packs


def test_an_old_snapshot_that_is_lost_for_good_goes_when_its_time_has_come(member, files):
    first = ready_of(member.night(files)).snapshot
    (files / "new").write_bytes(os.urandom(10_000))
    member.night(files)
    catalog = Catalog(member.catalog_path)
    catalog.drop_pack(catalog.find_chunks([first])[first].pack)
    catalog.close()
    keep = "3 daily 0 weekly 0 monthly 0 yearly"
    assert ready_of(member.night(files, keep=keep)).removed_packs == 0
    assert first in snapshots(member)
    (files / "new").unlink()
    removed = [ready_of(member.night(files, keep=keep)).removed_packs for _ in range(4)]
    assert first not in snapshots(member)
    assert any(removed)
