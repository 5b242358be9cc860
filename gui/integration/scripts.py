"""Nautilus and Caja: executable scripts, shown under "Scripts" in the context menu.

The file manager starts a script in the folder that is open, with the selected names as arguments;
the full paths are in a variable, one a line, and are used where there are any.
"""

from __future__ import annotations

from pathlib import Path

from gui.integration import quoting
from gui.integration.plan import ENTRIES, Command, Piece


def scripts(folder: Path, variable: str, command: Command) -> tuple[Piece, ...]:
    """One script for each entry."""
    return tuple(
        Piece(folder / entry.name, script(entry.key, variable, command), executable=True)
        for entry in ENTRIES
    )


def script(verb: str, variable: str, command: Command) -> bytes:
    """What runs a verb with the selected paths."""
    return f"""#!/bin/sh
# Made by `covey integrate`; `covey integrate --remove` takes it away.
if [ -n "${{{variable}:-}}" ]; then
    set -f
    IFS='
'
    set -- ${variable}
fi
[ $# -gt 0 ] || exit 0
exec {quoting.for_shell(command.chosen(verb))} "$@"
""".encode()
