"""PCManFM: one action file for each entry, by the desktop-entry format for file-manager actions."""

from __future__ import annotations

from gui.integration import quoting
from gui.integration.plan import ENTRIES, Command, Entry, Part, Piece, Places


def part(places: Places, command: Command) -> Part:
    """The two actions."""
    folder = places.data / "file-manager" / "actions"
    pieces = (Piece(folder / f"covey-{e.key}.desktop", _action(e, command)) for e in ENTRIES)
    return Part("pcmanfm", "PCManFM", tuple(pieces), tried=False)


def _action(entry: Entry, command: Command) -> bytes:
    return f"""[Desktop Entry]
Type=Action
Name={entry.name}
Tooltip={entry.hint}
Icon={entry.icon}
Profiles={entry.key};

[X-Action-Profile {entry.key}]
MimeTypes=all/all;
Exec={quoting.for_desktop_entry(command.chosen(entry.key))} %F
""".encode()
