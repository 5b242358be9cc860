from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunking import formats, tree
from chunking.formats import ChunkId, FormatError, UnknownVersion
from chunking.tree import Content, Entry, Note, Root, Snapshot

ID = b"i" * 32
REPLACE = msgspec.structs.replace


def a_file(name: bytes = b"file", **changes: object) -> Entry:
    entry = Entry(name, tree.KIND_FILE, 0o644, 1000, 1000, 17, 100, Content(0, ID))
    return REPLACE(entry, **changes)


def a_directory(name: bytes = b"dir", **changes: object) -> Entry:
    entry = Entry(name, tree.KIND_DIR, 0o755, 0, 0, 17, 4096, Content(0, ID))
    return REPLACE(entry, **changes)


def a_symlink(name: bytes = b"link", target: bytes = b"../x", **changes: object) -> Entry:
    entry = Entry(name, tree.KIND_SYMLINK, 0o777, 0, 0, 17, len(target), target=target)
    return REPLACE(entry, **changes)


names = st.binary(min_size=1, max_size=30).filter(
    lambda name: name not in (b".", b"..") and b"/" not in name and b"\x00" not in name
)
small = st.integers(0, formats.UINT32_MAX)
ids = st.integers(0, 5).map(lambda count: random.Random(count).randbytes(32 * count))
xattrs = st.dictionaries(names, st.binary(max_size=20), max_size=3).map(
    lambda found: tuple(found.items())
)
entries = st.one_of(
    st.builds(
        a_file,
        names,
        mode=st.integers(0, 0o7777),
        uid=small,
        gid=small,
        mtime_ns=st.integers(-formats.INT64_MAX, formats.INT64_MAX),
        size=st.integers(0, formats.INT64_MAX),
        content=ids.map(lambda joined: Content(0, joined)),
        xattrs=xattrs,
        link_group=small,
    ),
    st.builds(a_directory, names, xattrs=xattrs),
    st.builds(a_symlink, names, st.binary(min_size=1, max_size=50).filter(lambda t: 0 not in t)),
)
directories = st.lists(entries, max_size=12, unique_by=lambda entry: entry.name)


@given(directories, st.randoms(use_true_random=False))
def test_a_directory_comes_back_and_order_does_not_matter(listing, shuffler):
    data = tree.encode_directory(listing)
    expected = tuple(
        REPLACE(entry, xattrs=tuple(sorted(entry.xattrs)))
        for entry in sorted(listing, key=lambda entry: entry.name)
    )
    assert tree.decode_directory(data) == expected
    shuffler.shuffle(listing)
    assert tree.encode_directory(listing) == data


def test_an_empty_directory_has_a_listing():
    assert tree.decode_directory(tree.encode_directory([])) == ()


UNSAFE_NAMES = [b"", b".", b"..", b"a/b", b"/etc", b"../x", b"a\x00b", b"n" * 1025]


@pytest.mark.parametrize("name", UNSAFE_NAMES)
def test_a_name_that_could_lead_elsewhere_is_neither_written_nor_read(name):
    with pytest.raises(FormatError):
        tree.encode_directory([a_file(name)])
    with pytest.raises(FormatError):
        tree.decode_directory(forged([a_file(name)]))


def forged(listing: list[Entry]) -> bytes:
    """A listing as another program might write it: well encoded, unchecked."""
    return b"CVDR\x01" + msgspec.msgpack.encode(listing)


WRONG = [
    a_file(kind=0),
    a_file(kind=4),
    a_file(kind=-1),
    a_file(mode=-1),
    a_file(mode=0o100644),
    a_file(uid=-1),
    a_file(uid=2**32),
    a_file(gid=2**32),
    a_file(mtime_ns=2**63),
    a_file(size=-1),
    a_file(size=2**63),
    a_file(link_group=-1),
    a_file(target=b"x"),
    a_file(content=Content(0, b"short")),
    a_file(content=Content(0, ID * 257)),
    a_file(content=Content(4, ID)),
    a_file(content=Content(-1, ID)),
    a_file(content=Content(1, b"")),
    a_file(xattrs=((b"user.a", b""), (b"user.a", b""))),
    a_file(xattrs=((b"", b""),)),
    a_file(xattrs=((b"a\x00", b""),)),
    a_file(xattrs=((b"n" * 1025, b""),)),
    a_file(xattrs=((b"user.a", bytes(65_537)),)),
    a_file(xattrs=tuple((b"user.%d" % number, bytes(60_000)) for number in range(5))),
    a_file(extents=((0, 101),)),
    a_file(extents=((0, 0),)),
    a_file(extents=((0, 50), (49, 10))),
    a_file(extents=((50, 10), (0, 10))),
    a_file(extents=((-1, 10),)),
    a_file(extents=((0, -1),)),
    a_file(size=10**6, extents=tuple((at * 2, 1) for at in range(1025))),
    a_file(extents=((0, 10),), content=Content()),
    a_directory(target=b"x"),
    a_directory(link_group=1),
    a_directory(extents=((0, 10),)),
    a_symlink(target=b""),
    a_symlink(target=b"a\x00b"),
    a_symlink(target=b"x" * 65_537),
    a_symlink(content=Content(0, ID)),
]


