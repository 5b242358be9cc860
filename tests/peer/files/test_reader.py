"""What is read is what is there, or it is said that it changed."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chunking.formats import (
    EXTENTS_MAX,
    KIND_DIR,
    KIND_FILE,
    KIND_OTHER,
    KIND_SYMLINK,
    XATTR_VALUE_BYTES_MAX,
)
from peer.files import reader
from peer.files.reader import ChangedWhileReading
from tests.support.other_user import folder_of_somebody, somebody

BLOCK = 64 * 1024
INT64_MAX = 2**63 - 1


def raw(path: Path) -> bytes:
    return os.fsencode(path)


def content(path: Path) -> tuple[tuple[tuple[int, int], ...], bytes]:
    with reader.open_content(raw(path), reader.stat_root(raw(path))) as opened:
        return opened.extents, b"".join(opened.blocks())


def assembled(path: Path) -> bytes:
    """A file as its extents and their bytes say it is."""
    extents, data = content(path)
    size = path.stat().st_size
    if not extents:
        return data or bytes(size)
    whole = bytearray(size)
    for offset, length in extents:
        whole[offset : offset + length] = data[:length]
        data = data[length:]
    assert not data
    return bytes(whole)


def deep_folder(below: Path, levels: int, name: bytes) -> tuple[bytes, int]:
    """A folder so many levels down: its path, and a descriptor of it."""
    fd = os.open(below, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=fd)
        step = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = step
    return raw(below) + (b"/" + name) * levels, fd


# --- directories ------------------------------------------------------------------------------


def test_a_listing_is_sorted_and_tells_every_kind(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "c").symlink_to("/nowhere")
    os.mkfifo(tmp_path / "d")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "e"))
    listing = reader.list_directory(raw(tmp_path))
    assert [(f.name, f.kind) for f in listing] == [
        (b"a", KIND_FILE),
        (b"b", KIND_DIR),
        (b"c", KIND_SYMLINK),
        (b"d", KIND_OTHER),
        (b"e", KIND_OTHER),
    ]
    there = (tmp_path / "a").stat()
    assert listing[0] == reader.stat_root(raw(tmp_path / "a"))
    assert (listing[0].size, listing[0].inode, listing[0].nlink) == (5, there.st_ino, 1)
    assert (listing[0].mtime_ns, listing[0].uid) == (there.st_mtime_ns, there.st_uid)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_is_no_file(tmp_path):
    os.mknod(tmp_path / "null", 0o600 | 0o020000, os.makedev(1, 3))
    assert reader.list_directory(raw(tmp_path))[0].kind == KIND_OTHER


@settings(max_examples=30)
@given(
    st.sets(
        st.binary(min_size=1, max_size=40).filter(
            lambda n: n not in (b".", b"..") and b"/" not in n and b"\0" not in n
        ),
        max_size=12,
    )
)
def test_names_are_whatever_bytes_they_are(tmp_path_factory, names):
    folder = raw(tmp_path_factory.mktemp("names"))
    for name in names:
        os.close(os.open(folder + b"/" + name, os.O_CREAT | os.O_WRONLY))
    assert [found.name for found in reader.list_directory(folder)] == sorted(names)


def test_what_vanishes_while_it_is_listed_is_left_out(tmp_path, monkeypatch):
    for name in ("stays", "vanishes"):
        (tmp_path / name).touch()
    real = os.scandir

    @contextmanager
    def vanishing(where):
        with real(where) as entries:
            found = list(entries)
            (tmp_path / "vanishes").unlink()
            yield iter(found)

    monkeypatch.setattr(os, "scandir", vanishing)
    assert [found.name for found in reader.list_directory(raw(tmp_path))] == [b"stays"]


class DeadMount:
    """An entry that cannot be looked at."""

    def __init__(self, name: str) -> None:
        self.name = name

    def stat(self, *, follow_symlinks):
        raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))


def with_dead_mounts(*names: str):
    """A `scandir` in which these are dead."""
    real = os.scandir

    @contextmanager
    def listed(where):
        with real(where) as entries:
            yield (DeadMount(e.name) if e.name in names else e for e in entries)

    return listed


def test_one_dead_mount_does_not_hide_its_neighbours(tmp_path, monkeypatch):
    for name in ("a", "mount", "z"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(os, "scandir", with_dead_mounts("mount"))
    kinds = {found.name: found.kind for found in reader.list_directory(raw(tmp_path))}
    assert kinds == {b"a": KIND_DIR, b"mount": KIND_OTHER, b"z": KIND_DIR}


def test_a_directory_of_which_nothing_can_be_looked_at_is_unreadable(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(os, "scandir", with_dead_mounts("a", "b"))
    with pytest.raises(OSError, match="not connected"):
        reader.list_directory(raw(tmp_path))


def test_a_folder_that_denies_reading_or_searching_is_an_error(tmp_path):
    with folder_of_somebody() as home, somebody():
        for name, mode in (("no reading", 0o300), ("no searching", 0o400)):
            folder = home / name
            folder.mkdir()
            (folder / "file").touch()
            folder.chmod(mode)
            with pytest.raises(PermissionError):
                reader.list_directory(raw(folder))
            folder.chmod(0o700)


def test_a_folder_that_became_a_link_is_not_followed(tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "file").touch()
    (tmp_path / "folder").symlink_to("secret")
    with pytest.raises(NotADirectoryError):
        reader.list_directory(raw(tmp_path / "folder"))


def test_times_that_no_format_can_hold_become_the_last_one_that_can(tmp_path):
    path = Path("/dev/shm" if os.path.isdir("/dev/shm") else tmp_path) / f"covey-{os.getpid()}"
    path.touch()
    try:
        os.utime(path, ns=(0, 2**70))
        if path.stat().st_mtime_ns <= INT64_MAX:
            pytest.skip("this file system has no such times")
        assert reader.stat_root(raw(path)).mtime_ns == INT64_MAX
        assert content(path) == ((), b"")
    finally:
        path.unlink()


def test_paths_longer_than_the_system_takes_are_listed_and_read(tmp_path):
    path, fd = deep_folder(tmp_path, 30, b"n" * 200)
    with os.fdopen(os.open(b"file", os.O_CREAT | os.O_RDWR, dir_fd=fd), "wb") as file:
        file.write(b"far below")
        os.setxattr(file.fileno(), b"user.depth", b"30")
    os.symlink(b"file", b"link", dir_fd=fd)
    os.close(fd)
    assert len(path) > 6000
    found = {item.name: item for item in reader.list_directory(path)}
    assert set(found) == {b"file", b"link"}
    assert reader.stat_root(path + b"/file") == found[b"file"]
    assert reader.details(path + b"/file", found[b"file"]).xattrs == ((b"user.depth", b"30"),)
    assert reader.details(path + b"/link", found[b"link"]).target == b"file"
    with reader.open_content(path + b"/file", found[b"file"]) as opened:
        assert b"".join(opened.blocks()) == b"far below"


@pytest.mark.slow
def test_thousands_of_levels_are_no_problem(tmp_path):
    (tmp_path / "deep").mkdir()
    path, fd = deep_folder(tmp_path / "deep", 3000, b"d")
    os.close(fd)
    assert reader.list_directory(path) == []
    assert reader.stat_root(path).kind == KIND_DIR
    subprocess.run(["rm", "-r", tmp_path / "deep"], check=True)  # shutil cannot


def test_a_name_that_is_too_long_to_be_one_is_an_error_of_the_path(tmp_path):
    with pytest.raises(OSError, match="too long"):
        reader.stat_root(raw(tmp_path) + b"/" + b"x" * 5000)


# --- attributes -------------------------------------------------------------------------------


def test_attributes_come_sorted_whatever_bytes_they_are(tmp_path):
    path = tmp_path / "file"
    path.touch()
    os.setxattr(path, b"user.\xff\xfe", b"odd")
    os.setxattr(path, b"user.a", b"\x00\xff" * 100)
    os.setxattr(path, b"user.empty", b"")
    details = reader.details(raw(path), reader.stat_root(raw(path)))
    assert details.xattrs == (
        (b"user.a", b"\x00\xff" * 100),
        (b"user.empty", b""),
        (b"user.\xff\xfe", b"odd"),
    )
    assert details.notes == ()


def test_attributes_that_are_too_large_are_told(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.touch()
    values = {f"user.{n}": bytes(60 * 1024) for n in range(6)}
    values["user.\udcff"] = bytes(XATTR_VALUE_BYTES_MAX + 1)
    monkeypatch.setattr(os, "listxattr", lambda *_, **__: list(values))
    monkeypatch.setattr(os, "getxattr", lambda _, name, **__: values[name])
    details = reader.details(raw(path), reader.stat_root(raw(path)))
    assert [name for name, _ in details.xattrs] == [b"user.%d" % n for n in range(4)]
    assert len(details.notes) == 3
    assert details.notes[-1] == "the attribute user.\\xff is too large and was left out"
    "".join(details.notes).encode()  # a note can always be written down


def test_attributes_that_may_not_be_read_are_told(tmp_path):
    with folder_of_somebody() as home, somebody():
        path = home / "file"
        path.touch()
        os.setxattr(path, b"user.x", b"1")
        path.chmod(0)
        details = reader.details(raw(path), reader.stat_root(raw(path)))
        assert details.xattrs == ()
        assert details.notes == ("the attribute user.x may not be read and was left out",)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sets them")
def test_a_links_own_attributes_are_read_not_its_targets(tmp_path):
    (tmp_path / "file").touch()
    os.setxattr(tmp_path / "file", b"user.of", b"the file")
    (tmp_path / "link").symlink_to("file")
    os.setxattr(tmp_path / "link", b"trusted.of", b"the link", follow_symlinks=False)
    details = reader.details(raw(tmp_path / "link"), reader.stat_root(raw(tmp_path / "link")))
    assert details == reader.Details(((b"trusted.of", b"the link"),), b"file")


# --- content ----------------------------------------------------------------------------------


def test_plain_files_have_no_extents(tmp_path):
    for size in (0, 1, 5000, BLOCK, 3 * BLOCK + 1):
        path = tmp_path / str(size)
        path.write_bytes(os.urandom(size))
        assert content(path) == ((), path.read_bytes())


def test_holes_are_found_and_not_read(tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.seek(1 << 30)
        file.write(b"x" * BLOCK)
        file.seek(3 << 30)
        file.write(b"y" * BLOCK)
        file.truncate(1 << 40)
    assert content(path) == (
        ((1 << 30, BLOCK), (3 << 30, BLOCK)),
        b"x" * BLOCK + b"y" * BLOCK,
    )


def test_a_file_that_is_one_hole_has_no_content(tmp_path):
    path = tmp_path / "hole"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    assert content(path) == ((), b"")


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 70_000)), max_size=8),
    st.integers(0, 70 * BLOCK),
)
def test_extents_and_bytes_together_are_the_file(tmp_path_factory, writes, size):
    path = tmp_path_factory.mktemp("sparse") / "file"
    with path.open("wb") as file:
        file.truncate(size)
        for block, length in writes:
            file.seek(block * BLOCK)
            file.write(os.urandom(length))
    assert assembled(path) == path.read_bytes()
    extents = content(path)[0]
    for (one, length), (two, _) in pairwise(extents):
        assert two - (one + length) >= BLOCK


@pytest.mark.slow
def test_a_file_with_too_many_holes_keeps_its_largest_ones(tmp_path):
    path = tmp_path / "comb"
    teeth = EXTENTS_MAX + 100
    with path.open("wb") as file:
        for number in range(teeth):
            file.seek(number * 3 * BLOCK)
            file.write(b"t" * 4096)
    assert len(content(path)[0]) == EXTENTS_MAX
    assert assembled(path) == path.read_bytes()


def test_reading_leaves_no_access_time(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    os.utime(path, ns=(10**18, 2 * 10**18))
    content(path)
    assert path.stat().st_atime_ns == 10**18


def test_another_users_file_is_read_all_the_same():
    with folder_of_somebody() as home:
        path = home / "file"
        path.write_bytes(b"shared")
        path.chmod(0o644)
        with somebody():
            assert content(path) == ((), b"shared")


def test_a_file_that_may_not_be_read_is_an_error():
    with folder_of_somebody() as home, somebody():
        path = home / "file"
        path.touch(mode=0)
        found = reader.stat_root(raw(path))
        with pytest.raises(PermissionError):
            reader.open_content(raw(path), found)


# --- change -----------------------------------------------------------------------------------


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def shrink(path: Path) -> None:
    os.truncate(path, 10)


def rewrite(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def rewrite_and_hide_it(path: Path) -> None:
    before = path.stat()
    path.write_bytes(bytes(before.st_size))
    while path.stat().st_ctime_ns == before.st_ctime_ns:  # a clock of the kernel, some ms coarse
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES = [grow, shrink, rewrite, rewrite_and_hide_it]


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_while_it_is_read_is_noticed(tmp_path, change):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(3 << 20))
    os.utime(path, ns=(1, 1))
    with reader.open_content(raw(path), reader.stat_root(raw(path))) as opened:
        blocks = opened.blocks()
        next(blocks)
        change(path)
        with pytest.raises(ChangedWhileReading):
            list(blocks)


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changed_since_it_was_found_is_noticed(tmp_path, change):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(100_000))
    os.utime(path, ns=(1, 1))
    found = reader.stat_root(raw(path))
    change(path)
    with pytest.raises(ChangedWhileReading):
        reader.open_content(raw(path), found)


def to_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def to_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def to_socket(path: Path) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))


@pytest.mark.parametrize("change", [to_link, to_fifo, to_folder, to_socket])
def test_something_else_in_a_files_place_is_neither_read_nor_waited_for(tmp_path, change):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    found = reader.stat_root(raw(path))
    change(path)
    with pytest.raises(ChangedWhileReading):
        reader.open_content(raw(path), found)


def test_a_sparse_file_that_shrinks_while_it_is_read_is_noticed(tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.seek(10 << 20)
        file.write(b"x" * (3 << 20))
    with reader.open_content(raw(path), reader.stat_root(raw(path))) as opened:
        blocks = opened.blocks()
        next(blocks)
        os.truncate(path, 1 << 20)
        with pytest.raises(ChangedWhileReading):
            list(blocks)


def test_nothing_is_left_open(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x")
    before = os.listdir("/proc/self/fd")
    found = reader.stat_root(raw(path))
    grow(path)
    for _ in range(3):
        content(path)
        reader.list_directory(raw(tmp_path))
        with pytest.raises(ChangedWhileReading):
            reader.open_content(raw(path), found)
    assert os.listdir("/proc/self/fd") == before
