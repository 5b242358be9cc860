"""How far it scales: a million files through the real engine, ten million chunks in a catalog.

    python -m bench.scale [--files 1000000] [--chunks 10000000] [--write]

The files are small and all different, a hundred in a folder, as a careless home directory has them.
The chunks are rows only, made as nights make them: packs of 4,096 with random ids, directories of a
hundred chunks each.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.engine_alone import EngineAlone
from bench.memory import MemoryOf
from chunking.formats import PACK_DATA, PACK_META, ChunkId, PackId, ShareName
from peer.catalog import Catalog, NewPack, Node
from peer.upkeep.sweep import mark, measure

FILES_IN_FOLDER = 100
CHUNKS_IN_PACK = 4096
CHUNKS_IN_NODE = 100


def make_files(root: Path, count: int) -> None:
    """`count` files of some hundred bytes, each of its own."""
    source = random.Random(count)
    for number in range(count):
        folder = root / f"{number // FILES_IN_FOLDER // 100:04}" / f"{number // FILES_IN_FOLDER:06}"
        if number % FILES_IN_FOLDER == 0:
            folder.mkdir(parents=True, exist_ok=True)
        data = source.randbytes(source.randrange(50, 500))
        with open(folder / f"a file of mine {number}.txt", "wb", buffering=0) as file:
            file.write(data)


def files(work: Path, count: int) -> list[str]:
    """First backup and unchanged night of many small files."""
    root = work / "files"
    make_files(root, count)
    time.sleep(2.5)  # a file that was just written would be looked at again
    engine = EngineAlone(work / "covey", workers=os.cpu_count() or 1)
    rows: list[tuple[str, float, int]] = []
    for name in ("first backup", "the night after", "an unchanged night"):
        with MemoryOf(os.getpid()) as memory:
            seconds = engine.backup(root)
        rows.append((name, seconds, memory.most))
    catalog = work / "covey" / "catalog.sqlite"
    _checkpoint(catalog)
    size = catalog.stat().st_size
    shutil.rmtree(root)
    return [
        f"### {count:,} files of some hundred bytes, {FILES_IN_FOLDER} in a folder",
        "",
        "| | seconds | files/s | memory of engine and workers at most |",
        "|---|---|---|---|",
        *(f"| {n} | {s:.1f} | {count / s:,.0f} | {m >> 20} MiB |" for n, s, m in rows),
        "",
        f"The catalog takes {size / 1e6:,.0f} MB, {size / count:.0f} bytes a file.",
    ]


def chunks(work: Path, count: int) -> list[str]:
    """A catalog of many chunks: recorded, looked up, swept."""
    path = work / "chunks.sqlite"
    catalog = Catalog(path)
    source = random.Random(count)
    begun = time.perf_counter()
    roots = [_record(catalog, source, number) for number in range(count // CHUNKS_IN_PACK)]
    recorded = time.perf_counter() - begun
    ids = [ident for pack in range(1, 200, 2) for ident, _, _ in catalog.chunks_of(pack)[:100]]
    source.shuffle(ids)
    begun = time.perf_counter()
    found = len(catalog.known_chunks(ids))
    looked_up = time.perf_counter() - begun
    assert found == len(ids)
    begun = time.perf_counter()
    live = bytearray(catalog.last_number() + 1)
    mark(live, roots, catalog.node)
    uses = [measure(u.pack, u.kind, u.length, u.numbers, u.lengths, live) for u in catalog.uses()]
    swept = time.perf_counter() - begun
    catalog.close()
    _checkpoint(path)
    size = path.stat().st_size
    return [
        f"### A catalog of {sum(use.live_chunks for use in uses):,} chunks",
        "",
        "| | |",
        "|---|---|",
        f"| recorded | {count / recorded:,.0f} chunks/s |",
        f"| looked up, at random | {len(ids) / looked_up:,.0f} chunks/s |",
        f"| mark and sweep | {swept:.1f} s, {len(live) / 1e6:.0f} MB for the marks |",
        f"| size of the file | {size / 1e6:,.0f} MB, {size / count:.0f} bytes a chunk |",
    ]


def _record(catalog: Catalog, source: random.Random, number: int) -> int:
    """A data pack, and a metadata pack with the nodes that refer to its chunks; the top one."""
    ids = [ChunkId(source.randbytes(32)) for _ in range(CHUNKS_IN_PACK)]
    catalog.record_pack(_pack(source, PACK_DATA, ids))
    parts = list(_parts(ids))
    nodes = [ChunkId(source.randbytes(32)) for _ in range(len(parts) + 1)]
    catalog.record_pack(_pack(source, PACK_META, nodes))
    catalog.add_nodes(
        [
            *(Node(node, b"", b"".join(part)) for node, part in zip(nodes, parts, strict=False)),
            Node(nodes[-1], b"".join(nodes[:-1]), b""),
        ]
    )
    return catalog.numbers_of(nodes[-1:])[nodes[-1]]


def _parts(ids: list[ChunkId]) -> Iterator[list[ChunkId]]:
    for at in range(0, len(ids), CHUNKS_IN_NODE):
        yield ids[at : at + CHUNKS_IN_NODE]


def _pack(source: random.Random, kind: int, ids: list[ChunkId]) -> NewPack:
    return NewPack(
        PackId(source.randbytes(32)),
        kind,
        2,
        len(ids) * 1000 + 4096,
        tuple(ShareName(source.randbytes(32)) for _ in range(5)),
        tuple((ident, place * 1000, 1000) for place, ident in enumerate(ids)),
    )


def _checkpoint(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--chunks", type=int, default=10_000_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="covey-scale-") as scratch:
        if chosen.files:
            print("\n".join(files(Path(scratch), chosen.files)), flush=True)
        if chosen.chunks:
            print("\n".join(chunks(Path(scratch), chosen.chunks)), flush=True)


if __name__ == "__main__":
    main()
