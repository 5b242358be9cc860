"""Folders: those that most people would miss, with their sizes, and any other to choose from."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from peer.backup.lookahead import count_files
from peer.service import Problem

FOLDERS_MAX = 2_000
"""Of one folder's sub-folders, to choose from."""
GOOD_FOR_S = 60.0
"""A size that was counted is believed for so long."""


@dataclass(slots=True)
class _Count:
    at_s: float
    files: int = 0
    size: int | None = None


def usual_folders() -> list[Path]:
    """Documents, Pictures, Desktop and so on, as the system calls them."""
    here = platformdirs.PlatformDirs()
    found = [
        here.user_documents_dir,
        here.user_pictures_dir,
        here.user_desktop_dir,
        here.user_videos_dir,
        here.user_music_dir,
    ]
    home = Path.home()
    return [path for path in dict.fromkeys(map(Path, found)) if path != home]


class Suggestions:
    """Counts the usual folders in the background. `now_s` is a monotonic clock, seconds."""

    def __init__(
        self, now_s: Callable[[], float], folders: Callable[[], Sequence[Path]] = usual_folders
    ) -> None:
        self._now_s, self._folders = now_s, folders
        self._counts: dict[Path, _Count] = {}
        self._lock = threading.Lock()

    def as_answer(self) -> list[dict[str, Any]]:
        """path, name, exists, files and bytes, which is None while it is being counted."""
        return [self._one(path) for path in self._folders()]

    def _one(self, path: Path) -> dict[str, Any]:
        exists = path.is_dir()
        with self._lock:
            count = self._counts.get(path)
            now_s = self._now_s()
            fresh = count is not None and (count.size is None or now_s - count.at_s < GOOD_FOR_S)
            if exists and not fresh:
                count = self._counts[path] = _Count(now_s)
                threading.Thread(target=self._fill, args=(path, count), daemon=True).start()
        known = count if exists else _Count(0, 0, 0)
        assert known is not None
        return {
            "path": str(path),
            "name": path.name,
            "exists": exists,
            "files": known.files,
            "bytes": known.size,
        }

    def _fill(self, path: Path, count: _Count) -> None:
        files, size = count_files([os.fsencode(path)], [])
        with self._lock:
            count.files, count.size = files, size


def folders_in(path: str) -> dict[str, Any]:
    """path, its parent ("" for none), and folders: [{name, path}], for a page that lets choose."""
    place = os.path.abspath(path or os.path.expanduser("~"))
    try:
        with os.scandir(place) as entries:
            names = sorted(
                (entry.name for entry in entries if entry.is_dir() and entry.name[0] != "."),
                key=str.casefold,
            )
    except OSError as error:
        reason = (error.strerror or "it cannot be read").lower()
        raise Problem(f"{place} cannot be opened: {reason}.", "Choose another folder.") from error
    parent = os.path.dirname(place)
    return {
        "path": place,
        "parent": "" if parent == place else parent,
        "folders": [
            {"name": name, "path": os.path.join(place, name)} for name in names[:FOLDERS_MAX]
        ],
    }
