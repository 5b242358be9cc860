"""A sentence on the person's desktop, where there is one."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

log = logging.getLogger("covey.night")

SHOW_S = 10.0
"""A desktop that takes longer to say that it heard is not waited for."""
_DESKTOPS = ("WAYLAND_DISPLAY", "DISPLAY", "DBUS_SESSION_BUS_ADDRESS")


async def notify(text: str) -> None:
    """Show it. A desktop that cannot is no problem: the pages tell the same."""
    if sys.platform.startswith("linux") and not any(map(os.environ.get, _DESKTOPS)):
        return
    try:
        from desktop_notifier import DesktopNotifier

        async with asyncio.timeout(SHOW_S):
            await DesktopNotifier(app_name="Covey").send(title="Covey", message=text)
    except Exception as error:  # whatever a desktop and its bus may come up with
        log.info("the desktop shows no messages: %s", error)