@pytest.mark.parametrize("entry", WRONG, ids=range(len(WRONG)))
def test_an_impossible_entry_is_neither_written_nor_read(entry):
    with pytest.raises(FormatError):
        tree.encode_directory([entry])
    with pytest.raises(FormatError):
        tree.decode_directory(forged([entry]))
    snapshot = Snapshot(1, "me", (Root(b"/x", entry),), 0, 0)
    with pytest.raises(FormatError):
        tree.encode_snapshot(snapshot)
    with pytest.raises(FormatError):
        tree.decode_snapshot(b"CVSN\x01" + msgspec.msgpack.encode(snapshot))


def test_entries_at_their_limits_are_fine():
    listing = (
        a_file(b"a", size=1000, content=Content(3, ID * 256)),
        a_file(b"b", size=1000, content=Content()),  # one single hole
        a_file(b"c", size=0, content=Content()),
        a_file(b"d", extents=((0, 50), (50, 50))),
        a_file(b"e", mode=0o7777, mtime_ns=-formats.INT64_MAX, link_group=7),
        a_symlink(b"n" * 1024, b"x" * 65_536, link_group=1),
    )
    assert tree.decode_directory(tree.encode_directory(listing)) == listing


def test_an_unsorted_or_repeated_name_is_refused():
    for listing in ([a_file(b"b"), a_file(b"a")], [a_file(b"a"), a_file(b"a")]):
        with pytest.raises(FormatError, match="not sorted"):
            tree.decode_directory(forged(listing))
    with pytest.raises(FormatError, match="twice"):
        tree.encode_directory([a_file(b"a"), a_symlink(b"a")])


def test_unsorted_extended_attributes_are_refused_by_the_reader_and_sorted_by_the_writer():
    entry = a_file(xattrs=((b"user.b", b"2"), (b"user.a", b"1")))
    with pytest.raises(FormatError, match="extended attribute"):
        tree.decode_directory(forged([entry]))
    [read] = tree.decode_directory(tree.encode_directory([entry]))
    assert read.xattrs == ((b"user.a", b"1"), (b"user.b", b"2"))


@pytest.mark.parametrize(
    "body",
    [
        b"\xdc\x00\x00",  # a longer form of the empty array
        b"\x90\x00",  # something behind it
        b"\x91\x90",  # an entry without fields
        b"\xc0",
        b"",
        b"\xdd\xff\xff\xff\xff",  # four billion entries, it says
        b"\x91" * 5000,
    ],
)
def test_only_the_canonical_encoding_is_read(body):
    with pytest.raises(FormatError):
        tree.decode_directory(b"CVDR\x01" + body)


def test_left_out_and_additional_fields_are_refused():
    fields = list(msgspec.structs.astuple(a_file()))
    for wrong in (fields[:-1], fields[:8], [*fields, 0]):
        with pytest.raises(FormatError):
            tree.decode_directory(b"CVDR\x01" + msgspec.msgpack.encode([wrong]))
    assert tree.decode_directory(b"CVDR\x01" + msgspec.msgpack.encode([fields])) == (a_file(),)


def test_other_kinds_and_newer_versions_are_named():
    data = tree.encode_directory([a_file()])
    with pytest.raises(FormatError, match="not a snapshot"):
        tree.decode_snapshot(data)
    with pytest.raises(UnknownVersion, match="directory has version 2; this program knows 1"):
        tree.decode_directory(b"CVDR\x02" + data[5:])


# --- lists of chunks ---


def some_ids(count: int, seed: int = 1) -> list[ChunkId]:
    source = random.Random(seed)
    return [ChunkId(source.randbytes(32)) for _ in range(count)]


class Shelf:
    """Keeps list chunks by an id that is not their hash: enough to walk them."""

    def __init__(self) -> None:
        self.parts: dict[ChunkId, bytes] = {}
        self.levels: set[int] = set()

    def store(self, part: bytes, level: int) -> ChunkId:
        self.levels.add(level)
        chunk_id = ChunkId(len(self.parts).to_bytes(32, "big"))
        self.parts[chunk_id] = part
        return chunk_id


@pytest.mark.parametrize("count", [0, 1, 256, 257, 5000, 150_000])
def test_lists_of_any_length_come_back(count):
    wanted, shelf = some_ids(count), Shelf()
    content = tree.content_of(wanted, shelf.store)
    assert shelf.levels == set(range(1, content.level + 1))
    assert len(content.ids) <= formats.CONTENT_IDS_MAX * 32
    assert (content.level == 0) == (count <= formats.CONTENT_IDS_MAX)
    assert list(tree.ids_of(content, shelf.parts.__getitem__)) == wanted
    tree.encode_directory([a_file(content=content)])


