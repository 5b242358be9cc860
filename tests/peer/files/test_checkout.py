"""What was backed up comes back as it was, and what cannot be is told."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chunking.formats import UINT32_MAX
from peer.files import writing
from peer.files.checkout import CheckoutError, FirstNameMissing, UnsafeName
from tests.support.other_user import NOBODY, folder_of_somebody, somebody
from tests.support.trees import (
    NOON_NS,
    SOME_IDS,
    Sandbox,
    a_file,
    a_folder,
    a_link,
    leftovers,
    parts_of,
    write_file,
)

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
BLOCK = 64 * 1024


def restore(box: Sandbox, path: str, data: bytes = b"", **fields):
    """One file in a checkout of its own; the checkout, finished."""
    checkout = box.checkout()
    write_file(checkout, path, data, **fields)
    checkout.finish()
    return checkout


# --- files ------------------------------------------------------------------------------------


def test_a_file_has_its_content_mode_and_time_and_nothing_else_is_there(box):
    checkout = restore(box, "folder/file", b"content", mode=0o640)
    there = box.at("folder/file").stat()
    assert box.at("folder/file").read_bytes() == b"content"
    assert stat.S_IMODE(there.st_mode) == 0o640
    assert there.st_mtime_ns == NOON_NS
    assert os.listdir(box.at("folder")) == ["file"]
    assert checkout.notes == []


@pytest.mark.parametrize("mtime_ns", [0, 1, -1, NOON_NS, -(10**18) + 1])
def test_times_are_kept_to_the_nanosecond_also_before_1970(box, mtime_ns):
    restore(box, "file", mtime_ns=mtime_ns)
    assert box.at("file").stat().st_mtime_ns == mtime_ns


def test_a_file_is_not_there_under_its_name_before_it_is_complete(box):
    checkout = box.checkout()
    writer = checkout.open_file(parts_of("file"), a_file(10))
    writer.write(b"12345")
    assert not box.at("file").exists()
    writer.write(b"67890")
    writer.done()
    assert box.at("file").read_bytes() == b"1234567890"
    checkout.finish()


def test_an_aborted_file_leaves_nothing_and_what_was_there_before(box):
    restore(box, "file", b"before")
    checkout = box.checkout()
    writer = checkout.open_file(parts_of("file"), a_file(10))
    writer.write(b"12345")
    writer.abort()
    checkout.finish()
    assert box.at("file").read_bytes() == b"before"
    assert leftovers(box.target) == []


@pytest.mark.parametrize("data", [b"", b"123", b"12345678901"])
def test_content_of_another_length_than_the_entry_says_is_an_error(box, data):
    checkout = box.checkout()
    writer = checkout.open_file(parts_of("file"), a_file(10))
    writer.write(data)
    with pytest.raises(CheckoutError, match=r"file: it has \d+ bytes of content instead of 10"):
        writer.done()
    writer.abort()
    checkout.finish()
    assert os.listdir(box.target) == []


def test_many_files_can_be_written_at_once(box):
    checkout = box.checkout()
    writers = [
        checkout.open_file(parts_of(f"folder {n}/file"), a_file(1)) for n in range(150)
    ]  # more than there are folders open
    for number, writer in enumerate(writers):
        writer.write(bytes([number]))
        writer.done()
    checkout.finish()
    for number in range(150):
        assert box.at(f"folder {number}/file").read_bytes() == bytes([number])


def test_a_hole_stays_a_hole(box):
    checkout = box.checkout()
    entry = a_file(1 << 40, content=SOME_IDS, extents=((BLOCK, 5), (1 << 30, 7)))
    writer = checkout.open_file(parts_of("sparse"), entry)
    for byte in b"hello, world":
        writer.write(bytes([byte]))
    writer.done()
    checkout.finish()
    there = box.at("sparse").stat()
    assert there.st_size == 1 << 40
    assert there.st_blocks * 512 < 1 << 20
    with box.at("sparse").open("rb") as file:
        assert os.pread(file.fileno(), 7, BLOCK - 1) == b"\0hello\0"
        assert os.pread(file.fileno(), 9, (1 << 30) - 1) == b"\0, world\0"


def test_a_file_that_is_one_hole_comes_back_as_one(box):
    restore_hole = box.checkout()
    restore_hole.open_file(parts_of("hole"), a_file(1 << 40, content=a_file(0).content)).done()
    restore_hole.finish()
    there = box.at("hole").stat()
    assert (there.st_size, there.st_blocks) == (1 << 40, 0)


@pytest.mark.parametrize("data", [b"12", b"1234"])
def test_content_that_does_not_fit_the_extents_is_an_error(box, data):
    checkout = box.checkout()
    entry = a_file(100, content=SOME_IDS, extents=((10, 1), (20, 2)))
    writer = checkout.open_file(parts_of("sparse"), entry)

    def fill() -> None:
        writer.write(data)
        writer.done()

    with pytest.raises(CheckoutError, match="content"):
        fill()
    writer.abort()
    checkout.finish()
    assert os.listdir(box.target) == []


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_sparse_file_is_its_extents_and_zeros_however_its_content_comes(tmp_path_factory, data):
    lengths = data.draw(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), min_size=1))
    extents, end = [], 0
    for gap, length in lengths:
        extents.append((end + gap, length))
        end += gap + length
    size = end + data.draw(st.integers(0, 50))
    whole = bytearray(size)
    content = b""
    for offset, length in extents:
        piece = os.urandom(length)
        whole[offset : offset + length] = piece
        content += piece
    box = Sandbox(tmp_path_factory.mktemp("sparse"))
    checkout = box.checkout()
    entry = a_file(size, content=SOME_IDS, extents=tuple(extents))
    writer = checkout.open_file(parts_of("file"), entry)
    while content:
        step = data.draw(st.integers(1, 60))
        writer.write(content[:step])
        content = content[step:]
    writer.done()
    checkout.finish()
    assert box.at("file").read_bytes() == whole


# --- metadata ---------------------------------------------------------------------------------


def test_attributes_are_set(box):
    xattrs = ((b"user.\xff", b"odd"), (b"user.colour", b"green\0\xff"), (b"user.empty", b""))
    restore(box, "file", b"x", xattrs=xattrs, mode=0o400)
    back = {os.fsencode(n): os.getxattr(box.at("file"), n) for n in os.listxattr(box.at("file"))}
    assert back == dict(xattrs)


def test_an_attribute_that_cannot_be_set_is_told_and_the_file_is_there(box):
    checkout = restore(box, "file", b"x", xattrs=((b"strange.\xff", b"1"), (b"user.ok", b"2")))
    assert box.at("file").read_bytes() == b"x"
    assert os.getxattr(box.at("file"), "user.ok") == b"2"
    ((path, text),) = checkout.notes
    assert path == os.fsencode(box.at("file"))
    assert text.startswith("its attribute strange.\\xff was not set: ")


@only_root
def test_the_right_to_do_what_root_may_survives_the_change_of_owner(box):
    # The system takes file capabilities away from a file that gets another owner.
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    xattrs = ((b"security.capability", capability),)
    checkout = restore(box, "ping", b"x", xattrs=xattrs, uid=1234, gid=1234)
    assert checkout.notes == []
    assert os.getxattr(box.at("ping"), "security.capability") == capability


@only_root
def test_root_gives_files_folders_and_links_their_owners(box):
    checkout = box.checkout()
    checkout.make_directory(parts_of("folder"), a_folder(uid=1001, gid=1002))
    write_file(checkout, "folder/tool", b"x", uid=1003, gid=1004, mode=0o6755)
    checkout.make_symlink(parts_of("link"), a_link(b"folder", uid=1005, gid=1006))
    checkout.finish()

    def owner(path: str) -> tuple[int, int]:
        there = box.at(path).lstat()
        return there.st_uid, there.st_gid

    assert owner("folder") == (1001, 1002)
    assert owner("folder/tool") == (1003, 1004)
    assert stat.S_IMODE(box.at("folder/tool").stat().st_mode) == 0o6755
    if box.by_descriptor:
        assert owner("link") == (1005, 1006)


@only_root
def test_a_program_never_runs_as_someone_else_than_it_did(box):
    checkout = box.checkout(chown=False)
    write_file(checkout, "theirs", b"x", uid=1003, gid=1004, mode=0o6755)
    write_file(checkout, "mine", b"x", uid=0, gid=0, mode=0o6755)
    write_file(checkout, "our group's", b"x", uid=1003, gid=0, mode=0o6755)
    checkout.finish()
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in box.target.iterdir()}
    assert modes == {"theirs": 0o755, "mine": 0o6755, "our group's": 0o2755}


@only_root
@pytest.mark.parametrize(("uid", "gid"), [(UINT32_MAX, 5), (5, UINT32_MAX)])
def test_an_owner_that_the_system_cannot_set_makes_no_program_run_as_root(box, uid, gid):
    checkout = restore(box, "tool", b"x", uid=uid, gid=gid, mode=0o6755)
    assert stat.S_IMODE(box.at("tool").stat().st_mode) == 0o755
    assert checkout.notes == [
        (os.fsencode(box.at("tool")), "its owner was not set: there is no such owner")
    ]


def test_a_stick_without_owners_modes_and_times_gets_its_files_all_the_same(box, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    for name in ("chown", "chmod", "utime", "setxattr"):
        monkeypatch.setattr(os, name, refuse)
    checkout = box.checkout(chown=True)
    write_file(checkout, "folder/file", b"content", uid=1, xattrs=((b"user.a", b"1"),))
    checkout.make_directory(parts_of("folder"), a_folder(uid=1))
    checkout.finish()
    monkeypatch.undo()
    assert box.at("folder/file").read_bytes() == b"content"
    assert [text.partition(" was")[0] for _, text in checkout.notes] == [
        "its owner",
        "its attribute user.a",
        "its mode",
        "its time",
        "its owner",
        "its mode",
        "its time",
    ]


def test_a_million_remarks_do_not_fill_the_memory(box, monkeypatch):
    monkeypatch.setattr(writing, "NOTES_MAX", 3)
    checkout = box.checkout()
    for number in range(10):
        write_file(checkout, f"file {number}", b"x", xattrs=((b"strange.a", b"1"),))
    checkout.finish()
    assert len(checkout.notes) == 4
    assert checkout.notes[-1] == (
        os.fsencode(box.target),
        "and 7 more remarks on other files",
    )


def test_errors_can_be_written_down_whatever_the_name_is(box):
    checkout = box.checkout()
    write_file(checkout, b"\xff/file", b"x")
    with pytest.raises(CheckoutError, match=r"\\xff: directory not empty") as caught:
        write_file(checkout, b"\xff", b"x")
    str(caught.value).encode()
    assert caught.value.path == os.fsencode(box.target) + b"/\xff"
    checkout.finish()


# --- folders ----------------------------------------------------------------------------------


def test_folders_get_their_mode_and_time_when_all_is_in_them(box):
    checkout = box.checkout()
    for number, path in enumerate(("a", "a/b", "a/b/c", "empty")):
        entry = a_folder(mode=0o500 + number, mtime_ns=NOON_NS + number)
        checkout.make_directory(parts_of(path), entry)
    write_file(checkout, "a/b/c/file", b"x")
    write_file(checkout, "a/file", b"x")
    checkout.finish()
    for number, path in enumerate(("a", "a/b", "a/b/c", "empty")):
        there = box.at(path).stat()
        assert (stat.S_IMODE(there.st_mode), there.st_mtime_ns) == (
            0o500 + number,
            NOON_NS + number,
        )


def test_folders_that_are_only_on_the_way_can_be_entered_by_others(box):
    checkout = box.checkout()
    write_file(checkout, "on/the/way/file", b"x")
    assert stat.S_IMODE(box.at("on").stat().st_mode) == 0o700
    checkout.finish()
    for path in ("on", "on/the", "on/the/way"):
        assert stat.S_IMODE(box.at(path).stat().st_mode) == 0o755


def test_the_target_keeps_its_own_mode_and_time(box):
    box.target.mkdir(mode=0o700)
    os.utime(box.target, ns=(5, 5))
    checkout = box.checkout()
    checkout.make_directory((), a_folder(mode=0o777))
    checkout.finish()
    assert stat.S_IMODE(box.target.stat().st_mode) == 0o700
    assert box.target.stat().st_mtime_ns == 5


def test_a_tree_without_write_permission_can_be_restored_and_restored_again():
    with folder_of_somebody() as home, somebody():
        box = Sandbox(home)
        for round_ in (b"first", b"second"):
            checkout = box.checkout()
            checkout.make_directory(parts_of("a"), a_folder(mode=0o555))
            checkout.make_directory(parts_of("a/b"), a_folder(mode=0o500))
            write_file(checkout, "a/b/file", round_, mode=0o400)
            checkout.finish()
            assert checkout.notes == []
            assert box.at("a/b/file").read_bytes() == round_
            assert stat.S_IMODE(box.at("a").stat().st_mode) == 0o555
            assert stat.S_IMODE(box.at("a/b").stat().st_mode) == 0o500
        box.check_nothing_is_open()
        for path in ("a", "a/b"):
            box.at(path).chmod(0o700)


def test_a_folder_that_was_opened_up_only_to_write_in_it_is_closed_again():
    with folder_of_somebody() as home, somebody():
        box = Sandbox(home)
        box.at("mine").mkdir(parents=True)
        box.at("mine").chmod(0o500)
        checkout = box.checkout()
        write_file(checkout, "mine/file", b"x")
        checkout.finish()
        assert stat.S_IMODE(box.at("mine").stat().st_mode) == 0o500
        box.at("mine").chmod(0o700)


def test_a_folder_of_somebody_else_is_an_error_that_names_it():
    if os.geteuid() != 0:
        pytest.skip("needs two users")
    with folder_of_somebody() as home:
        box = Sandbox(home)
        box.at("root's").mkdir(parents=True)
        with somebody():
            checkout = box.checkout()
            with pytest.raises(CheckoutError, match="root's/file: permission denied"):
                write_file(checkout, "root's/file", b"x")
            checkout.finish()
        assert box.at("root's").stat().st_uid == 0


@only_root
def test_somebody_else_gets_the_groups_that_he_is_in():
    with folder_of_somebody() as home:
        box = Sandbox(home)
        groups = os.getgroups()
        os.setgroups([NOBODY, 4321])
        try:
            with somebody():
                checkout = restore(box, "file", b"x", uid=1, gid=4321, mode=0o2755)
        finally:
            os.setgroups(groups)
        there = box.at("file").stat()
        assert (there.st_uid, there.st_gid) == (NOBODY, 4321)
        assert stat.S_IMODE(there.st_mode) == 0o2755
        assert checkout.notes == []


@pytest.mark.slow
def test_a_tree_that_is_thousands_of_folders_deep_comes_back(tmp_path):
    box = Sandbox(tmp_path)
    checkout = box.checkout()
    path: tuple[bytes, ...] = ()
    for number in range(2500):
        path = (*path, b"d")
        checkout.make_directory(path, a_folder(mode=0o700, mtime_ns=NOON_NS + number))
    write_file(checkout, b"/".join((*path, b"file")), b"deep")
    checkout.finish()
    assert checkout.notes == []
    box.check_nothing_is_open()
    fd = os.open(box.target, os.O_RDONLY)
    for number in range(2500):
        step = os.open(b"d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = step
        assert os.fstat(fd).st_mtime_ns == NOON_NS + number
    assert os.stat("file", dir_fd=fd).st_size == 4
    os.close(fd)
    subprocess.run(["rm", "-r", box.target], check=True)  # shutil cannot


# --- links ------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [b"file", b"/etc", b"..", b"\xff\n", b"t" * 4000])
def test_a_symbolic_link_points_where_it_did(box, target):
    checkout = box.checkout()
    checkout.make_symlink(parts_of("folder/link"), a_link(target))
    checkout.finish()
    link = os.fsencode(box.at("folder/link"))
    assert os.readlink(link) == target
    if box.by_descriptor:
        assert os.lstat(link).st_mtime_ns == NOON_NS
    assert os.listdir(box.at("folder")) == ["link"]


@pytest.mark.parametrize("target", [b"", b"a\0b"])
def test_a_symbolic_link_to_what_has_no_name_is_an_error(box, target):
    checkout = box.checkout()
    with pytest.raises(CheckoutError, match="points to nothing"):
        checkout.make_symlink(parts_of("link"), a_link(target))
    checkout.finish()


@only_root
def test_a_symbolic_links_own_attributes_are_set(box):
    checkout = box.checkout()
    checkout.make_symlink(parts_of("link"), a_link(b"x", xattrs=((b"trusted.a", b"1"),)))
    checkout.finish()
    if box.by_descriptor:
        assert os.getxattr(box.at("link"), "trusted.a", follow_symlinks=False) == b"1"


def test_hard_links_are_one_file_again(box):
    checkout = box.checkout()
    write_file(checkout, "a/first", b"content", link_group=7)
    checkout.make_hardlink(parts_of("b/second"), parts_of("a/first"), a_file(7, link_group=7))
    checkout.make_hardlink(parts_of("a/third"), parts_of("a/first"), a_file(7, link_group=7))
    checkout.finish()
    inodes = {box.at(path).stat().st_ino for path in ("a/first", "b/second", "a/third")}
    assert len(inodes) == 1
    assert box.at("a/first").stat().st_nlink == 3
    assert leftovers(box.target) == []


def test_restoring_hard_links_a_second_time_is_the_same(box):
    for _ in range(2):
        checkout = box.checkout()
        write_file(checkout, "first", b"content", link_group=7)
        checkout.make_hardlink(parts_of("second"), parts_of("first"), a_file(7, link_group=7))
        checkout.make_hardlink(parts_of("second"), parts_of("first"), a_file(7, link_group=7))
        checkout.finish()
    assert box.at("first").stat().st_nlink == 2
    assert sorted(os.listdir(box.target)) == ["first", "second"]


def test_only_a_file_that_this_checkout_wrote_gets_other_names(box):
    box.target.mkdir()
    box.at("first").write_bytes(b"something else")
    checkout = box.checkout(overwrite="never")
    assert not write_file(checkout, "first", b"content", link_group=7)
    with pytest.raises(FirstNameMissing):
        checkout.make_hardlink(parts_of("second"), parts_of("first"), a_file(7, link_group=7))
    checkout.finish()
    assert os.listdir(box.target) == ["first"]


@pytest.mark.parametrize("how", ["gone", "replaced", "a folder"])
def test_a_file_that_is_not_there_any_more_gets_no_other_names(box, how):
    checkout = box.checkout()
    write_file(checkout, "first", b"content", link_group=7)
    box.at("first").unlink()
    if how == "replaced":
        box.at("first").write_bytes(b"other")
    if how == "a folder":
        box.at("first").mkdir()
    with pytest.raises(CheckoutError):
        checkout.make_hardlink(parts_of("second"), parts_of("first"), a_file(7, link_group=7))
    checkout.finish()
    assert not box.at("second").exists()
    assert leftovers(box.target) == []


# --- what is there already --------------------------------------------------------------------


@pytest.mark.parametrize("there_ns", [NOON_NS - 1, NOON_NS, NOON_NS + 1])
@pytest.mark.parametrize("overwrite", ["never", "older", "always"])
def test_what_is_there_is_replaced_as_it_was_asked_for(box, overwrite, there_ns):
    for path in ("file", "folder/link target"):
        box.at(path).parent.mkdir(parents=True, exist_ok=True)
        box.at(path).write_bytes(b"there")
        os.utime(box.at(path), ns=(there_ns, there_ns))
    box.at("link").symlink_to("there")
    os.utime(box.at("link"), ns=(there_ns, there_ns), follow_symlinks=False)
    os.utime(box.at("folder"), ns=(there_ns, there_ns))
    box.at("folder").chmod(0o711)
    checkout = box.checkout(overwrite=overwrite)
    checkout.make_directory(parts_of("folder"), a_folder(mode=0o750))
    written = write_file(checkout, "file", b"restored")
    checkout.make_symlink(parts_of("link"), a_link(b"restored"))
    checkout.finish()
    replaced = overwrite == "always" or (overwrite == "older" and there_ns < NOON_NS)
    assert written == replaced
    assert box.at("file").read_bytes() == (b"restored" if replaced else b"there")
    assert os.readlink(box.at("link")) == ("restored" if replaced else "there")
    assert stat.S_IMODE(box.at("folder").stat().st_mode) == (0o750 if replaced else 0o711)
    assert box.at("folder").stat().st_mtime_ns == (NOON_NS if replaced else there_ns)


def test_a_file_takes_the_place_of_a_link_and_not_of_what_it_points_to(box):
    box.target.mkdir()
    box.at("target of the link").write_bytes(b"precious")
    box.at("file").symlink_to("target of the link")
    restore(box, "file", b"restored")
    assert box.at("target of the link").read_bytes() == b"precious"
    assert not box.at("file").is_symlink()


def test_a_file_with_other_names_is_replaced_and_not_written_over(box):
    box.target.mkdir()
    box.at("file").write_bytes(b"precious")
    os.link(box.at("file"), box.at("other name"))
    restore(box, "file", b"restored")
    assert box.at("other name").read_bytes() == b"precious"


def test_an_empty_folder_gives_way_to_a_file_and_a_full_one_does_not(box):
    for path in ("empty", "full"):
        box.at(path).mkdir(parents=True)
    box.at("full/precious").write_bytes(b"x")
    checkout = box.checkout()
    assert write_file(checkout, "empty", b"restored")
    with pytest.raises(CheckoutError, match="full: directory not empty"):
        write_file(checkout, "full", b"restored")
    checkout.make_symlink(parts_of("empty"), a_link(b"x"))
    with pytest.raises(CheckoutError, match="full: directory not empty"):
        checkout.make_symlink(parts_of("full"), a_link(b"x"))
    checkout.finish()
    assert box.at("empty").is_symlink()
    assert box.at("full/precious").read_bytes() == b"x"
    assert sorted(os.listdir(box.target)) == ["empty", "full"]


def test_a_folder_takes_the_place_of_a_file_only_when_all_may_be_overwritten(box):
    box.target.mkdir()
    for overwrite in ("never", "older", "always"):
        box.at("x").write_bytes(b"x")
        checkout = box.checkout(overwrite=overwrite)
        if overwrite == "always":
            checkout.make_directory(parts_of("x"), a_folder())
        else:
            with pytest.raises(CheckoutError, match="x: not a directory"):
                checkout.make_directory(parts_of("x"), a_folder())
        checkout.finish()
        assert box.at("x").is_dir() == (overwrite == "always")


def test_names_of_unfinished_files_that_are_taken_are_left_alone(box):
    box.target.mkdir()
    taken = [box.at(f".covey-{os.getpid()}-{n}.part") for n in range(1, 6)]
    for path in taken:
        path.write_bytes(b"taken")
    checkout = box.checkout()
    write_file(checkout, "file", b"x", link_group=1)
    checkout.make_symlink(parts_of("link"), a_link(b"x"))
    checkout.make_hardlink(parts_of("other"), parts_of("file"), a_file(1))
    checkout.finish()
    assert all(path.read_bytes() == b"taken" for path in taken)
    assert len(os.listdir(box.target)) == 5 + 3


# --- what cannot be ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"/no such folder", b"a\0b"])
def test_names_that_are_none_are_refused_everywhere(box, name):
    checkout = box.checkout()
    good, link = a_folder(), a_link(b"x")
    for parts in ((name,), (name, b"x"), (b"x", name), (b"x", name, b"y")):
        for call in (
            lambda p=parts: checkout.make_directory(p, good),
            lambda p=parts: checkout.open_file(p, a_file(0)),
            lambda p=parts: checkout.make_symlink(p, link),
            lambda p=parts: checkout.make_hardlink(p, (b"first",), a_file(0)),
            lambda p=parts: checkout.make_hardlink((b"second",), p, a_file(0)),
        ):
            with pytest.raises((UnsafeName, FirstNameMissing)):
                call()
    for call in (
        lambda: checkout.open_file((), a_file(0)),
        lambda: checkout.make_symlink((), link),
        lambda: checkout.make_hardlink((), (b"x",), a_file(0)),
        lambda: checkout.make_hardlink((b"x",), (), a_file(0)),
    ):
        with pytest.raises(UnsafeName):
            call()
    checkout.finish()
    assert set(os.listdir(box.target)) <= {"x"}


def test_a_target_that_is_no_folder_is_an_error(box):
    box.target.write_bytes(b"x")
    with pytest.raises(CheckoutError, match="target: file exists"):
        box.checkout()


def test_a_target_deep_down_is_made(tmp_path):
    box = Sandbox(tmp_path / "not" / "yet" / "there")
    restore(box, "file", b"x")
    assert box.at("file").read_bytes() == b"x"


def test_a_name_that_is_too_long_is_an_error_of_that_entry(box):
    checkout = box.checkout()
    with pytest.raises(CheckoutError, match="name too long"):
        checkout.make_directory((b"n" * 300,), a_folder())
    writer = checkout.open_file((b"n" * 300,), a_file(0))
    with pytest.raises(CheckoutError, match="name too long"):
        writer.done()
    writer.abort()
    checkout.finish()
    assert os.listdir(box.target) == []


def test_a_full_disk_is_an_error_of_that_file_and_leaves_nothing_of_it(box, monkeypatch):
    def full(fd, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    checkout = box.checkout()
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(CheckoutError, match="file: no space left on device"):
        write_file(checkout, "file", b"x")
    monkeypatch.undo()
    write_file(checkout, "next", b"y")
    checkout.finish()
    assert os.listdir(box.target) == ["next"]


def test_a_checkout_that_is_left_closes_what_it_opened(box):
    with box.checkout() as checkout:
        write_file(checkout, "a/b/file", b"x")
    checkout.close()
    box.check_nothing_is_open()


def test_a_folder_that_vanished_costs_no_more_than_a_remark(box):
    checkout = box.checkout()
    for number in range(100):
        checkout.make_directory(parts_of(f"{number}"), a_folder(mode=0o711))
    box.at("0").rmdir()
    checkout.finish()
    assert checkout.notes == [
        (
            os.fsencode(box.at("0")),
            "its mode and time were not set: no such file or directory",
        )
    ]
    assert not box.at("0").exists()
    assert stat.S_IMODE(box.at("99").stat().st_mode) == 0o711


def test_the_target_may_be_reached_by_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "target").symlink_to("real")
    restore(Sandbox(tmp_path), "file", b"x")
    assert Path(tmp_path / "real" / "file").read_bytes() == b"x"
