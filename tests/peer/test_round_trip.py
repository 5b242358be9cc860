"""What goes in comes out: files of every kind through the engine and back, without a network."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bench.trees import compare_trees
from chunking.formats import PACK_DATA
from peer.backup.messages import Failed, NightReady, Note, PackMade
from peer.files import reader
from peer.restore.messages import Lost, NeedPack, RestoreDone


@pytest.fixture
def files(tmp_path) -> Path:
    root = tmp_path / "files"
    root.mkdir()
    return root


def assert_same(files: Path, target: Path) -> None:
    assert compare_trees(files, Path(f"{target}{files}")).differences == ()


def notes(heard) -> dict[str, str]:
    return {os.fsdecode(note.path): note.text for note in heard.of(Note)}


def data_bytes(heard) -> int:
    return sum(pack.length for pack in heard.of(PackMade) if pack.kind == PACK_DATA)


def test_every_kind_of_file_comes_back_as_it_was(member, files, tmp_path):
    (files / "empty").touch()
    (files / "small").write_bytes(b"small")
    (files / "large").write_bytes(os.urandom(9_000_000))
    (files / "folder" / "deeper").mkdir(parents=True)
    (files / "folder" / "deeper" / "file").write_text("below")
    (files / "an empty folder").mkdir(mode=0o500)
    (files / "link").symlink_to("small")
    (files / "dangling").symlink_to("/nowhere")
    os.link(files / "small", files / "folder" / "another name of small")
    Path(os.fsdecode(os.fsencode(files) + b"/\xff\xfe\n")).write_bytes(b"odd")
    (files / "private").write_text("x")
    (files / "private").chmod(0o600)
    (files / "tool").write_text("#!/bin/sh\n")
    (files / "tool").chmod(0o4755)
    with (files / "holes").open("wb") as file:
        file.truncate(30_000_000)
        file.seek(10_000_000)
        file.write(b"middle" * 1000)
    with (files / "all hole").open("wb") as file:
        file.truncate(5_000_000)
    os.setxattr(files / "small", "user.colour", b"green\x00\xff")
    os.utime(files / "small", ns=(1, 1_234_567_890_123_456_789))
    os.utime(files / "folder", ns=(1, 987_654_321_987_654_321))
    os.utime(files / "link", ns=(1, 55_555_555_555_555_555), follow_symlinks=False)

    assert member.night(files).of(NightReady)
    heard = member.restore(tmp_path / "back")
    assert heard.of(RestoreDone)[0].lost == 0
    assert_same(files, tmp_path / "back")


def test_what_is_no_file_is_left_out_with_a_note(member, files):
    os.mkfifo(files / "fifo")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(files / "socket"))
    (files / "file").write_text("x")
    heard = member.night(files)
    assert set(notes(heard)) == {str(files / "fifo"), str(files / "socket")}
    assert heard.of(NightReady)[0].files == 1


def test_paths_longer_than_the_system_takes_at_once_come_back(member, files, tmp_path):
    fd = os.open(files, os.O_RDONLY)
    name = b"n" * 200
    for _ in range(40):
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    with os.fdopen(os.open(b"deep", os.O_CREAT | os.O_WRONLY, dir_fd=fd), "wb") as file:
        file.write(b"far below")
    os.close(fd)
    heard = member.night(files)
    assert notes(heard) == {}
    done = member.restore(tmp_path / "back")
    assert done.of(Lost) == []
    assert done.of(RestoreDone)[0].files == 1
    fd = os.open(Path(f"{tmp_path}/back{files}"), os.O_RDONLY)
    for _ in range(40):
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    with os.fdopen(os.open(b"deep", os.O_RDONLY, dir_fd=fd), "rb") as file:
        assert file.read() == b"far below"
    os.close(fd)


def test_an_unreadable_file_is_told_and_does_not_end_the_night(member, files, monkeypatch):
    (files / "good").write_text("x")
    (files / "bad").write_text("y")
    real = reader.open_content

    def refuse(path, found):
        if path.endswith(b"bad"):
            raise PermissionError(13, "Permission denied")
        return real(path, found)

    monkeypatch.setattr(reader, "open_content", refuse)
    heard = member.night(files)
    assert notes(heard) == {str(files / "bad"): "left out: permission denied"}
    assert heard.of(NightReady)[0].files == 1


def test_a_file_that_changes_while_it_is_read_is_read_again(member, files, tmp_path, monkeypatch):
    (files / "busy").write_bytes(b"a" * 3_000_000)
    real = reader.ContentReader.blocks
    times = 0

    def blocks(self):
        nonlocal times
        times += 1
        for number, block in enumerate(real(self)):
            if times == 1 and number == 1:
                (files / "busy").write_bytes(b"b" * 3_500_000)
            yield block

    monkeypatch.setattr(reader.ContentReader, "blocks", blocks)
    heard = member.night(files)
    assert times == 2
    assert notes(heard) == {}
    member.restore(tmp_path / "back")
    assert Path(f"{tmp_path}/back{files}/busy").read_bytes() == b"b" * 3_500_000


def test_a_file_that_never_stands_still_is_kept_with_a_remark_and_read_again_next_night(
    member, files, tmp_path, monkeypatch
):
    (files / "log").write_bytes(b"a" * 2_000_000)
    real = reader.ContentReader.blocks

    def blocks(self):
        yield from real(self)
        with (files / "log").open("ab") as file:
            file.write(b"more")
        raise reader.ChangedWhileReading

    monkeypatch.setattr(reader.ContentReader, "blocks", blocks)
    heard = member.night(files)
    assert "while it was read" in notes(heard)[str(files / "log")]
    monkeypatch.undo()
    assert member.restore(tmp_path / "back").of(RestoreDone)[0].lost == 0
    back = Path(f"{tmp_path}/back{files}/log").read_bytes()
    assert back == b"a" * 2_000_000 + b"more" * 2  # as it was read the third time
    assert data_bytes(member.night(files)) > 0


@pytest.mark.parametrize("size", [100_000, 3_000_000])
def test_a_file_that_shrinks_at_every_look_is_kept_as_far_as_it_was_read(
    member, files, tmp_path, monkeypatch, size
):
    (files / "log").write_bytes(b"b" * size)
    real = reader.ContentReader.blocks

    def blocks(self):
        yield next(iter(real(self)))[:50_000]
        raise reader.ChangedWhileReading

    monkeypatch.setattr(reader.ContentReader, "blocks", blocks)
    monkeypatch.setattr(reader.ContentReader, "whole", lambda self: b"".join(self.blocks()))
    member.night(files)
    assert member.restore(tmp_path / "back").of(RestoreDone)[0].lost == 0
    assert Path(f"{tmp_path}/back{files}/log").read_bytes() == b"b" * 50_000


def test_a_sparse_file_that_is_cut_off_while_it_is_read_comes_back_as_far_as_it_was_read(
    member, files, tmp_path, monkeypatch
):
    with (files / "image").open("wb") as file:
        for place in (0, 1, 2):
            file.seek(place * 4_000_000)
            file.write(b"data" * 100_000)
    real = reader.ContentReader.blocks

    def blocks(self):
        for number, block in enumerate(real(self)):
            if number == 2:
                raise reader.ChangedWhileReading
            yield block

    monkeypatch.setattr(reader.ContentReader, "blocks", blocks)
    member.night(files)
    done = member.restore(tmp_path / "back")
    assert done.of(RestoreDone)[0].lost == 0, done.of(Lost)


def test_a_file_that_is_another_one_at_every_look_is_left_out_with_a_note(
    member, files, monkeypatch
):
    (files / "strange").write_text("x")

    def never(path, found):
        raise reader.ChangedWhileReading

    monkeypatch.setattr(reader, "open_content", never)
    assert "another file at every look" in notes(member.night(files))[str(files / "strange")]


def test_a_file_that_vanishes_is_told(member, files, monkeypatch):
    (files / "gone").write_text("x")
    real = reader.open_content

    def open_content(path, found):
        if path.endswith(b"gone"):
            Path(os.fsdecode(path)).unlink()
        return real(path, found)

    monkeypatch.setattr(reader, "open_content", open_content)
    heard = member.night(files)
    assert notes(heard) == {str(files / "gone"): "left out: no such file or directory"}


def test_an_unchanged_night_reads_no_file_and_makes_no_data_pack(member, files, monkeypatch):
    for number in range(50):
        (files / f"file {number}").write_bytes(os.urandom(5000))
    old = 10**18
    for path in files.iterdir():
        os.utime(path, ns=(old, old))
    member.night(files, time_ns=4 * 10**18)  # long after the files' change times

    def never(path, found):
        raise AssertionError(f"{path} is read")

    monkeypatch.setattr(reader, "open_content", never)
    heard = member.night(files, time_ns=5 * 10**18)
    assert heard.of(NightReady)[0].files == 50
    assert data_bytes(heard) == 0
    assert sum(pack.spool_bytes for pack in heard.of(PackMade)) < 64 * 1024


def test_copies_moves_and_touches_make_no_data_pack(member, files):
    (files / "a").write_bytes(os.urandom(3_000_000))
    member.night(files)
    (files / "copy").write_bytes((files / "a").read_bytes())
    (files / "elsewhere").mkdir()
    (files / "a").rename(files / "elsewhere" / "b")
    (files / "copy").touch()
    assert data_bytes(member.night(files)) == 0


def test_one_new_byte_at_the_front_of_a_large_file_makes_little_new(member, files):
    data = os.urandom(24_000_000)
    (files / "large").write_bytes(data)
    member.night(files)
    (files / "large").write_bytes(b"!" + data)
    assert data_bytes(member.night(files)) < 9_000_000


@pytest.mark.slow
def test_one_new_byte_in_the_middle_of_a_huge_file_makes_at_most_8_mib(member, files):
    with (files / "large").open("wb") as file:
        for _ in range(4):  # with 16, a gibibyte, it is the same and takes four times as long
            file.write(os.urandom(64 << 20))
    member.recipe = msgspec.structs.replace(member.recipe, needed=1, total=1)  # one copy to write
    member.night(files)
    with (files / "large").open("r+b") as file:
        file.seek(100_000_000)
        rest = file.read()
        file.seek(100_000_000)
        file.write(b"!" + rest)
    made = member.night(files).of(PackMade)
    assert 0 < sum(pack.length for pack in made) < 8 << 20


def test_the_same_file_in_two_marked_folders_is_stored_once(member, files, tmp_path):
    (files / "letter").write_bytes(os.urandom(300_000))
    twin = tmp_path / "twin"
    shutil.copytree(files, twin)
    assert data_bytes(member.night(files, twin)) < 320_000


def test_a_renamed_folder_makes_nothing_but_listings(member, files):
    (files / "old").mkdir()
    for number in range(20):
        (files / "old" / f"{number}").write_bytes(os.urandom(20_000))
    member.night(files)
    (files / "old").rename(files / "new")
    heard = member.night(files)
    assert data_bytes(heard) == 0
    assert sum(pack.length for pack in heard.of(PackMade)) < 8_000


def test_earlier_snapshots_stay_as_they_were(member, files, tmp_path):
    (files / "diary").write_text("Monday")
    member.night(files, time_ns=10**18)
    (files / "diary").write_text("Tuesday")
    (files / "new").write_text("x")
    member.night(files, time_ns=2 * 10**18)
    member.restore(tmp_path / "first", snapshot=0)
    member.restore(tmp_path / "second", snapshot=1)
    assert Path(f"{tmp_path}/first{files}/diary").read_text() == "Monday"
    assert not Path(f"{tmp_path}/first{files}/new").exists()
    assert_same(files, tmp_path / "second")


def test_a_mark_that_is_not_there_is_told_and_the_others_are_kept(member, files, tmp_path):
    (files / "x").write_text("x")
    heard = member.night(files, tmp_path / "usb stick")
    assert heard.of(NightReady)[0].missing_marks == [os.fsencode(tmp_path / "usb stick")]
    assert "not there tonight" in notes(heard)[str(tmp_path / "usb stick")]


def test_when_no_mark_is_there_no_snapshot_is_made(member, tmp_path):
    heard = member.night(tmp_path / "usb stick")
    assert heard.of(NightReady) == []
    assert "none of the marked" in heard.of(Failed)[0].text


def test_a_single_file_and_a_link_can_be_marked(member, files, tmp_path):
    (files / "letter").write_text("Dear")
    (files / "link").symlink_to("letter")
    member.night(files / "letter", files / "link")
    member.restore(tmp_path / "back")
    assert Path(f"{tmp_path}/back{files}/letter").read_text() == "Dear"
    assert os.readlink(f"{tmp_path}/back{files}/link") == "letter"


def test_only_the_wanted_paths_are_restored_and_only_their_packs_fetched(member, files, tmp_path):
    for name in "abc":
        (files / name).mkdir()
        (files / name / "file").write_bytes(os.urandom(9_000_000))
    member.night(files)
    heard = member.restore(tmp_path / "back", files / "b")
    assert heard.of(RestoreDone)[0].files == 1
    assert sorted(p.name for p in Path(f"{tmp_path}/back{files}").iterdir()) == ["b"]
    everything = member.restore(tmp_path / "all")
    assert len(heard.of(NeedPack)) < len(everything.of(NeedPack))


def test_a_path_that_is_not_in_the_snapshot_is_an_error(member, files, tmp_path):
    (files / "x").write_text("x")
    member.night(files)
    heard = member.restore(tmp_path / "back", files / "y")
    assert "none of these paths" in heard.of(Failed)[0].text


def test_files_of_a_lost_pack_are_named_and_the_rest_is_restored(member, files, tmp_path):
    for number in range(4):
        (files / f"file {number}").write_bytes(os.urandom(9_000_000))
    first = member.night(files)
    member.lost_packs = {min(pack.row for pack in first.of(PackMade) if pack.kind == PACK_DATA)}
    heard = member.restore(tmp_path / "back")
    lost = {os.path.basename(item.path) for item in heard.of(Lost)}
    done = heard.of(RestoreDone)[0]
    assert lost
    assert done.lost == len(lost)
    assert done.files == 4 - len(lost) > 0
    back = {p.name.encode() for p in Path(f"{tmp_path}/back{files}").iterdir()}
    assert back == {b"file 0", b"file 1", b"file 2", b"file 3"} - lost


def test_shares_that_do_not_fit_together_lose_their_files_and_nothing_else(member, files, tmp_path):
    (files / "x").write_bytes(os.urandom(100_000))
    member.night(files)
    heard = member.restore(tmp_path / "back", spoil=lambda data: bytes(len(data)))
    assert heard.of(Failed)


@pytest.mark.parametrize(
    ("overwrite", "older_becomes", "newer_becomes"),
    [("never", "mine", "mine"), ("older", "backup", "mine"), ("always", "backup", "backup")],
)
def test_what_is_there_already_is_overwritten_as_told(
    member, files, tmp_path, overwrite, older_becomes, newer_becomes
):
    (files / "older").write_text("backup")
    (files / "newer").write_text("backup")
    member.night(files)
    there = Path(f"{tmp_path}/back{files}")
    there.mkdir(parents=True)
    for name, when in (("older", 1), ("newer", 4 * 10**18)):
        (there / name).write_text("mine")
        os.utime(there / name, ns=(when, when))
    member.restore(tmp_path / "back", overwrite=overwrite)
    assert (there / "older").read_text() == older_becomes
    assert (there / "newer").read_text() == newer_becomes


@pytest.mark.slow
def test_a_worker_process_that_prints_does_not_break_its_pipe(tmp_path):
    code = "import peer.backup.worker as w; print('hello'); w.main()"
    done = subprocess.run(
        [sys.executable, "-c", code], input=b"", capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0
