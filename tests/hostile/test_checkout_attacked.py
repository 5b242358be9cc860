"""Hostile trees, restored into hostile folders: nothing outside of the target is touched.

A tree can come from a forged snapshot, and a target from somebody who knew that a restore was
coming. Beside the target lies a canary: whatever is restored, it stays as it is, to its times.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chunking.formats import Content, Entry
from peer.files.checkout import Checkout, CheckoutError, Parts, UnsafeName
from tests.support.trees import Sandbox, a_file, a_folder, a_link, parts_of, write_file

CANARY = b"/the path of the canary"
"""Stands for that; a name that a broken checkout would take for an absolute path."""
BAD_NAMES = (b"..", b".", b"", CANARY, b"a/b", b"../canary", b"a\0", b"..\0")
NAMES = st.sampled_from(
    (b"a", b"a", b"b", b"b", b"c", b"canary", b".covey-%d-2.part" % os.getpid())
)
PARTS = st.lists(st.one_of(NAMES, NAMES, NAMES, st.sampled_from(BAD_NAMES)), max_size=4).map(tuple)
MODES = st.sampled_from((0o777, 0o755, 0o6755, 0o400, 0, 0o1777))
OWNERS = st.sampled_from((0, 1000, 65534, 2**32 - 1))
TIMES = st.sampled_from((0, 1, 10**18, -(10**18), 2**63 - 1, -(2**63) + 1))
SIZES = st.sampled_from((0, 3, 3, 10, 2**40, 2**63 - 1))
KINDS = ("folder", "file", "symlink", "hard link")


class Yard(Sandbox):
    """A target with a canary beside it."""

    def __init__(self, root: Path, *, by_descriptor: bool = True) -> None:
        # Deep enough that a checkout that is broken does no harm to the rest of the computer.
        root = root / "1" / "2" / "3" / "4" / "5"
        super().__init__(root, by_descriptor=by_descriptor)
        self.root, self.canary = root, root / "canary"
        (self.canary / "folder").mkdir(parents=True)
        (self.canary / "folder" / "file").write_bytes(b"sings")
        (self.canary / "file").write_bytes(b"sings too")
        (self.canary / "linked").write_bytes(b"has a name in the target")
        (self.canary / "symlink").symlink_to("file")
        (self.canary / "empty").mkdir()
        self.target.mkdir()
        self.targets = [
            os.fsencode(text)
            for text in (
                self.canary,
                self.canary / "file",
                self.canary / "folder",
                self.canary / "new",
                self.root,
                "../canary",
                "../../canary",
                "..",
                ".",
                "a",
            )
        ]
        self.before = self._look()

    def _look(self) -> list[object]:
        """Everything about what is outside of the target, but for the names that it has in it."""
        seen: list[object] = [sorted(os.listdir(self.root))]
        for folder, folders, files in os.walk(self.canary):
            for name in sorted([".", *folders, *files]):
                path = Path(folder) / name
                there = path.lstat()
                seen.append((str(path), there.st_mode, there.st_uid, there.st_gid, there.st_size))
                seen.append((there.st_ino, there.st_mtime_ns))
                if name != "linked":
                    seen.append((there.st_ctime_ns, there.st_nlink))
                if path.is_file():
                    seen.append(path.read_bytes())
                    seen.append(os.listxattr(path))
        return seen

    def meant(self, names: Parts) -> Parts:
        """These names, with the canary's path where it is meant."""
        return tuple(os.fsencode(self.canary) if name == CANARY else name for name in names)

    def check(self) -> None:
        """Nothing outside of the target is other than it was, and nothing is left open."""
        assert self._look() == self.before
        self.check_nothing_is_open()


Act = Callable[[Checkout, Yard], None]


@st.composite
def entries(draw: st.DrawFn, kind: str) -> dict[str, object]:
    fields: dict[str, object] = {
        "mode": draw(MODES),
        "uid": draw(OWNERS),
        "gid": draw(OWNERS),
        "mtime_ns": draw(TIMES),
        "xattrs": draw(st.sampled_from(((), ((b"user.a", b"1"),), ((b"strange", b"1"),)))),
    }
    if kind in ("file", "hard link"):
        fields["size"] = draw(SIZES)
        fields["link_group"] = draw(st.integers(0, 2))
        fields["content"] = draw(st.sampled_from((Content(), Content(0, b"i" * 32))))
        fields["extents"] = draw(
            st.sampled_from(((), ((1, 2),), ((2**40, 3),), ((2**63 - 10, 3),), ((5, 1), (2, 2))))
        )
    return fields


