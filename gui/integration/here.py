"""The parts for this very computer, and putting them there when a person joins.

A person who joins in the window never hears of `covey integrate`: the entries are simply there.
Only a member in the usual place does that; a folder that was named is the whole member by promise,
and leaves nothing outside of it.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from pathlib import Path

from gui.integration.catalogue import command, parts
from gui.integration.install import install
from gui.integration.plan import Part, Places
from peer.state import StateFolder

log = logging.getLogger("covey.gui")


def parts_here(home: str = "") -> list[Part]:
    """What this system gets; `home` is a state folder that was named."""
    start = command(shutil.which("covey", path=_beside()), sys.executable, home)
    return parts(sys.platform, Places.of(Path.home(), os.environ), start)


def integrate_new_member(state: StateFolder) -> bool:
    """Put everything there for a member that has just joined; whether it was tried.

    What cannot be put there is logged and hinders nothing: `covey integrate` tells it again.
    """
    if not state.is_usual:
        return False
    for outcome in install(parts_here()):
        for problem in outcome.problems:
            log.warning("%s", problem)
    return True


def _beside() -> str:
    """Where `covey` lies next to this Python: another one in PATH may be an older Covey."""
    return os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
