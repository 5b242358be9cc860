"""Garbage collection in processes that do one job and end."""

from __future__ import annotations

import gc

THRESHOLD = 50_000
"""Objects made between two searches for cycles. Almost nothing of ours is in a cycle; looking for
them every 700 objects cost 2 % of a night."""


def collect_rarely() -> None:
    """To be called when all modules are there: they are not looked at again."""
    gc.freeze()
    gc.set_threshold(THRESHOLD)
