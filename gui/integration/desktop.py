"""The menu of programs, `covey:` links, Covey's icon, and the emblem on what is backed up.

Two entries, since one that opens links must take one: Covey itself, and the hidden one that
browsers start with an invitation.
"""

from __future__ import annotations

from pathlib import Path

from gui.integration import quoting
from gui.integration.plan import ICON, Command, Part, Piece, Places, Shared
from gui.links import SCHEME
from peer.files.tags import EMBLEM

OPENER = "covey-open.desktop"
HANDLES = f"x-scheme-handler/{SCHEME}"
_SECTION = "[Default Applications]"
_DRAWINGS = Path(__file__).parent


def part(places: Places, command: Command) -> Part:
    """Menu entry, links, icon and emblem."""
    applications, icons = places.data / "applications", places.data / "icons/hicolor/scalable"
    return Part(
        "menu",
        "Menu of programs and covey: links",
        (
            Piece(applications / "covey.desktop", _program(command)),
            Piece(applications / OPENER, _opener(command)),
            Shared(
                places.config / "mimeapps.list",
                places.config / "mimeapps.list",
                with_handler,
                without_handler,
            ),
            Piece(icons / f"apps/{ICON}.svg", _drawing("../pages/base/covey.svg")),
            Piece(icons / f"emblems/{EMBLEM}.svg", _drawing("emblem.svg")),
        ),
        after=(("update-desktop-database", "-q", str(applications)),),
        after_removal=(("update-desktop-database", "-q", str(applications)),),
    )


def _drawing(name: str) -> bytes:
    return (_DRAWINGS / name).read_bytes()


def _program(command: Command) -> bytes:
    return f"""[Desktop Entry]
Type=Application
Version=1.0
Name=Covey
GenericName=Backup
GenericName[de]=Datensicherung
Comment=Back up your files to your friends
Comment[de]=Sichert deine Dateien bei deinen Freunden
Exec={quoting.for_desktop_entry(command.words)}
Icon={ICON}
Terminal=false
Categories=Utility;Archiving;
Keywords=backup;restore;friends;
StartupNotify=true
""".encode()


def _opener(command: Command) -> bytes:
    return f"""[Desktop Entry]
Type=Application
Version=1.0
Name=Covey
Exec={quoting.for_desktop_entry(command.to("open"))} %u
Icon={ICON}
Terminal=false
NoDisplay=true
MimeType={HANDLES};
""".encode()


def with_handler(old: bytes | None) -> bytes:
    """mimeapps.list with Covey for its links, unless the person chose another program for them."""
    text = _text(old or b"")
    lines = text.splitlines()
    if any(line.partition("=")[0].strip() == HANDLES for line in lines):
        return old or b""
    if _SECTION not in lines:
        lines += ([""] if lines else []) + [_SECTION]
    lines.insert(lines.index(_SECTION) + 1, f"{HANDLES}={OPENER}")
    return ("\n".join(lines) + "\n").encode()


def without_handler(old: bytes) -> bytes:
    """mimeapps.list without Covey's line."""
    ours = f"{HANDLES}={OPENER}"
    lines = [line for line in _text(old).splitlines(keepends=True) if line.strip() != ours]
    return "".join(lines).encode()


def _text(data: bytes) -> str:
    return data.decode()  # UnicodeDecodeError is a ValueError
