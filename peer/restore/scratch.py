"""Sealed chunks out of the scratch folder, straight from the shares that were fetched.

A pack lies there as its first `needed` shares, which are its slices end to end, or as ranges of it.
Nothing is joined for reading: a chunk is in one slice, or in two.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from chunking.erasure import payload_length_of
from chunking.formats import FormatError
from peer.restore.messages import range_file, share_file
from peer.restore.plan import Part, Shape


class SealedFiles:
    """Reads parts of packs. Files stay open until `keep_only` or `close`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[int, dict[str, int]] = {}

    def read(self, part: Part, shape: Shape, offset: int, length: int) -> bytes:
        """These bytes of the pack. Raises FormatError when they are not there."""
        if part.length != shape.length:
            name = range_file(*part)
            return self._read(part.row, name, offset - part.offset, length)
        size = payload_length_of(shape.length, shape.needed)
        number, start = divmod(offset, size)
        if start + length <= size:
            return self._read(part.row, share_file(part.row, number), start, length)
        pieces: list[bytes] = []
        while length:
            piece = min(size - start, length)
            pieces.append(self._read(part.row, share_file(part.row, number), start, piece))
            number, start, length = number + 1, 0, length - piece
        return b"".join(pieces)

    def keep_only(self, rows: Collection[int]) -> None:
        """Close the files of all other packs, so that deleting them frees their space."""
        for row in [row for row in self._open if row not in rows]:
            for fd in self._open.pop(row).values():
                os.close(fd)

    def close(self) -> None:
        """Close all files."""
        self.keep_only(())

    def _read(self, row: int, name: str, offset: int, length: int) -> bytes:
        files = self._open.setdefault(row, {})
        fd = files.get(name)
        try:
            if fd is None:
                fd = files[name] = os.open(self._folder / name, os.O_RDONLY)
            data = os.pread(fd, length, offset)
        except OSError as error:
            raise FormatError(f"what was fetched cannot be read: {error.strerror}") from error
        if len(data) != length:
            raise FormatError("what was fetched is too short")
        return data
