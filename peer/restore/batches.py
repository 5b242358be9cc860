"""What the engine and the workers that write files say to each other during a restore.

engine -> worker   StartWriter, WriteFiles, CompareFiles
worker -> engine   Written, Compared

All travel in `peer.pipes` frames between processes of one program, or as plain objects when the
engine writes the files itself.
"""

from __future__ import annotations

import msgspec

from chunking.formats import Entry
from peer.files.opened import Parts
from peer.files.writing import Identity


class ChunkAt(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A sealed chunk at `offset` of pack `row`, and the part of the pack that was fetched."""

    id: bytes
    row: int
    offset: int
    length: int
    part_offset: int
    part_length: int


class FileJob(msgspec.Struct, frozen=True, array_like=True):
    """Write this file, or with `first` or `last` unset a piece of it; to compare, its `ids` count.

    `index` comes back with the result. The pieces of a file go to one worker, in order; one with
    `dropped` ends a file that cannot be completed.
    """

    index: int
    parts: Parts
    entry: Entry
    chunks: list[ChunkAt]
    first: bool = True
    last: bool = True
    dropped: bool = False


class StartWriter(msgspec.Struct, frozen=True, tag="start_writer"):
    """First message to a worker. Folders at `followed` may be links."""

    master: bytes
    target: bytes
    overwrite: str
    scratch: str
    followed: list[Parts]

    def __repr__(self) -> str:
        return "StartWriter()"


class WriteFiles(msgspec.Struct, frozen=True, tag="write"):
    """Files to write, in order. `packs` has needed and length of every pack of their chunks."""

    number: int
    jobs: list[FileJob]
    packs: dict[int, tuple[int, int]]


class CompareFiles(msgspec.Struct, frozen=True, tag="compare"):
    """Which of these files stand there already? With `dress`, those get their metadata."""

    number: int
    jobs: list[FileJob]
    dress: bool


class Written(msgspec.Struct, frozen=True, tag="written"):
    """A batch was tried: how much was written, what could not be, and what was kept."""

    number: int
    files: int
    size: int
    lost: list[tuple[int, str]]
    kept: list[int]
    identities: list[tuple[int, Identity]]
    notes: list[tuple[bytes, str]]


class Compared(msgspec.Struct, frozen=True, tag="compared"):
    """The files that have the wanted content, and those of them with other names."""

    number: int
    same: list[int]
    identities: list[tuple[int, Identity]]
    notes: list[tuple[bytes, str]]


class Broken(msgspec.Struct, frozen=True, tag="broken"):
    """The worker cannot go on; the text says why, for a person."""

    text: str


ToWriter = StartWriter | WriteFiles | CompareFiles
FromWriter = Written | Compared | Broken
