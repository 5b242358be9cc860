"""One small sample of every persisted format, made from fixed keys, nonces and values.

`make.py` writes them to files once; the tests compare what the code makes today with the files.
"""

from __future__ import annotations

import json
import random

import msgspec

from chunking import duty, index, keys, pack, root, seal, share, statement, tree
from chunking.formats import ChunkId, Dealing, PackId

MASTER = bytes(range(32))
KEYS = keys.MemberKeys.from_master(MASTER)
OWNER = bytes(range(32, 64))
NEEDED = 3
TOTAL = 6
WEEK_NS = 7 * 86_400 * 10**9
NIGHT_NS = 1_790_000_000_123_456_789


def nonce(number: int) -> bytes:
    """A nonce that no sample uses twice."""
    return number.to_bytes(24, "big")


def an_id(number: int) -> ChunkId:
    """An id that looks like a hash."""
    return ChunkId(random.Random(number).randbytes(32))


PLAIN_CHUNK = random.Random(1).randbytes(1000)  # random bytes do not compress
TEXT_CHUNK = b"The covey keeps its members warm at night. " * 40
CHUNKS = (b"", b"a small one", PLAIN_CHUNK, random.Random(2).randbytes(200_000))

FILE = tree.Entry(
    name=b"letter \xff\xfe.txt",
    kind=tree.KIND_FILE,
    mode=0o644,
    uid=1000,
    gid=1000,
    mtime_ns=NIGHT_NS - WEEK_NS,
    size=1000,
    content=tree.Content(0, an_id(10)),
)
ENTRIES = (
    tree.Entry(b"bin", tree.KIND_DIR, 0o755, 0, 0, -1, 4096, tree.Content(0, an_id(11))),
    FILE,
    tree.Entry(
        name=b"machine.img",
        kind=tree.KIND_FILE,
        mode=0o4600,
        uid=2**32 - 1,
        gid=0,
        mtime_ns=0,
        size=2**40,
        content=tree.Content(1, an_id(12) + an_id(13)),
        xattrs=((b"user.comment", b"\x00\x01"), (b"user.tag", b"For backup")),
        link_group=1,
        extents=((0, 65_536), (2**39, 1024**3)),
    ),
    tree.Entry(b"to", tree.KIND_SYMLINK, 0o777, 1000, 1000, NIGHT_NS, 9, target=b"../../etc"),
)
SNAPSHOT = tree.Snapshot(
    time_ns=NIGHT_NS,
    member="Zoë's laptop",
    roots=(tree.Root(b"/home/zoe", ENTRIES[0]), tree.Root(b"/srv/letter \xff\xfe.txt", FILE)),
    files=3,
    bytes=1_099_511_628_776,
    notes=(tree.Note(b"/home/zoe/pipe", "fifo"),),
)
LIST_IDS = tuple(an_id(number) for number in range(100, 400))


def a_pack() -> pack.Pack:
    """Four chunks in a pack."""
    writer = pack.PackWriter(8 * 1024 * 1024)
    sealer = seal.Sealer(KEYS)
    for number, chunk in enumerate(CHUNKS):
        chunk_id = sealer.chunk_id(chunk)
        writer.add(chunk_id, sealer.seal(chunk_id, chunk, nonce(20 + number)))
    return writer.finish(KEYS, nonce(30))


def shares_of(made: pack.Pack) -> list[share.Share]:
    """All shares of it."""
    return share.make_shares(made.data, made.id, owner=OWNER, needed=NEEDED, numbers=range(TOTAL))


def a_ref(number: int) -> index.PackRef:
    """A reference to a pack that is nowhere."""
    names = b"".join(an_id(number + offset) for offset in range(1, 7))
    return index.PackRef(PackId(an_id(number)), 3, 9_000_000, names)