@st.composite
def acts(draw: st.DrawFn) -> Act:
    """One call of a checkout, with an entry that no honest scan makes."""
    kind = draw(st.sampled_from(KINDS))
    names, first_names = draw(PARTS), draw(PARTS)
    fields = draw(entries(kind))
    target = draw(st.integers(0, 9))
    data = draw(st.sampled_from((b"", b"abc", b"0123456789")))
    ends = draw(st.booleans())
    between = draw(st.none() | acts()) if kind == "file" else None

    def act(checkout: Checkout, yard: Yard) -> None:
        parts, first = yard.meant(names), yard.meant(first_names)
        if kind == "folder":
            checkout.make_directory(parts, a_folder(**fields))
        elif kind == "symlink":
            checkout.make_symlink(parts, a_link(yard.targets[target], **fields))
        elif kind == "hard link":
            checkout.make_hardlink(parts, first, a_file(**fields))
        else:
            writer = checkout.open_file(parts, a_file(**fields))
            if writer is None:
                return
            try:
                writer.write(data)
                if between is not None:
                    with contextlib.suppress(CheckoutError, UnsafeName):
                        between(checkout, yard)
                if ends:
                    writer.done()
            finally:
                writer.abort()

    return act


@st.composite
def traps(draw: st.DrawFn) -> Callable[[Yard], None]:
    """Something that waits in the target."""
    name = draw(st.sampled_from(("a", "b", "a/a", "a/b", "b/c", "canary")))
    kind = draw(st.sampled_from(("symlink", "symlink", "hard link", "folder", "file", "fifo")))
    target = draw(st.integers(0, 9))

    def trap(yard: Yard) -> None:
        path = yard.at(name)
        if os.path.realpath(path.parent) != str(path.parent):
            return  # a trap must not itself go out
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "symlink":
            path.symlink_to(os.fsdecode(yard.targets[target]))
        elif kind == "hard link":
            os.link(yard.canary / "linked", path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "file":
            with path.open("xb") as file:  # never into a FIFO that waits there already
                file.write(b"there")
        else:
            os.mkfifo(path)

    return trap


def remove(root: Path) -> None:
    """Delete a yard, also the folders in it that deny their owner everything."""
    for folder, folders, _ in os.walk(root):
        for name in folders:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                os.chmod(path, 0o700)
    shutil.rmtree(root)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(traps(), max_size=4),
    st.lists(acts(), min_size=1, max_size=12),
    st.sampled_from(("never", "older", "always", "always")),
    st.booleans(),
)
def test_whatever_is_restored_wherever_nothing_outside_of_the_target_is_touched(
    tmp_path_factory, waiting, tree, overwrite, by_descriptor
):
    root = tmp_path_factory.mktemp("yard")
    yard = Yard(root, by_descriptor=by_descriptor)
    for trap in waiting:
        with contextlib.suppress(OSError):
            trap(yard)
    yard.before = yard._look()  # hard links have changed a count
    checkout = yard.checkout(overwrite=overwrite)
    for act in tree:
        with contextlib.suppress(CheckoutError, UnsafeName):
            act(checkout, yard)
    checkout.finish()
    yard.check()
    remove(root)


by_descriptor = pytest.mark.parametrize("yard", [True], indirect=True, ids=["by descriptor"])
"""Another program changes the target meanwhile; by paths, nothing helps against that."""


@pytest.fixture(params=[True, False], ids=["by descriptor", "by path"])
def yard(request, tmp_path):
    """A yard whose canary is looked at in the end."""
    made = Yard(tmp_path, by_descriptor=request.param)
    yield made
    made.check()


def test_a_link_followed_by_a_folder_of_the_same_name_is_not_gone_through(yard):
    checkout = yard.checkout()
    checkout.make_symlink(parts_of("x"), a_link(b"../canary"))
    checkout.make_directory(parts_of("x"), a_folder(mode=0o777))
    write_file(checkout, "x/file", b"dead")
    checkout.make_symlink(parts_of("x/new"), a_link(b"y"))
    checkout.finish()
    assert (yard.target / "x" / "file").read_bytes() == b"dead"
    assert not (yard.target / "x").is_symlink()


def test_a_folder_that_a_link_replaces_while_it_is_open_is_not_gone_through(yard):
    checkout = yard.checkout()
    checkout.make_directory(parts_of("x"), a_folder())
    checkout.make_symlink(parts_of("x"), a_link(b"../canary", mtime_ns=1))
    with contextlib.suppress(CheckoutError):
        write_file(checkout, "x/file", b"dead")
    checkout.finish()


@pytest.mark.parametrize("overwrite", ["never", "older", "always"])
@pytest.mark.parametrize("target", ["../canary", "{canary}", "../canary/folder", ".."])
def test_a_link_that_waits_in_the_target_is_not_gone_through(yard, overwrite, target):
    yard.at("x").symlink_to(target.format(canary=yard.canary))
    checkout = yard.checkout(overwrite=overwrite)
    for path in ("x/file", "x/folder/file"):
        with contextlib.suppress(CheckoutError):
            write_file(checkout, path, b"dead")
    with contextlib.suppress(CheckoutError):
        checkout.make_directory(parts_of("x"), a_folder(mode=0o777, uid=1000))
    checkout.finish()
    assert yard.at("x").is_symlink() == (overwrite != "always")


