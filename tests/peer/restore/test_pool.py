"""Files written by real worker processes: the same files, and a clear end when one dies."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from bench.trees import compare_trees
from peer.backup.messages import Failed
from peer.restore import pool, window
from peer.restore.messages import Lost, Progress, RestoreDone

pytestmark = pytest.mark.slow


@pytest.fixture
def files(tmp_path) -> Path:
    root = tmp_path / "files"
    for folder in range(6):
        (root / f"folder {folder}").mkdir(parents=True)
        for number in range(100):
            (root / f"folder {folder}" / f"file {number}").write_bytes(os.urandom(200 * number))
    (root / "large").write_bytes(os.urandom(20_000_000))
    return root


def test_workers_write_what_one_process_would(member, files, tmp_path):
    member.night(files)
    heard = member.restore(tmp_path / "back", workers=2)
    (done,) = heard.of(RestoreDone)
    assert (done.files, done.lost) == (601, 0)
    assert heard.of(Progress)[-1].files == 601
    assert compare_trees(files, Path(f"{tmp_path}/back{files}")).differences == ()
    assert list(member.scratch.iterdir()) == []

    again = member.restore(tmp_path / "back", workers=2).of(RestoreDone)[0]
    assert again.same == 601


def test_files_with_several_names_and_large_ones_in_pieces_come_from_workers_too(
    member, files, tmp_path, monkeypatch
):
    monkeypatch.setattr(window, "WHOLE_BYTES_MAX", 1_000_000)
    monkeypatch.setattr(window, "PIECE_CHUNKS", 3)
    (files / "larger").write_bytes(os.urandom(30_000_000))
    os.link(files / "large", files / "another name of large")
    member.night(files)
    (done,) = member.restore(tmp_path / "back", workers=2).of(RestoreDone)
    assert (done.files, done.lost) == (603, 0)
    assert compare_trees(files, Path(f"{tmp_path}/back{files}")).differences == ()


def test_a_scratch_folder_that_holds_one_pack_is_enough(member, files, tmp_path):
    member.night(files)
    heard = member.restore(tmp_path / "back", workers=2, scratch_bytes_max=9 << 20)
    assert heard.of(RestoreDone)[0].lost == 0
    assert compare_trees(files, Path(f"{tmp_path}/back{files}")).differences == ()


def test_a_large_file_of_which_a_pack_is_lost_leaves_nothing_and_all_else_comes_back(
    member, files, tmp_path, monkeypatch
):
    monkeypatch.setattr(window, "WHOLE_BYTES_MAX", 1_000_000)
    monkeypatch.setattr(window, "PIECE_CHUNKS", 3)
    member.night(files)
    for path in files.glob("folder*/*"):
        path.touch()
    (files / "large").write_bytes(os.urandom(20_000_000))
    second = member.night(files)
    from chunking.formats import PACK_DATA
    from peer.backup.messages import PackMade

    member.lost_packs = {max(p.row for p in second.of(PackMade) if p.kind == PACK_DATA)}
    heard = member.restore(tmp_path / "back", workers=2)
    assert [os.path.basename(lost.path) for lost in heard.of(Lost)] == [b"large"]
    assert heard.of(RestoreDone)[0].files == 600
    assert not [path for path in Path(f"{tmp_path}/back{files}").iterdir() if path.is_file()]


def test_a_worker_that_is_killed_ends_the_restore_with_a_sentence_and_not_a_wait(
    member, files, tmp_path, monkeypatch
):
    member.night(files)
    real = pool.ProcessPool.submit

    def submit(self: pool.ProcessPool, batch: pool.Batch, lane: int | None = None) -> None:
        real(self, batch, lane)
        os.kill(self._workers[0].process.pid, signal.SIGKILL)

    monkeypatch.setattr(pool.ProcessPool, "submit", submit)
    heard = member.restore(tmp_path / "back", workers=2)
    assert [failed.text for failed in heard.of(Failed)] == ["a writing process ended unexpectedly"]
    monkeypatch.undo()
    assert member.restore(tmp_path / "back", workers=2).of(RestoreDone)[0].lost == 0
    assert compare_trees(files, Path(f"{tmp_path}/back{files}")).differences == ()


def test_a_worker_that_cannot_begin_says_why(member, files, tmp_path, monkeypatch):
    member.night(files)
    real = pool.ProcessPool.__init__

    def init(self: pool.ProcessPool, start: pool.StartWriter, size: int) -> None:
        start = type(start)(
            start.master, b"/no/such/folder", start.overwrite, start.scratch, start.followed
        )
        real(self, start, size)

    monkeypatch.setattr(pool.ProcessPool, "__init__", init)
    (failed,) = member.restore(tmp_path / "back", workers=1).of(Failed)
    assert failed.text == "/no/such/folder: no such file or directory"
