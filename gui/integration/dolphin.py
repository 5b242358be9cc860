"""Dolphin: a service menu. Plasma asks that its file be executable before it trusts it."""

from __future__ import annotations

from gui.integration import quoting
from gui.integration.plan import ENTRIES, Command, Part, Piece, Places


def part(places: Places, command: Command) -> Part:
    """The service menu with both entries."""
    lines = [
        "[Desktop Entry]",
        "Type=Service",
        "X-KDE-ServiceTypes=KonqPopupMenu/Plugin",
        "MimeType=all/allfiles;inode/directory;",
        "X-KDE-Priority=TopLevel",
        f"Actions={''.join(entry.key + ';' for entry in ENTRIES)}",
    ]
    for entry in ENTRIES:
        lines += [
            "",
            f"[Desktop Action {entry.key}]",
            f"Name={entry.name}",
            f"Icon={entry.icon}",
            f"Exec={quoting.for_desktop_entry(command.chosen(entry.key))} %F",
        ]
    path = places.data / "kio" / "servicemenus" / "covey.desktop"
    piece = Piece(path, ("\n".join(lines) + "\n").encode(), executable=True)
    return Part("dolphin", "Dolphin", (piece,), tried=False)
