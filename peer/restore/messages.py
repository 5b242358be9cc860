"""What the agent and the engine say to each other during a restore.

agent  -> engine   StartRestore, HavePack, LostPack, Stop
engine -> agent    NeedPack, Progress, Note, Lost, RestoreDone, Failed
"""

from __future__ import annotations

import msgspec

from peer.backup.messages import Failed, Note, Progress, Stop


class StartRestore(msgspec.Struct, frozen=True, tag="start_restore"):
    """Bring `paths` (all when empty) of a snapshot to below `target`.

    `master` is the member's secret, never logged. Packs are kept in `scratch`, up to
    `scratch_bytes_max`.
    """

    master: bytes
    catalog: str
    snapshot: bytes
    target: bytes
    paths: list[bytes]
    overwrite: str
    scratch: str
    scratch_bytes_max: int

    def __repr__(self) -> str:
        return f"StartRestore({len(self.paths)} paths)"


class HavePack(msgspec.Struct, frozen=True, tag="have_pack"):
    """Verified payloads of enough shares lie in the scratch folder, named by `share_file`."""

    row: int
    numbers: list[int]


class LostPack(msgspec.Struct, frozen=True, tag="lost_pack"):
    """Too few shares can be had; `text` says why."""

    row: int
    text: str


class NeedPack(msgspec.Struct, frozen=True, tag="need_pack"):
    """Please fetch this pack, by its number in the catalog."""

    row: int


class Lost(msgspec.Struct, frozen=True, tag="lost"):
    """This file could not be brought back, and why."""

    path: bytes
    text: str


class RestoreDone(msgspec.Struct, frozen=True, tag="restore_done"):
    """All was tried; `lost` counts the files that are missing now."""

    files: int
    bytes: int
    lost: int
    notes: int


ToRestore = StartRestore | HavePack | LostPack | Stop
FromRestore = NeedPack | Progress | Note | Lost | RestoreDone | Failed


def share_file(row: int, number: int) -> str:
    """The name of a fetched payload in the scratch folder."""
    return f"{row}.{number}"
