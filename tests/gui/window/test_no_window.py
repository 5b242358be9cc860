"""Where there can be no window, the reason is a clause that a sentence can take in."""

from __future__ import annotations

import sys

import pytest

from gui.window.window import NoWindow, show

ADDRESS = "http://127.0.0.1:1/"


def test_without_a_screen_there_is_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(NoWindow, match=r"^there is no screen$"):
        show(ADDRESS)


def test_without_pywebview_there_is_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setitem(sys.modules, "webview", None)
    with pytest.raises(NoWindow, match=r"^pywebview is not installed$"):
        show(ADDRESS)