def test_a_second_level_appears_when_one_is_not_enough():
    shelf = Shelf()
    wanted = [ChunkId(b"\x00" * 28 + number.to_bytes(4, "big")) for number in range(70_000)]
    content = tree.content_of(wanted, shelf.store)  # ids that ask for a cut everywhere
    assert content.level == 2
    assert list(tree.ids_of(content, shelf.parts.__getitem__)) == wanted


def test_a_list_without_any_cut_in_it_is_cut_at_its_limit():
    parts = tree.pack_ids([ChunkId(b"\xff" * 32)] * 20_000)
    assert [len(tree.unpack_ids(part)) for part in parts] == [8192, 8192, 3616]
    assert tree.pack_ids([]) == []


def test_an_insertion_changes_few_list_chunks():
    before = some_ids(30_000)
    after = [*before[:10_000], *some_ids(1, seed=2), *before[10_000:]]
    old, new = set(tree.pack_ids(before)), set(tree.pack_ids(after))
    assert len(old) > 15
    assert len(new - old) <= 2


@pytest.mark.parametrize("size", [0, 1, 31, 33, 32 * 8193])
def test_a_list_chunk_of_impossible_length_is_refused(size):
    with pytest.raises(FormatError, match="impossible length"):
        tree.unpack_ids(b"CVLS\x01" + bytes(size))


# --- snapshots ---

A_SNAPSHOT = Snapshot(
    time_ns=1,
    member="Zoë",
    roots=(Root(b"/", a_directory(b"")), Root(b"/home/x", a_directory(b"x"))),
    files=2,
    bytes=3,
    notes=(Note(b"/home/x/pipe", "fifo"),),
)


def test_a_snapshot_comes_back_with_its_roots_sorted():
    unsorted = REPLACE(A_SNAPSHOT, roots=A_SNAPSHOT.roots[::-1])
    data = tree.encode_snapshot(unsorted)
    assert data == tree.encode_snapshot(A_SNAPSHOT)
    assert tree.decode_snapshot(data) == A_SNAPSHOT


@pytest.mark.parametrize(
    "changes",
    [
        {"time_ns": -1},
        {"files": -1},
        {"bytes": 2**63},
        {"member": "x" * 257},
        {"roots": A_SNAPSHOT.roots * 2},
        {"roots": (Root(b"/x", a_directory(b"..")),)},
        {"roots": tuple(Root(b"/%06d" % at, a_directory(b"d")) for at in range(1025))},
        {"notes": (Note(b"/x", "y"),) * 1001},
        {"notes": (Note(b"/x", "y" * 257),)},
        {"notes": (Note(b"/" * 65_537, "y"),)},
    ],
    ids=range(10),
)
def test_an_impossible_snapshot_is_neither_written_nor_read(changes):
    snapshot = REPLACE(A_SNAPSHOT, **changes)
    with pytest.raises(FormatError):
        tree.encode_snapshot(snapshot)
    with pytest.raises(FormatError):
        tree.decode_snapshot(b"CVSN\x01" + msgspec.msgpack.encode(snapshot))


@pytest.mark.parametrize(
    "path",
    [b"", b"x", b"x/y", b"/x/", b"//x", b"/x/../y", b"/./x", b"/a\x00", b"/" + b"x" * 65_536],
)
def test_a_root_that_is_no_absolute_path_is_refused(path):
    with pytest.raises(FormatError, match="absolute path"):
        tree.encode_snapshot(REPLACE(A_SNAPSHOT, roots=(Root(path, a_directory()),)))


def test_a_name_that_is_no_text_cannot_be_written():
    with pytest.raises(FormatError, match="cannot be written"):
        tree.encode_snapshot(REPLACE(A_SNAPSHOT, member="\ud800"))


def test_a_snapshot_too_large_for_a_chunk_is_refused():
    wide = a_file(xattrs=tuple((b"user.%d" % number, bytes(60_000)) for number in range(4)))
    roots = tuple(Root(b"/%d" % number, wide) for number in range(20))
    with pytest.raises(FormatError, match="does not fit one chunk"):
        tree.encode_snapshot(REPLACE(A_SNAPSHOT, roots=roots))


def test_as_many_notes_as_fit_are_kept():
    many = [Note(b"/%d" % number, "unreadable") for number in range(5000)]
    assert tree.fit_notes(many) == tuple(many[:1000])
    long = [Note(b"/" + bytes(60_000), "unreadable")] * 100
    kept = tree.fit_notes(long)
    assert 0 < len(kept) < 20
    tree.encode_snapshot(REPLACE(A_SNAPSHOT, notes=kept))
    assert tree.fit_notes([Note(b"/x", "\ud800"), many[0]])[1] == many[0]
