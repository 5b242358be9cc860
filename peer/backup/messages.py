"""What the agent, the engine and its workers say to each other during a night.

    agent  -> engine   StartBackup, Released, HaveRange, LostPack, Stop
    engine -> agent    PackMade, Progress, Note, NeedRange, NightReady, Failed
    engine -> worker   StartWorker, Batch, Claimed, Flush
    worker -> engine   Claim, PackMade, BatchDone, Flushed

All travel in `peer.pipes` frames between processes of one program, or as plain objects when the
engine runs in this process (the simulator). Lists of ids travel as bytes, 32 per id.
"""

from __future__ import annotations

import msgspec

from chunking.formats import Content
from peer.files.reader import Found
from peer.upkeep.redundancy import HOLDERS_MAX

NOTHING_FITS = "there is no room for what is marked"
"""The text of a `Failed`, to which the agent adds what to do."""


class Recipe(msgspec.Struct, frozen=True):
    """How tonight's packs are made: any `needed` of `total` shares rebuild one."""

    owner: bytes
    needed: int
    total: int
    pack_bytes: int
    spool: str


class StartBackup(msgspec.Struct, frozen=True, tag="start"):
    """All that the engine needs to know; `master` is the member's secret, never logged.

    Ranges of packs that the engine asks for are put into `scratch`. `keep` is the retention in
    words; snapshots up to and including `hold` stay whatever it says, those of `forget` go.
    `ignore` are patterns (`ignore.py`), `meant` all marks, those inside others too. No more than
    `room_bytes` of files should be new; None when that is not known. `friends` are not gone.
    """

    master: bytes
    catalog: str
    recipe: Recipe
    marks: list[bytes]
    exclude: list[bytes]
    member_name: str
    time_ns: int
    workers: int
    spool_bytes_max: int
    spool_bytes: int
    scratch: str
    keep: str = ""
    hold: bytes = b""
    forget: list[bytes] = []
    ignore: list[str] = []
    meant: list[bytes] = []
    room_bytes: int | None = None
    friends: int = HOLDERS_MAX

    def __repr__(self) -> str:
        return f"StartBackup({len(self.marks)} marks)"


class Released(msgspec.Struct, frozen=True, tag="released"):
    """The agent has deleted a pack's spool file of this size."""

    size: int


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """Give up: leave everything recorded as it is."""


class PackMade(msgspec.Struct, frozen=True, tag="pack"):
    """A pack whose spool file is complete. `row` is its number in the catalog (0: not yet)."""

    id: bytes
    kind: int
    needed: int
    length: int
    shares: bytes
    chunk_ids: bytes
    chunk_lengths: list[int]
    spool_bytes: int
    is_copy: bool = False
    row: int = 0


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """How far the scan is; totals are estimates and 0 while they are unknown."""

    files: int
    bytes: int
    files_total: int
    bytes_total: int


class Note(msgspec.Struct, frozen=True, tag="note"):
    """Something that the person should know about one file; the night goes on."""

    path: bytes
    text: str


class NightReady(msgspec.Struct, frozen=True, tag="ready"):
    """Every pack of the snapshot is recorded; once all are safe, its root record may go out.

    That record names the snapshots of `kept` and then this one, and holds back retention for those
    up to and including `hold`. `gone` and `before` are files' chunks that the last snapshot had,
    and how many of them this one has no more. For `waiting` folders and files, of which about
    `waiting_bytes` are new, there was no room.
    """

    snapshot: bytes
    time_ns: int
    files: int
    size: int
    new_bytes: int
    notes: int
    missing_marks: list[bytes]
    kept: list[bytes]
    hold: bytes = b""
    gone: int = 0
    before: int = 0
    removed_packs: int = 0
    copied_bytes: int = 0
    waiting: int = 0
    waiting_bytes: int = 0


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The engine cannot go on; `text` is for the person."""

    text: str


class StartWorker(msgspec.Struct, frozen=True, tag="start_worker"):
    """First message to a worker process."""

    master: bytes
    recipe: Recipe

    def __repr__(self) -> str:
        return "StartWorker()"


class FileJob(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Read this file; `index` comes back with the result."""

    index: int
    path: bytes
    found: Found


class Batch(msgspec.Struct, frozen=True, tag="batch"):
    """Files to read, in order."""

    jobs: list[FileJob]


class Claim(msgspec.Struct, frozen=True, tag="claim"):
    """Which of these chunks are new? Those that are belong to the asker, who must store them."""

    ids: bytes


class Claimed(msgspec.Struct, frozen=True, tag="claimed"):
    """One byte per asked id: 1 where the asker must store it."""

    mask: bytes


class FileResult(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A file as it was read. `problem` not empty: it could not be read and is left out."""

    index: int
    found: Found | None
    content: Content
    extents: tuple[tuple[int, int], ...]
    xattrs: tuple[tuple[bytes, bytes], ...]
    problem: str
    remark: str
    settled: bool
    """False: it changed while it was read, so it must be read again next time."""


class BatchDone(msgspec.Struct, frozen=True, tag="done"):
    """Results in the order of the jobs."""

    results: list[FileResult]


class Flush(msgspec.Struct, frozen=True, tag="flush"):
    """Close the open pack, however small."""


class Flushed(msgspec.Struct, frozen=True, tag="flushed"):
    """The open pack, if there was one, has been sent as PackMade."""


ToWorker = StartWorker | Batch | Claimed | Flush
FromWorker = Claim | PackMade | BatchDone | Flushed | Failed
ToEngine = StartBackup | Released | Stop
FromEngine = PackMade | Progress | Note | NightReady | Failed
"""Both ways beside these travel the messages of `peer.restore.messages` about ranges of packs."""
