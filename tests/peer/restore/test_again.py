"""A restore onto what is there: what is right is left alone, and only the rest is fetched."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from bench.trees import compare_trees
from peer.backup.messages import Failed, Note
from peer.files.standing import Standing, judge
from peer.restore.messages import Lost, NeedPack, NeedRange, RestoreDone
from tests.support.trees import a_file, leftovers


@pytest.fixture
def files(tmp_path) -> Path:
    root = tmp_path / "files"
    (root / "folder").mkdir(parents=True)
    (root / "small").write_bytes(b"small")
    (root / "folder" / "large").write_bytes(os.urandom(9_000_000))
    (root / "folder" / "random").write_bytes(os.urandom(100_000))
    (root / "empty").touch()
    os.link(root / "small", root / "folder" / "another name")
    with (root / "holes").open("wb") as file:
        file.truncate(30_000_000)
        file.seek(10_000_000)
        file.write(b"middle" * 1000)
    with (root / "one hole").open("wb") as file:
        file.truncate(5_000_000)
    return root


@pytest.fixture
def back(member, files, tmp_path) -> Path:
    """Where the files are back already."""
    member.night(files)
    member.restore(tmp_path / "back")
    return Path(f"{tmp_path / 'back'}{files}")


def fetched(heard) -> int:
    """Data packs and ranges that were asked for, beside the one pack of metadata."""
    return len(heard.of(NeedPack)) + len(heard.of(NeedRange)) - 1


def restore(member, back: Path, files: Path, **how):
    return member.restore(Path(str(back).removesuffix(str(files))), **how)


def assert_same(files: Path, back: Path) -> None:
    assert compare_trees(files, back).differences == ()


def test_what_is_right_already_is_neither_fetched_nor_written(member, files, back):
    before = {path: path.stat().st_ino for path in back.rglob("*") if path.is_file()}
    heard = restore(member, back, files)
    (done,) = heard.of(RestoreDone)
    assert (done.files, done.same, done.lost) == (7, 6, 0)  # another name is made each time
    assert fetched(heard) == 0
    assert {path: path.stat().st_ino for path in before} == before
    assert_same(files, back)


def test_a_file_that_is_damaged_without_a_trace_in_its_size_and_time_is_replaced(
    member, files, back
):
    for path in ("folder/large", "holes", "one hole", "small"):
        there = (back / path).stat()
        with (back / path).open("r+b") as file:
            file.seek(there.st_size // 2)
            file.write(b"!")
        os.utime(back / path, ns=(there.st_atime_ns, there.st_mtime_ns))
    heard = restore(member, back, files)
    assert heard.of(RestoreDone)[0].replaced == 4
    assert_same(files, back)


def test_data_in_what_should_be_a_hole_is_another_content(member, files, back):
    there = (back / "holes").stat()
    with (back / "holes").open("r+b") as file:
        file.seek(20_000_000)
        file.write(b"no hole")
    os.utime(back / "holes", ns=(1, there.st_mtime_ns))
    restore(member, back, files)
    assert_same(files, back)


def test_a_right_file_with_wrong_metadata_is_dressed_and_not_fetched(member, files, back):
    (back / "folder" / "random").chmod(0o600)
    os.utime(back / "folder" / "large", ns=(1, 1))
    os.setxattr(back / "folder" / "random", "user.extra", b"x")
    heard = restore(member, back, files)
    assert fetched(heard) == 0
    assert (back / "folder" / "random").stat().st_mode & 0o777 == 0o644
    assert (back / "folder" / "large").stat().st_mtime_ns == (
        files / "folder" / "large"
    ).stat().st_mtime_ns


def test_a_right_file_that_has_a_name_outside_is_written_anew_and_not_dressed(
    member, files, back, tmp_path
):
    os.link(back / "folder" / "random", tmp_path / "outside")
    (tmp_path / "outside").chmod(0o600)
    restore(member, back, files)
    assert (tmp_path / "outside").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "outside").stat().st_nlink == 1
    assert_same(files, back)


def test_only_what_is_missing_is_fetched(member, files, back):
    (back / "folder" / "random").unlink()
    heard = restore(member, back, files)
    (done,) = heard.of(RestoreDone)
    assert (done.files, done.same) == (7, 5)
    assert fetched(heard) == 1
    assert_same(files, back)


def test_a_file_of_another_kind_gives_way_and_a_full_folder_does_not(member, files, back):
    (back / "empty").unlink()
    (back / "empty").mkdir()
    (back / "small").unlink()
    (back / "small").symlink_to("empty")
    (back / "holes").unlink()
    (back / "holes").mkdir()
    (back / "holes" / "mine").touch()
    heard = restore(member, back, files)
    assert [os.path.basename(lost.path) for lost in heard.of(Lost)] == [b"holes"]
    assert (back / "holes" / "mine").exists()
    assert (back / "small").read_bytes() == b"small"
    assert (back / "empty").is_file()


@pytest.mark.parametrize("overwrite", ["never", "older"])
def test_what_may_not_be_replaced_is_told_unless_it_is_the_same(member, files, back, overwrite):
    (back / "small").unlink()
    (back / "small").write_text("mine")  # and newer
    (back / "folder" / "random").unlink()
    heard = restore(member, back, files, overwrite=overwrite)
    (done,) = heard.of(RestoreDone)
    assert (back / "small").read_text() == "mine"
    assert (back / "folder" / "random").read_bytes() == (files / "folder/random").read_bytes()
    notes = {os.path.basename(note.path) for note in heard.of(Note)}
    assert notes - {b"another name"} == {b"small"}
    assert done.kept >= 5


def begun_later_than(number: int) -> Callable[[psutil.Process], float]:
    """`create_time` on a computer that was started again and gave a process this number."""
    real = psutil.Process.create_time
    return lambda process: 2.0**40 if process.pid == number else real(process)


def test_what_a_killed_restore_left_unfinished_is_removed_and_nothing_else(
    member, files, back, monkeypatch
):
    dead = Path(f"{back}/folder/.covey-999999999-3.part")
    alive = Path(f"{back}/folder/.covey-1-3.part")
    other = Path(f"{back}/folder/.covey-notes.part")
    for path in (dead, alive, other):
        path.write_text("half")
    with subprocess.Popen(["sleep", "60"]) as later:
        again = Path(f"{back}/folder/.covey-{later.pid}-3.part")
        again.write_text("half, and written before")
        monkeypatch.setattr(psutil.Process, "create_time", begun_later_than(later.pid))
        restore(member, back, files)
        later.kill()
    assert not dead.exists()
    assert not again.exists()
    assert alive.exists()
    assert other.exists()


@pytest.mark.parametrize("moment", range(4))
def test_a_restore_that_stops_in_the_middle_goes_on_where_it_was(
    member, files, tmp_path, moment, monkeypatch
):
    from peer.restore.worker import FileWorker

    for number in range(20):
        (files / f"file {number}").write_bytes(os.urandom(1_000_000))
    member.night(files)
    real, calls = FileWorker._write, 0

    def write(self: FileWorker, job: object, shapes: object, tally: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 5 + 6 * moment:
            raise KeyboardInterrupt
        real(self, job, shapes, tally)

    monkeypatch.setattr(FileWorker, "_write", write)
    with pytest.raises(KeyboardInterrupt):
        member.restore(tmp_path / "back")
    monkeypatch.undo()
    back = Path(f"{tmp_path / 'back'}{files}")
    before = sum(path.is_file() for path in back.rglob("*"))
    assert before >= 4 + 6 * moment
    (done,) = restore(member, back, files).of(RestoreDone)
    assert done.same >= before
    assert done.lost == 0
    assert_same(files, back)


def test_a_read_only_target_is_an_error_in_words(member, files, tmp_path, monkeypatch):
    member.night(files)
    target = tmp_path / "file"
    target.write_text("no folder")
    (failed,) = member.restore(target / "below").of(Failed)
    assert "not a directory" in failed.text


def test_a_full_disk_ends_the_restore_at_once_and_what_is_back_stays(
    member, files, tmp_path, monkeypatch
):
    member.night(files)
    real, writes = os.write, 0

    def write(fd: int, data: bytes) -> int:
        nonlocal writes
        writes += 1
        if writes > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    heard = member.restore(tmp_path / "back")
    monkeypatch.undo()
    (failed,) = heard.of(Failed)
    assert failed.text.endswith("no space left on device")
    assert writes == 3
    back = Path(f"{tmp_path}/back{files}")
    assert not leftovers(back)
    restore(member, back, files)
    assert_same(files, back)


# --- trying -----------------------------------------------------------------------------------


def test_a_dry_run_writes_nothing_and_fetches_no_data(member, files, tmp_path):
    member.night(files)
    heard = member.restore(tmp_path / "back", dry_run=True)
    (done,) = heard.of(RestoreDone)
    assert not (tmp_path / "back").exists()
    assert fetched(heard) == 0
    assert (done.files, done.replaced, done.same, done.kept) == (7, 0, 0, 0)
    assert 9_000_000 < done.to_fetch < 12_000_000


def test_a_dry_run_tells_what_the_restore_then_does(member, files, back):
    (back / "small").write_text("other")
    (back / "folder" / "random").unlink()
    (back / "holes").unlink()
    shutil.rmtree(back / "folder" / "missing", ignore_errors=True)
    before = sorted((path, path.stat().st_mtime_ns) for path in back.rglob("*"))
    (tried,) = restore(member, back, files, dry_run=True).of(RestoreDone)
    assert sorted((path, path.stat().st_mtime_ns) for path in back.rglob("*")) == before
    (done,) = restore(member, back, files).of(RestoreDone)
    assert (tried.files, tried.kept, tried.lost) == (done.files, done.kept, done.lost)
    assert tried.to_fetch > 0
    assert_same(files, back)


# --- in place ---------------------------------------------------------------------------------


def test_files_come_back_to_where_they_were(member, files, tmp_path):
    shutil.copytree(files, tmp_path / "copy", symlinks=True)
    member.night(files)
    (files / "small").write_text("spoiled")
    (files / "folder" / "large").unlink()
    (files / "new").write_text("stays")
    (done,) = member.restore(Path("/")).of(RestoreDone)
    assert done.lost == 0
    assert (files / "small").read_bytes() == b"small"
    assert (files / "new").read_text() == "stays"
    assert (files / "folder/large").read_bytes() == (tmp_path / "copy/folder/large").read_bytes()


def test_a_link_above_what_was_marked_is_gone_through_and_stays(member, files, tmp_path):
    (tmp_path / "shortcut").symlink_to(tmp_path)
    member.night(tmp_path / "shortcut" / "files")
    (files / "small").unlink()
    (done,) = member.restore(Path("/")).of(RestoreDone)
    assert done.lost == 0
    assert (tmp_path / "shortcut").is_symlink()
    assert (files / "small").read_bytes() == b"small"


def test_some_paths_come_back_in_place_and_nothing_else_is_touched(member, files):
    member.night(files)
    (files / "small").unlink()
    (files / "empty").unlink()
    heard = member.restore(Path("/"), files / "small", files / "nothing")
    assert (files / "small").exists()
    assert not (files / "empty").exists()
    (lost,) = heard.of(Lost)
    assert lost == Lost(os.fsencode(files / "nothing"), "it is not in that snapshot")


# --- pure -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overwrite", "mtime_ns", "size", "expected"),
    [
        ("always", 5, 10, Standing.SAME_SIZE),
        ("always", 5, 11, Standing.OTHER),
        ("older", 4, 10, Standing.SAME_SIZE),
        ("older", 4, 11, Standing.OTHER),
        ("older", 5, 10, Standing.KEEP_SAME),
        ("older", 6, 10, Standing.KEEP),
        ("never", 4, 10, Standing.KEEP),
        ("never", 5, 10, Standing.KEEP_SAME),
    ],
)
def test_what_is_there_is_judged_by_its_size_and_time(
    overwrite, mtime_ns, size, expected, tmp_path
):
    (tmp_path / "file").write_bytes(bytes(size))
    os.utime(tmp_path / "file", ns=(mtime_ns, mtime_ns))
    entry = a_file(10, mtime_ns=5)
    assert judge((tmp_path / "file").stat(), entry, overwrite) is expected
