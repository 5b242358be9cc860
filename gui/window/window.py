"""The pages in a window of their own, by pywebview: Qt where it is installed, else what is there.

Nothing of pywebview reaches into the pages and nothing of the pages into Python: they talk to the
agent over HTTP like in any browser, so that their strict rules hold (no `eval`, which pywebview's
own bridge would need).
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

TITLE = "Covey"
SIZE, SIZE_MIN = (1120, 780), (360, 520)
_DISPLAYS = ("WAYLAND_DISPLAY", "DISPLAY")


class NoWindow(Exception):
    """There can be no window here; the message says why, as a clause."""


def show(address: str) -> None:
    """Show the page until the person closes the window. Raises NoWindow. Main thread only."""
    if sys.platform.startswith("linux"):
        if not any(map(os.environ.get, _DISPLAYS)):
            raise NoWindow("there is no screen")
        os.environ.setdefault("QT_API", "pyside6")
        if os.geteuid() == 0:  # Chromium's sandbox refuses root, who has nothing to gain from it
            os.environ.setdefault("QTWEBENGINE_DISABLE_SANDBOX", "1")
    try:
        import webview
        from webview.errors import WebViewException
    except ImportError:
        raise NoWindow("pywebview is not installed") from None
    webview.settings["ALLOW_DOWNLOADS"] = True  # the recovery sheet
    webview.settings["OPEN_EXTERNAL_LINKS_IN_BROWSER"] = True
    webview.create_window(
        TITLE, address, width=SIZE[0], height=SIZE[1], min_size=SIZE_MIN, text_select=True
    )
    try:
        # Named where it is there, since trying the other one first prints a traceback.
        webview.start(gui="qt" if find_spec("PySide6") else None, private_mode=True)
    except WebViewException as error:
        raise NoWindow("neither Qt nor WebKitGTK is installed") from error
