"""A command line in the quoting of each format that holds one. Paths may hold anything but NUL.

Each function takes the words of the command and gives one line; placeholders of the format, such as
%F, are not words: they are added behind.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Sequence

_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./-]+")


def for_shell(words: Sequence[str]) -> str:
    """For a POSIX shell, and for what takes lines apart as one does."""
    return shlex.join(words)


def for_action(words: Sequence[str]) -> str:
    """For Thunar, Nemo and PCManFM: as for a shell, and % begins a placeholder."""
    return for_shell(words).replace("%", "%%")


def for_desktop_entry(words: Sequence[str]) -> str:
    """For Exec= of a desktop entry: its own quoting, inside the escapes of every string there."""

    def quoted(word: str) -> str:
        word = word.replace("%", "%%")
        if _PLAIN.fullmatch(word):
            return word
        return '"' + re.sub(r'(["`$\\])', r"\\\1", word) + '"'

    return _escaped(" ".join(quoted(word) for word in words))


def for_systemd(words: Sequence[str]) -> str:
    """For ExecStart= of a unit, where % and $ begin placeholders."""

    def quoted(word: str) -> str:
        word = word.replace("%", "%%").replace("$", "$$")
        if _PLAIN.fullmatch(word):
            return word
        return '"' + _escaped(word).replace('"', '\\"') + '"'

    return " ".join(quoted(word) for word in words)


def for_windows(words: Sequence[str]) -> str:
    """For programs that take their line apart as Microsoft's C library does."""
    return subprocess.list2cmdline(words)


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\\\")
    return text.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