def test_a_link_that_waits_where_a_file_comes_is_replaced(yard):
    yard.at("x").symlink_to("../canary/file")
    yard.at("y").symlink_to("../canary/new")
    checkout = yard.checkout()
    for name in ("x", "y"):
        write_file(checkout, name, b"restored", mode=0o777, uid=1000)
    checkout.finish()
    assert yard.at("x").read_bytes() == yard.at("y").read_bytes() == b"restored"


@by_descriptor
def test_a_folder_that_becomes_a_link_before_its_mode_is_set_keeps_it_to_itself(yard):
    checkout = yard.checkout()
    for number in range(100):  # more than stay open
        checkout.make_directory(parts_of(f"x{number}"), a_folder(mode=0o777, uid=1000))
    for number in range(100):
        yard.at(f"x{number}").rmdir()
        yard.at(f"x{number}").symlink_to("../canary/folder")
    checkout.finish()
    assert all(yard.at(f"x{number}").is_symlink() for number in range(100))


@by_descriptor
def test_a_way_that_becomes_a_link_while_files_are_written_is_not_gone_through(yard):
    checkout = yard.checkout()
    for number in range(100):
        write_file(checkout, f"x{number}/a", b"x")
    for number in range(100):
        yard.at(f"x{number}").rename(yard.at(f"was {number}"))
        yard.at(f"x{number}").symlink_to("../canary")
    for number in range(100):
        with contextlib.suppress(CheckoutError):
            write_file(checkout, f"x{number}/file", b"dead")
    checkout.finish()


def test_a_hard_link_to_something_outside_is_neither_made_nor_written_through(yard):
    os.link(yard.canary / "linked", yard.at("x"))
    yard.before = yard._look()
    checkout = yard.checkout()
    with contextlib.suppress(CheckoutError):
        checkout.make_hardlink(parts_of("y"), parts_of("x"), a_file(3, link_group=1))
    assert (yard.canary / "linked").stat().st_nlink == 2
    write_file(checkout, "x", b"restored", mode=0o777, uid=1000, link_group=1)
    checkout.make_hardlink(parts_of("y"), parts_of("x"), a_file(8, link_group=1))
    checkout.finish()
    assert yard.at("y").read_bytes() == b"restored"


def test_a_hard_link_to_a_symbolic_link_does_not_reach_what_that_points_to(yard):
    checkout = yard.checkout()
    write_file(checkout, "x", b"abc", link_group=1)
    checkout.make_symlink(parts_of("x"), a_link(b"../canary/file"))
    with pytest.raises(CheckoutError):
        checkout.make_hardlink(parts_of("y"), parts_of("x"), a_file(3, link_group=1))
    checkout.finish()
    assert os.listdir(yard.target) == ["x"]


def test_a_file_that_takes_the_name_of_an_unfinished_one_gets_nobody_anything(yard):
    checkout = yard.checkout()
    writer = checkout.open_file(parts_of("x"), a_file(3, mode=0o777))
    (name,) = os.listdir(yard.target)
    checkout.make_symlink(parts_of(name), a_link(b"../canary/file"))
    writer.write(b"abc")
    with contextlib.suppress(CheckoutError):
        writer.done()
    writer.abort()
    checkout.finish()


def test_a_fifo_in_the_target_stops_nothing(yard):
    os.mkfifo(yard.at("x"))
    os.mkfifo(yard.at("y"))
    checkout = yard.checkout()
    write_file(checkout, "x", b"restored")
    checkout.make_directory(parts_of("y"), a_folder())
    checkout.finish()
    assert yard.at("x").read_bytes() == b"restored"


def test_sizes_and_times_beyond_all_bounds_are_errors_and_not_the_end(yard):
    checkout = yard.checkout()
    huge = 2**63 - 1
    for entry in (
        a_file(huge, content=Content()),
        a_file(huge, extents=((huge - 3, 3),)),
        Entry(b"x", 1, 0o644, 0, 0, 2**62, huge, Content(0, b"i" * 32), extents=((0, 3),)),
    ):
        writer = checkout.open_file(parts_of("x"), entry)
        with contextlib.suppress(CheckoutError):
            writer.write(b"abc")
            writer.done()
        writer.abort()
    for mtime_ns in (2**63 - 1, -(2**63) + 1):
        write_file(checkout, "y", b"abc", mtime_ns=mtime_ns)
        checkout.make_directory(parts_of("z"), a_folder(mtime_ns=mtime_ns))
    checkout.finish()
    assert yard.at("y").read_bytes() == b"abc"
