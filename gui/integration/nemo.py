"""Nemo: one file for each action; an open Nemo notices them at once."""

from __future__ import annotations

from gui.integration import quoting
from gui.integration.plan import ENTRIES, Command, Entry, Part, Piece, Places


def part(places: Places, command: Command) -> Part:
    """The two actions."""
    folder = places.data / "nemo" / "actions"
    pieces = (Piece(folder / f"covey-{e.key}.nemo_action", _action(e, command)) for e in ENTRIES)
    return Part("nemo", "Nemo", tuple(pieces))


def _action(entry: Entry, command: Command) -> bytes:
    return f"""[Nemo Action]
Active=true
Name={entry.name}
Comment={entry.hint}
Exec={quoting.for_action(command.chosen(entry.key))} %F
Icon-Name={entry.icon}
Selection=notnone
Extensions=any;
Quote=double
""".encode()
