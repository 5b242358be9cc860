"""What to tell a person of an error that nobody foresaw where it happened."""

from __future__ import annotations

import errno
import os
import sqlite3

from peer.service import Problem

_FULL = "Make room on this computer's disk, then try again. What was done until now is kept."


def problem_of(error: BaseException) -> Problem:
    """The error in words: what the system says where it is the system's, else that it is ours."""
    if isinstance(error, Problem):
        return error
    if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL:
        return Problem(f"{os.strerror(errno.ENOSPC)}.", _FULL, code="system")
    if isinstance(error, OSError) and error.strerror:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        return Problem(f"{where}{error.strerror}.", _FULL if is_full else "", code="system")
    return Problem(
        "Covey met a fault of its own.",
        "The agent's log has the details. Try again, and report it if it stays.",
        code="internal",
    )
