"""What the agent and the engine say to each other during a restore.

agent  -> engine   StartRestore, HavePack, HaveRange, LostPack, Stop
engine -> agent    NeedPack, NeedRange, Progress, Note, Lost, RestoreDone, Failed
"""

from __future__ import annotations

import msgspec

from peer.backup.messages import Failed, Note, Progress, Stop


class StartRestore(msgspec.Struct, frozen=True, tag="start_restore"):
    """Bring `paths` (all when empty) of a snapshot to below `target`.

    `master` is the member's secret, never logged. Packs are kept in `scratch`, up to
    `scratch_bytes_max`. `workers` processes write files; 0 writes them in the engine itself. With
    `dry_run` nothing is written and only the lists of files are fetched.
    """

    master: bytes
    catalog: str
    snapshot: bytes
    target: bytes
    paths: list[bytes]
    overwrite: str
    scratch: str
    scratch_bytes_max: int
    workers: int = 0
    dry_run: bool = False

    def __repr__(self) -> str:
        return f"StartRestore({len(self.paths)} paths)"


class NeedPack(msgspec.Struct, frozen=True, tag="need_pack"):
    """Please fetch this pack, by its number in the catalog."""

    row: int


class HavePack(msgspec.Struct, frozen=True, tag="have_pack"):
    """Verified payloads of enough shares lie in the scratch folder, named by `share_file`."""

    row: int
    numbers: list[int]


class NeedRange(msgspec.Struct, frozen=True, tag="need_range"):
    """Please fetch these bytes of a pack, and no more of it than that takes."""

    row: int
    offset: int
    length: int


class HaveRange(msgspec.Struct, frozen=True, tag="have_range"):
    """Exactly these bytes of the pack, verified, lie in the file that `range_file` names."""

    row: int
    offset: int
    length: int


class LostPack(msgspec.Struct, frozen=True, tag="lost_pack"):
    """Too few shares can be had, for the pack or for a range of it; `text` says why."""

    row: int
    text: str


class Lost(msgspec.Struct, frozen=True, tag="lost"):
    """This file could not be brought back, and why."""

    path: bytes
    text: str


class RestoreDone(msgspec.Struct, frozen=True, tag="restore_done"):
    """All was tried: `files` are there now, `same` of them were before; `lost` are missing.

    `replaced` were written over something else, `kept` were not to be replaced. After a dry run
    these are what would be, and `to_fetch` is how many bytes of packs would be fetched.
    """

    files: int
    bytes: int
    lost: int
    notes: int
    same: int = 0
    kept: int = 0
    replaced: int = 0
    to_fetch: int = 0


ToRestore = StartRestore | HavePack | HaveRange | LostPack | Stop
FromRestore = NeedPack | NeedRange | Progress | Note | Lost | RestoreDone | Failed


def share_file(row: int, number: int) -> str:
    """The name of a fetched payload in the scratch folder."""
    return f"{row}.{number}"


def range_file(row: int, offset: int, length: int) -> str:
    """The name of a fetched range of a pack in the scratch folder."""
    return f"{row}.{offset}+{length}"
