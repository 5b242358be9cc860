"""Where things lie in the folder of held shares.

    <owner>/shares/<first byte>/<name>   a whole share: header and payload, as it travels
    <owner>/partial/<name>.<day>         the beginning of one; the day of the last attempt
    <owner>/root                         the owner's newest root record
    <owner>/duty                         the owner's newest duty (peer/duty/)
    trash/<day>/<owner>/<name>           deleted by its owner on that day, kept for a while
    owners.json                          when each owner was last seen (owners.py)
    leases.json                          which deputy may act for which owner (peer/duty/)

Owners and names are the hexadecimal form of 32 bytes that were checked; nothing that comes from
outside is ever part of a path in any other form. Days are observed days (`observed.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from chunking.formats import ID_BYTES

NAME_CHARS = 2 * ID_BYTES


def hex_name(name: bytes) -> str:
    """The file name of an id. ValueError for anything that is no id."""
    if len(name) != ID_BYTES:
        raise ValueError(f"an id has {ID_BYTES} bytes, not {len(name)}")
    return name.hex()


class Layout:
    """Paths below one folder. Makes no decisions and opens no files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.trash = root / "trash"
        self.observed = root / "observed.json"
        self.owners_file = root / "owners.json"

    def share(self, owner: bytes, name: bytes) -> Path:
        """A whole share."""
        text = hex_name(name)
        return self.root / hex_name(owner) / "shares" / text[:2] / text

    def partials(self, owner: bytes) -> Path:
        """The folder of beginnings."""
        return self.root / hex_name(owner) / "partial"

    def partial(self, owner: bytes, name: bytes, day: int) -> Path:
        """The beginning of a share, last worked on that day."""
        return self.partials(owner) / f"{hex_name(name)}.{day}"

    def find_partial(self, owner: bytes, name: bytes) -> Path | None:
        """The beginning of a share, whenever it was begun."""
        begin = hex_name(name) + "."
        for path in list_folder(self.partials(owner)):
            if path.name.startswith(begin):
                return path
        return None

    def root_record(self, owner: bytes) -> Path:
        """An owner's root record."""
        return self.root / hex_name(owner) / "root"

    def owner(self, owner: bytes) -> Path:
        """All that is kept for an owner, but for the trash."""
        return self.root / hex_name(owner)

    def duty(self, owner: bytes) -> Path:
        """An owner's duty."""
        return self.root / hex_name(owner) / "duty"

    def trashed(self, owner: bytes, name: bytes, day: int) -> Path:
        """Where a share goes that is deleted on that day."""
        return self.trash / str(day) / hex_name(owner) / hex_name(name)

    def find_trashed(self, owner: bytes, name: bytes) -> Path | None:
        """A deleted share that is still there."""
        for day in self.trash_days():
            path = self.trashed(owner, name, day)
            if path.exists():
                return path
        return None

    def trash_days(self) -> list[int]:
        """Days on which something was deleted that is still there, oldest first."""
        return sorted(int(p.name) for p in list_folder(self.trash) if p.name.isdecimal())

    def owners(self) -> list[Path]:
        """The folders of all owners."""
        return [path for path in list_folder(self.root) if len(path.name) == NAME_CHARS]

    def shares(self, owner: bytes) -> Path:
        """The folder of an owner's whole shares."""
        return self.root / hex_name(owner) / "shares"

    def share_files(self, owner: bytes) -> Iterator[Path]:
        """An owner's whole shares, in the order of their names."""
        for folder in sorted(list_folder(self.shares(owner))):
            yield from sorted(path for path in folder.iterdir() if len(path.name) == NAME_CHARS)

    def names_after(self, owner: bytes, after: bytes) -> Iterator[tuple[bytes, int]]:
        """(name, file size) of an owner's shares, ascending, from behind `after`."""
        shares = self.root / hex_name(owner) / "shares"
        first = after.hex()
        for folder in sorted(list_folder(shares)):
            if folder.name < first[:2]:
                continue
            found: list[tuple[str, int]] = []
            with os.scandir(folder) as entries:
                found += [
                    (entry.name, entry.stat().st_size)
                    for entry in entries
                    if len(entry.name) == NAME_CHARS and entry.name > first
                ]
            for text, size in sorted(found):
                yield bytes.fromhex(text), size


def list_folder(folder: Path) -> list[Path]:
    """What is in a folder; nothing when there is no such folder."""
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []
