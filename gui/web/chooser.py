"""The desktop's own dialog for a folder, where there is one."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys

DIALOGS = (
    ("zenity", "--file-selection", "--directory", "--title=Covey"),
    ("kdialog", "--getexistingdirectory", "--title", "Covey"),
)
"""The first that is installed is used."""
_DISPLAYS = ("WAYLAND_DISPLAY", "DISPLAY")


def dialog() -> tuple[str, ...] | None:
    """The program to ask with, or None where pages let choose from a list."""
    if not sys.platform.startswith("linux") or not any(map(os.environ.get, _DISPLAYS)):
        return None
    return next((words for words in DIALOGS if shutil.which(words[0])), None)


async def choose_folder(words: tuple[str, ...]) -> str:
    """The folder that the person chose; "" when none. The dialog ends when this is cancelled."""
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return os.fsdecode(out).rstrip("\n") if process.returncode == 0 else ""
