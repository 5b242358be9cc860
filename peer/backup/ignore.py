"""What a person does not want backed up: patterns as in .gitignore, kept like the retention.

A pattern without a slash inside (`node_modules/`, `*.tmp`) means every file or folder of that name
below a mark. One that begins with a slash is a path of this computer, one with a slash inside a
path below the marked folder. A slash at the end means folders alone. What somebody marked, and what
leads to a mark, is never left out. There are no exceptions (`!`): a list of what is left out must
be readable without working out what comes back in.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from pathspec.patterns.gitignore import GitIgnorePatternError
from pathspec.patterns.gitignore.basic import GitIgnoreBasicPattern

from chunking.formats import SETTING_CHARS_MAX
from peer.catalog import Catalog
from peer.service import Problem

PATTERNS_MAX = 200
"""Each is tried on every name of a night."""
PATTERN_CHARS_MAX = 300
TOGETHER_CHARS_MAX = SETTING_CHARS_MAX
"""They are one setting of the root record."""
NAMES_REMEMBERED = 1 << 14
"""Verdicts on names: most names of a disk come again and again. About 2 MB."""

_SETTING, _WAITING = "ignore", "waiting ignore"


def ignored_of(catalog: Catalog, settings: Mapping[str, str | int]) -> list[str]:
    """The patterns that hold from the next night on; those that are not understood are left out."""
    waiting = catalog.get_meta(_WAITING)
    text = waiting.decode() if waiting is not None else str(settings.get(_SETTING, ""))
    return [line for line in text.splitlines()[:PATTERNS_MAX] if _understood(line)]


def change_ignored(catalog: Catalog, patterns: Sequence[str]) -> None:
    """Leave these out from the next night on. Raises Problem for what is no pattern."""
    wanted = list(dict.fromkeys(pattern.strip() for pattern in patterns))
    if len(wanted) > PATTERNS_MAX or len("\n".join(wanted)) > TOGETHER_CHARS_MAX:
        raise Problem("So many patterns cannot be kept.", "Join some of them by a *.")
    for pattern in wanted:
        if not _understood(pattern):
            raise Problem(
                f"«{pattern}» is no pattern.",
                "Write a name (*.tmp, node_modules/) or a path; exceptions (!) are not possible.",
            )
    catalog.set_meta(_WAITING, "\n".join(wanted).encode())


def next_ignored(catalog: Catalog, settings: Mapping[str, str | int]) -> dict[str, str]:
    """What the next root record says of it; nothing where nothing is left out."""
    patterns = ignored_of(catalog, settings)
    return {_SETTING: "\n".join(patterns)} if patterns else {}


def without_ignored(settings: Mapping[str, str | int]) -> dict[str, str | int]:
    """Settings without what `next_ignored` writes."""
    return {name: value for name, value in settings.items() if name != _SETTING}


def _understood(pattern: str) -> bool:
    if not 0 < len(pattern) <= PATTERN_CHARS_MAX or pattern[0] in "!#" or not pattern.isprintable():
        return False
    try:
        return GitIgnoreBasicPattern(pattern).include is True and pattern.strip("/*") != ""
    except GitIgnorePatternError:
        return False


class Ignored:
    """Tells what is left out below marks. Patterns must be ones that `ignored_of` gave."""

    def __init__(self, patterns: Iterable[str], marks: Iterable[bytes]) -> None:
        self._marks = sorted(set(marks))
        names: list[GitIgnoreBasicPattern] = []
        self._whole: list[GitIgnoreBasicPattern] = []
        self._below: list[GitIgnoreBasicPattern] = []
        for pattern in patterns:
            anchored = "/" in pattern.rstrip("/")
            kind = self._whole if pattern[0] == "/" else self._below if anchored else names
            kind.append(GitIgnoreBasicPattern(pattern))
        self._nothing = not (names or self._whole or self._below)

        @lru_cache(NAMES_REMEMBERED)
        def by_name(name: bytes, folder: bool) -> bool:
            return _any(names, name, folder)

        self._by_name = by_name

    def __call__(self, mark: bytes, path: bytes, name: bytes, folder: bool) -> bool:
        """Whether the file or folder `path`, called `name`, below `mark` is left out."""
        if self._nothing or not self._matches(mark, path, name, folder):
            return False
        return not any((one + b"/").startswith(path + b"/") for one in self._marks)

    def _matches(self, mark: bytes, path: bytes, name: bytes, folder: bool) -> bool:
        if self._by_name(name, folder):
            return True
        if self._whole and _any(self._whole, path.lstrip(b"/"), folder):
            return True
        return bool(self._below) and _any(self._below, os.path.relpath(path, mark), folder)


def _any(patterns: Iterable[GitIgnoreBasicPattern], path: bytes, folder: bool) -> bool:
    text = os.fsdecode(path) + "/" * folder
    return any(pattern.match_file(text) is not None for pattern in patterns)
