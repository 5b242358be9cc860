"""Which parts a system gets. All of its file managers: one that is installed later just works."""

from __future__ import annotations

import os

from gui.integration import (
    autostart,
    desktop,
    dolphin,
    macos,
    nautilus,
    nemo,
    pcmanfm,
    thunar,
    windows,
)
from gui.integration.plan import Command, Part, Places


def parts(platform: str, places: Places, command: Command) -> list[Part]:
    """For `platform` as sys.platform names it."""
    if platform == "darwin":
        return [macos.finder(places.home, command), macos.login(places.home, command)]
    if platform == "win32":
        folder = places.home / "AppData" / "Local" / "Covey"
        return [windows.explorer(folder, command), windows.login(folder, command)]
    return [
        thunar.part(places, command),
        nemo.part(places, command),
        nautilus.nautilus(places, command),
        nautilus.caja(places, command),
        dolphin.part(places, command),
        pcmanfm.part(places, command),
        desktop.part(places, command),
        autostart.part(places, command),
    ]


def command(program: str | None, python: str, home: str) -> Command:
    """How Covey is started: its program, or else this Python; `home` is a folder that was named.

    Absolute, since a graphical login often does not have a person's own programs in its PATH.
    """
    words = (os.path.abspath(program),) if program else (python, "-m", "peer")
    return Command((*words, *(("--home", os.path.abspath(home)) if home else ())))
