"""Be a user who is not root for a while, so that permissions mean something in a test."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def somebody() -> Iterator[None]:
    """Inside, this process is not root. For anybody else, nothing changes."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@contextmanager
def folder_of_somebody() -> Iterator[Path]:
    """A folder that `somebody` owns and can get to."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        if os.geteuid() == 0:
            os.chown(name, NOBODY, NOBODY)
        yield Path(name)
