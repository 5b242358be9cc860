"""What a restore tells on its way: how far it is, what was lost, what was left as it was."""

from __future__ import annotations

from typing import Protocol

from peer.backup.messages import Note, Progress
from peer.restore.messages import Lost, RestoreDone
from peer.restore.paths import Parts, join_path

PROGRESS_EVERY_BYTES = 4 << 20
PROGRESS_EVERY_FILES = 256


class Listener(Protocol):
    """Who is told."""

    def send(self, message: Progress | Note | Lost) -> None:
        """Tell it."""
        ...


class Report:
    """Counts what becomes of the files of one restore, and tells it."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._told = (0, 0)
        self._lost: set[Parts] = set()
        self._notes = 0
        self.files_total = self.bytes_total = 0
        self.written = self.replaced = self.same = self.kept = 0
        self.bytes = self.to_fetch = 0

    def lose(self, parts: Parts, text: str) -> None:
        """This cannot be brought back; told once."""
        if parts not in self._lost:
            self._lost.add(parts)
            self._listener.send(Lost(join_path(parts), text))

    def is_lost(self, parts: Parts) -> bool:
        """Whether `lose` was told of this."""
        return parts in self._lost

    def note(self, path: bytes, text: str) -> None:
        """Something that a person should know about one file."""
        self._notes += 1
        self._listener.send(Note(path, text))

    def keep(self, parts: Parts, *, differs: bool) -> None:
        """What is there stays, since nothing may replace it."""
        self.kept += 1
        if differs:
            self.note(join_path(parts), "kept as it was")

    def progress(self, *, force: bool = False) -> None:
        """Tell how far it is, if that has changed much."""
        files, size = self._told
        now = self.written + self.same
        if (
            force
            or now - files >= PROGRESS_EVERY_FILES
            or self.bytes - size >= PROGRESS_EVERY_BYTES
        ):
            self._told = (now, self.bytes)
            self._listener.send(Progress(now, self.bytes, self.files_total, self.bytes_total))

    def done(self) -> RestoreDone:
        """The sum of it."""
        return RestoreDone(
            files=self.written + self.same,
            bytes=self.bytes,
            lost=len(self._lost),
            notes=self._notes,
            same=self.same,
            kept=self.kept,
            replaced=self.replaced,
            to_fetch=self.to_fetch,
        )
