"""What the last night left out and why: kept in the catalog, so that it can be looked at by day."""

from __future__ import annotations

import json

from peer.catalog import Catalog
from peer.service import Answer, Event

NOTES_MAX = 500
"""Kept of one night: more nobody reads."""
_KEY = "left out"


class LeftOut:
    """Hears the notes of one night."""

    def __init__(self) -> None:
        self._notes: list[tuple[str, str]] = []

    def hear(self, event: Event) -> None:
        """Keep the event if it is a note."""
        if event["event"] == "note" and len(self._notes) < NOTES_MAX:
            self._notes.append((event["path"], event["text"]))

    def write(self, catalog: Catalog) -> None:
        """These are the notes of the last night now."""
        catalog.set_meta(_KEY, json.dumps(self._notes).encode())


def read_left_out(catalog: Catalog) -> list[Answer]:
    """What the last night that ended left out: path and text, in the order of the night."""
    data = catalog.get_meta(_KEY)
    notes = [] if data is None else json.loads(data)
    return [{"path": path, "text": text} for path, text in notes]
