"""Why a holder does not keep or give something."""

from __future__ import annotations

import errno


class NoRoom(Exception):
    """The limit or the disk is full; everything that was there stays."""


class BadShare(Exception):
    """These bytes are not the share that they should be."""


class Busy(Exception):
    """The same share is being put at this moment."""


class Stale(Exception):
    """There is a newer record here."""


def as_no_room(error: OSError) -> NoRoom | OSError:
    """A full disk is a limit like another."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return error
    return NoRoom(f"the disk says: {error.strerror}")
