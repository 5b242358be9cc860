"""Nautilus and Caja: scripts, which work everywhere, and entries of the first level.

Those need python3-nautilus or python3-caja, which load a file of Python from the person's folder.
It is written against both versions of their interface and imports nothing of Covey, which may live
in an environment of its own. The same file shows the emblem on what has the tag.
"""

from __future__ import annotations

from gui.integration.plan import ENTRIES, Command, Part, Piece, Places
from gui.integration.scripts import scripts
from peer.files.tags import ATTRIBUTE, EMBLEM, TAG

_MENU = '''"""Made by `covey integrate`; `covey integrate --remove` takes it away."""

import os
import subprocess

from gi.repository import GObject, {library}

COMMAND = {command!r}
ENTRIES = {entries!r}


class CoveyExtension(GObject.GObject, {library}.MenuProvider, {library}.InfoProvider):
    """Entries in the context menu, and the emblem on what is tagged."""

    def get_file_items(self, *arguments):
        paths = [one.get_location().get_path() for one in arguments[-1]]
        paths = [path for path in paths if path]
        if not paths:
            return []
        items = []
        for verb, name, hint in ENTRIES:
            item = {library}.MenuItem(name="Covey::" + verb, label=name, tip=hint)
            item.connect("activate", self._run, verb, paths)
            items.append(item)
        return items

    def update_file_info(self, file):
        path = file.get_location().get_path()
        try:
            tags = os.getxattr(path, {attribute!r}) if path else b""
        except OSError:
            return
        if {tag!r} in tags.decode("utf-8", "replace").split(","):
            file.add_emblem({emblem!r})

    def _run(self, item, verb, paths):
        subprocess.Popen([*COMMAND, "picked", verb, *paths], stdin=subprocess.DEVNULL)
'''


def nautilus(places: Places, command: Command) -> Part:
    """Scripts and the extension."""
    folder = places.data / "nautilus" / "scripts"
    return Part(
        "nautilus",
        "Nautilus (Files)",
        (
            *scripts(folder, "NAUTILUS_SCRIPT_SELECTED_FILE_PATHS", command),
            Piece(
                places.data / "nautilus-python" / "extensions" / "covey_menu.py",
                extension("Nautilus", command),
            ),
        ),
        tried=False,
    )


def caja(places: Places, command: Command) -> Part:
    """The same for Caja."""
    folder = places.config / "caja" / "scripts"
    return Part(
        "caja",
        "Caja",
        (
            *scripts(folder, "CAJA_SCRIPT_SELECTED_FILE_PATHS", command),
            Piece(
                places.data / "caja-python" / "extensions" / "covey_menu.py",
                extension("Caja", command),
            ),
        ),
        tried=False,
    )


def extension(library: str, command: Command) -> bytes:
    """The file of Python that the file manager loads."""
    return _MENU.format(
        library=library,
        command=list(command.words),
        entries=[(entry.key, entry.name, entry.hint) for entry in ENTRIES],
        attribute=ATTRIBUTE,
        tag=TAG,
        emblem=EMBLEM,
    ).encode()
