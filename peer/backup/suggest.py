"""What is usually not worth a backup, and how much of it lies below the marks.

Names of caches and build folders, and whatever carries a CACHEDIR.TAG. Nothing is left out by this:
it is offered. The look is bounded in entries, so that a huge disk costs seconds and not minutes;
what was not looked at is said by `whole`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from peer.service import Answer

ENTRIES_MAX = 300_000
"""Names looked at for one answer: about three seconds on a disk that is awake."""
TAGGED_MAX = 20
"""Folders with a CACHEDIR.TAG of their own that are offered, the largest first."""
CACHE_TAG = b"CACHEDIR.TAG"
CACHE_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"

USUAL: dict[str, tuple[str, ...]] = {
    "caches": (".cache/", "Cache/", "Caches/", "__pycache__/", ".mypy_cache/", ".pytest_cache/"),
    "packages": ("node_modules/", ".venv/", "venv/", ".tox/"),
    "builds": ("target/", "build/", "dist/", ".gradle/"),
    "thumbnails": (".thumbnails/", "Thumbs.db", ".DS_Store"),
    "trash": ("Trash/", ".Trash/", ".Trash-*/"),
    "unfinished": ("*.tmp", "*.part", "*.crdownload", "~$*"),
}
"""Topic -> patterns, as `ignore.py` has them."""


@dataclass(slots=True)
class _Found:
    files: int = 0
    bytes: int = 0
    places: list[str] = field(default_factory=list)


class _Look:
    def __init__(self, topics: dict[str, tuple[str, ...]], entries_max: int) -> None:
        self.left = entries_max
        self.topics = {topic: _Found() for topic in topics}
        self.tagged: dict[str, _Found] = {}
        self._folders = {
            pattern.rstrip("/").encode(): topic
            for topic, patterns in topics.items()
            for pattern in patterns
            if pattern.endswith("/") and "*" not in pattern
        }
        self._files = [
            (pattern.encode(), topic)
            for topic, patterns in topics.items()
            for pattern in patterns
            if not pattern.endswith("/")
        ]

    def walk(self, mark: bytes) -> None:
        stack: list[tuple[bytes, _Found | None]] = [(mark, None)]
        while stack and self.left > 0:
            path, into = stack.pop()
            for entry in _entries(path):
                self.left -= 1
                if entry.is_dir(follow_symlinks=False):
                    stack.append((entry.path, into or self._folder(entry)))
                else:
                    found = into or self._file(entry.name)
                    if found is not None:
                        _count(found, entry)

    def _folder(self, entry: os.DirEntry[bytes]) -> _Found | None:
        topic = self._folders.get(entry.name)
        if topic is None and entry.name.startswith(b".Trash-"):
            topic = "trash"
        if topic in self.topics:
            found = self.topics[topic]
        elif _is_tagged(entry.path):
            found = self.tagged.setdefault(os.fsdecode(entry.path), _Found())
        else:
            return None
        if len(found.places) < 3:
            found.places.append(os.fsdecode(entry.path))
        return found

    def _file(self, name: bytes) -> _Found | None:
        for pattern, topic in self._files:
            fits = name == pattern
            if pattern.startswith(b"*"):
                fits = name.endswith(pattern[1:])
            elif pattern.endswith(b"*"):
                fits = name.startswith(pattern[:-1])
            if fits:
                return self.topics[topic]
        return None


def _entries(path: bytes) -> Iterable[os.DirEntry[bytes]]:
    try:
        with os.scandir(path) as found:
            return list(found)
    except OSError:
        return []


def _is_tagged(folder: bytes) -> bool:
    try:
        with open(os.path.join(folder, CACHE_TAG), "rb") as file:
            return file.read(len(CACHE_SIGNATURE)) == CACHE_SIGNATURE
    except OSError:
        return False


def _count(found: _Found, entry: os.DirEntry[bytes]) -> None:
    try:
        found.bytes += entry.stat(follow_symlinks=False).st_size
        found.files += 1
    except OSError:
        pass  # gone meanwhile


def suggestions(
    marks: Iterable[bytes], patterns: Sequence[str], entries_max: int = ENTRIES_MAX
) -> Answer:
    """What may be left out of these marks: suggestions: [{topic, patterns, files, bytes, places,
    on}], the largest first, and whole. A topic is `tagged` for a folder that says it is a cache.
    """
    look = _Look(USUAL, entries_max)
    for mark in marks:
        look.walk(mark)
    chosen = set(patterns)
    answers = [
        _answer(topic, list(USUAL[topic]), found, chosen) for topic, found in look.topics.items()
    ]
    tagged = sorted(look.tagged.items(), key=lambda one: -one[1].bytes)[:TAGGED_MAX]
    answers += [_answer("tagged", [path + "/"], found, chosen) for path, found in tagged]
    worth = [one for one in answers if one["files"] or one["on"]]
    worth.sort(key=lambda one: (-one["bytes"], one["topic"]))
    return {"suggestions": worth, "whole": look.left > 0}


def _answer(topic: str, patterns: list[str], found: _Found, chosen: set[str]) -> Answer:
    return {
        "topic": topic,
        "patterns": patterns,
        "files": found.files,
        "bytes": found.bytes,
        "places": found.places,
        "on": chosen.issuperset(patterns),
    }
