"""A directory in the middle of a scan: what is known of it, and what is still to come."""

from __future__ import annotations

from dataclasses import dataclass, field

from chunking.formats import Entry
from peer.backup.listing import LOOK_AGAIN, Stamp
from peer.catalog import DirectoryRow
from peer.files.reader import Found


@dataclass(slots=True, eq=False)
class OpenDirectory:
    """A directory whose entries are not all known yet. `found` is None for a mark's parent."""

    path: bytes
    found: Found
    parent: OpenDirectory | None
    before: DirectoryRow | None = None
    """How the last scan saw it."""
    files_print: bytes = LOOK_AGAIN
    same_files: bool = False
    """Nothing but folders can have changed here; `entries` has no files then."""
    kept: bool = False
    """It cannot be listed tonight, and stays as it was."""
    entries: dict[bytes, Entry] = field(default_factory=dict)
    stamps: dict[bytes, Stamp] = field(default_factory=dict)
    folders: dict[bytes, Entry] = field(default_factory=dict)
    old_folders: set[bytes] = field(default_factory=set)
    files: int = 0
    bytes: int = 0
    pending: int = 1
    """Files and directories still to come, and 1 for the walk itself."""


def root_of(directory: OpenDirectory) -> bytes:
    """The mark that it lies below."""
    while directory.parent is not None:
        directory = directory.parent
    return directory.path
