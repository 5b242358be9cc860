"""How long a lost computer takes until it knows its backups again: `covey recover`, on loopback.

    python -m bench.rebuild [--chunks 1000000] [--in-pack 100] [--friends 5]

The friends are real members with their links over loopback. What they hold is made up: random chunk
ids in packs that nobody has the bytes of, but the index packs, their shares and the root record are
real ones, as nights would have left them. Measured is the whole command on an empty folder, with
joining and dialling, and how much memory it takes.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.group import LocalGroup, MemberProcess
from bench.memory import MemoryOf
from chunking.formats import (
    PACK_DATA,
    SHARE_HEADER_BYTES,
    ChunkId,
    IndexEntry,
    PackEntry,
    PackId,
    PackRef,
    SnapshotRef,
)
from chunking.index import encode_index_parts
from chunking.keys import MemberKeys
from chunking.pack import Pack, PackWriter, target_for
from chunking.root import RootRecord, seal_root
from chunking.seal import Sealer
from chunking.share import make_shares
from peer.catalog import Catalog
from peer.holding.layout import Layout
from peer.holding.store import ShareStore
from peer.words import master_of
from signaling.messages import MemberId, member_id_of

NEEDED = 2
CHUNK_BYTES = 1000
OWNER = "the owner"


class MadeUp:
    """A backup's index, and where its shares lie."""

    def __init__(self, keys: MemberKeys, folders: Sequence[Path], seed: int) -> None:
        self._keys, self._chance = keys, random.Random(seed)
        self._sealer = Sealer(keys)
        self._owner = member_id_of(keys.identity_public_key)
        self._layouts = [Layout(folder) for folder in folders]
        self._stores = [
            ShareStore(folder, limit_bytes=1 << 40, wall_s=lambda: 1.0, monotonic_s=lambda: 1.0)
            for folder in folders
        ]
        self.index_packs: list[PackRef] = []
        self.index_bytes = 0

    def make(self, chunks: int, in_pack: int) -> None:
        """Everything that the friends keep."""
        writer = PackWriter(target_for(NEEDED))
        for data in encode_index_parts(self._entries(chunks // in_pack, in_pack)):
            ident = self._sealer.chunk_id(data)
            writer.add(ident, self._sealer.seal(ident, data, self._chance.randbytes(24)))
            if writer.full:
                self._keep(writer.finish(self._keys, self._chance.randbytes(24)))
                writer = PackWriter(target_for(NEEDED))
        if len(writer):
            self._keep(writer.finish(self._keys, self._chance.randbytes(24)))
        snapshot = SnapshotRef(ChunkId(self._chance.randbytes(32)), 10**18, chunks, chunks, True)
        record = RootRecord(1, 10**18, (snapshot,), tuple(self.index_packs))
        sealed = seal_root(self._keys, record, self._chance.randbytes(24))
        for store in self._stores:
            store.put_root(self._owner, sealed)
            store.close()

    def _entries(self, packs: int, in_pack: int) -> Iterator[IndexEntry]:
        size = in_pack * CHUNK_BYTES
        for _ in range(packs):
            names = [self._chance.randbytes(32) for _ in self._layouts]
            for layout, name in zip(self._layouts, names, strict=True):
                path = layout.share(self._owner, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(bytes(SHARE_HEADER_BYTES + 1))
            ref = PackRef(PackId(self._chance.randbytes(32)), NEEDED, size, b"".join(names))
            ids = [ChunkId(self._chance.randbytes(32)) for _ in range(in_pack)]
            yield IndexEntry(
                ref,
                PACK_DATA,
                tuple(PackEntry(i, n * CHUNK_BYTES, CHUNK_BYTES) for n, i in enumerate(ids)),
            )

    def _keep(self, pack: Pack) -> None:
        self.index_bytes += len(pack.data)
        numbers = range(len(self._stores))
        shares = make_shares(
            pack.data, pack.id, owner=self._owner, needed=NEEDED, numbers=list(numbers)
        )
        for store, share in zip(self._stores, shares, strict=True):
            put = store.begin_put(
                MemberId(self._owner), share.name, share.header, len(share.payload)
            )
            store.append(put, share.payload)
            store.finish_put(put)
        names = b"".join(share.name for share in shares)
        self.index_packs.append(PackRef(pack.id, NEEDED, len(pack.data), names))


def measure(work: Path, chunks: int, in_pack: int, friends: int) -> list[str]:
    """Lines of a table."""
    with LocalGroup(work / "group") as group:
        owner, *others = (
            group.join(name, start=False)
            for name in (OWNER, *(f"friend {number}" for number in range(friends)))
        )
        keys = MemberKeys.from_master(master_of(group.words_file(OWNER).read_text()))
        backup = MadeUp(keys, [friend.home / "held" for friend in others], seed=chunks)
        backup.make(chunks, in_pack)
        for friend in others:
            friend.start()
        shutil.rmtree(owner.home)
        begun = time.perf_counter()
        with MemoryOf(os.getpid()) as memory:
            again = group.recover("again", OWNER, start=False)
        seconds = time.perf_counter() - begun
        space = _chunks_of(again)
    assert space == chunks // in_pack * in_pack, space
    return [
        f"| chunks, packs, shares of packs | {chunks:,}, {chunks // in_pack:,}, "
        f"{chunks // in_pack * friends:,} |",
        f"| index packs | {len(backup.index_packs)}, {backup.index_bytes / 1e6:,.0f} MB |",
        f"| `covey recover` | {seconds:.1f} s |",
        f"| memory of `covey recover` and the friends at most | {memory.most >> 20} MiB |",
        f"| of these | {memory.made_of} |",
    ]


def _chunks_of(member: MemberProcess) -> int:
    """The chunks of packs with data that its catalog knows."""
    catalog = Catalog(member.home / "catalog.sqlite")
    try:
        return sum(len(catalog.chunks_of(row.pack)) for row in catalog.packs(kind=PACK_DATA))
    finally:
        catalog.close()


def main() -> None:
    """See the head of this file."""
    parser = argparse.ArgumentParser(prog="python -m bench.rebuild")
    parser.add_argument("--chunks", type=int, default=1_000_000)
    parser.add_argument("--in-pack", type=int, default=100)
    parser.add_argument("--friends", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="covey-rebuild-") as folder:
        lines = measure(Path(folder), arguments.chunks, arguments.in_pack, arguments.friends)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
