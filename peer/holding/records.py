"""What owners sign and every holder keeps whole: root records and duties.

A holder opens no root record. It checks whose it is and that it is signed, and keeps the one with
the highest counter, durably: a record that an owner was told is stored outlives a power cut.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from chunking.duty import read_duty_envelope
from chunking.formats import FormatError
from chunking.root import read_root_envelope
from peer.holding import disk
from peer.holding.layout import Layout
from peer.holding.refusals import BadShare, Stale, as_no_room
from peer.state import write_atomic
from signaling.messages import MemberId, member_id_of

Envelope = Callable[[bytes], tuple[bytes, int]]
"""Checks the signature; (the owner's identity key, the counter). Raises FormatError."""


class Records:
    """The records of all owners. The caller holds the store's lock while it puts."""

    def __init__(self, layout: Layout, take_room: Callable[[int], None]) -> None:
        """`take_room` counts so many more bytes as used, or raises NoRoom."""
        self._layout, self._take_room = layout, take_room

    def put_root(self, owner: MemberId, record: bytes) -> None:
        """Keep an owner's root record, durably. Raises Stale, BadShare, NoRoom."""
        self._put(self._layout.root_record(owner), owner, record, read_root_envelope)

    def get_root(self, owner: MemberId) -> bytes | None:
        """An owner's root record, or None."""
        return _read(self._layout.root_record(owner))

    def put_duty(self, owner: MemberId, record: bytes) -> None:
        """Keep an owner's duty, durably. Raises Stale, BadShare, NoRoom."""
        self._put(self._layout.duty(owner), owner, record, read_duty_envelope)

    def get_duty(self, owner: bytes) -> bytes | None:
        """An owner's duty, or None."""
        return _read(self._layout.duty(owner))

    def duty_stamp(self, owner: bytes) -> tuple[int, int] | None:
        """Another one for each duty that is kept; None without one."""
        try:
            stat = self._layout.duty(owner).stat()
        except FileNotFoundError:
            return None
        return stat.st_mtime_ns, stat.st_size

    def _put(self, path: Path, owner: MemberId, record: bytes, envelope: Envelope) -> None:
        try:
            identity_key, counter = envelope(record)
        except FormatError as error:
            raise BadShare(str(error)) from error
        if member_id_of(identity_key) != owner:
            raise BadShare("this record is another member's")
        before = _read(path)
        if before == record:
            return
        if before is not None and _counter_of(before, envelope) >= counter:
            raise Stale
        more = len(record) - len(before or b"")
        self._take_room(more)
        try:
            disk.make_folder(path.parent)
            write_atomic(path, record)
        except OSError as error:
            self._take_room(-more)
            raise as_no_room(error) from error


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _counter_of(record: bytes, envelope: Envelope) -> int:
    """A kept record's counter; a record that has rotted is older than any other."""
    try:
        return envelope(record)[1]
    except FormatError:
        return -1