INDEX_ENTRIES = tuple(
    sorted(
        (
            index.IndexEntry(
                a_ref(500),
                index.PACK_DATA,
                (index.PackEntry(an_id(501), 0, 100), index.PackEntry(an_id(502), 100, 4_194_345)),
            ),
            index.IndexEntry(a_ref(600), index.PACK_META, (index.PackEntry(an_id(601), 0, 41),)),
        ),
        key=lambda entry: entry.pack.pack,
    )
)
ROOT_RECORD = root.RootRecord(
    counter=41,
    time_ns=NIGHT_NS,
    snapshots=(root.SnapshotRef(an_id(700), NIGHT_NS, 3, 1_099_511_628_776, complete=True),),
    index_packs=(a_ref(800), a_ref(900)),
    marks=(b"/home/zoe", b"/srv/letter \xff\xfe.txt"),
    settings={"server": "https://covey.example", "keep_daily": 7, "ünï": -1},
)

STATEMENT = statement.Statement(
    identity_key=KEYS.identity_public_key,
    counter=7,
    time_ns=NIGHT_NS,
    offer_bytes=200 * 10**9,
    dealings=tuple(
        sorted(
            (
                Dealing(an_id(1100), 41 * 10**9, 0),
                Dealing(an_id(1101), 0, 2**40),
                Dealing(an_id(1102), 1, 70_000),
            ),
            key=lambda dealing: dealing.member,
        )
    ),
)

DUTY = duty.Duty(
    identity_key=KEYS.identity_public_key,
    counter=42,
    time_ns=NIGHT_NS,
    grace_days=14,
    deputies=(an_id(1200), an_id(1201)),
    packs=tuple(sorted((a_ref(500), a_ref(600)), key=lambda ref: ref.pack)),
)


def key_vectors() -> dict[str, str]:
    """Everything that is derived from a master key and from a group's name and password."""
    group = keys.derive_group(" The  Ｓｍｉｔｈｓ ", "correct horse")
    return {
        "identity_public_key": KEYS.identity_public_key.hex(),
        "identity_seed": KEYS.identity_seed.hex(),
        "chunk_id_key": KEYS.chunk_id_key.hex(),
        "content_key": KEYS.content_key.hex(),
        "root_key": KEYS.root_key.hex(),
        "group_name_id": group.name_id.hex(),
        "group_signing_seed": group.signing_seed.hex(),
        "group_box_key": group.box_key.hex(),
    }


def key_vectors_file() -> bytes:
    """`key_vectors` as it is kept."""
    return (json.dumps(key_vectors(), indent=2) + "\n").encode()


def sealed(chunk: bytes, number: int) -> bytes:
    """A chunk, sealed."""
    sealer = seal.Sealer(KEYS)
    return sealer.seal(sealer.chunk_id(chunk), chunk, nonce(number))


def index_version_1(entries: tuple[index.IndexEntry, ...]) -> bytes:
    """An index object as the first release wrote it."""
    return b"CVIX\x01" + msgspec.msgpack.encode(entries)


def binary_files() -> dict[str, bytes]:
    """Every golden file of bytes: its name, and what the code makes of it today."""
    made = a_pack()
    files = {
        "sealed_plain": sealed(PLAIN_CHUNK, 1),
        "sealed_zstd": sealed(TEXT_CHUNK, 2),
        "pack": made.data,
        "list": tree.pack_ids(LIST_IDS)[0],
        "directory": tree.encode_directory(ENTRIES),
        "snapshot": tree.encode_snapshot(SNAPSHOT),
        "index": index_version_1(INDEX_ENTRIES),
        "index_2": index.encode_index(INDEX_ENTRIES, [an_id(1000), an_id(1001)]),
        "root": root.seal_root(KEYS, ROOT_RECORD, nonce(3)),
        "statement": statement.sign_statement(
            KEYS,
            STATEMENT.counter,
            STATEMENT.time_ns,
            STATEMENT.offer_bytes,
            STATEMENT.dealings,
        ),
        "duty": duty.sign_duty(
            KEYS, DUTY.counter, DUTY.time_ns, DUTY.grace_days, DUTY.deputies, DUTY.packs
        ),
    }
    for number in (NEEDED - 1, TOTAL - 1):  # the padded slice, and a computed one
        one = shares_of(made)[number]
        files[f"share_{number}"] = one.header + one.payload
    return {f"{name}.bin": data for name, data in files.items()}
