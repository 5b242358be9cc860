"""Paths of a snapshot as tuples of names, and which of them a person wants."""

from __future__ import annotations

from collections.abc import Iterable

Parts = tuple[bytes, ...]


def split_path(path: bytes) -> Parts:
    """The names of an absolute path."""
    return tuple(part for part in path.split(b"/") if part)


def join_path(parts: Parts) -> bytes:
    """The absolute path of these names."""
    return b"/" + b"/".join(parts)


class Selection:
    """Which paths of a snapshot are wanted: those named, and all below them; all when none is."""

    def __init__(self, paths: Iterable[bytes]) -> None:
        self._paths = [split_path(path) for path in paths]

    def inside(self, parts: Parts) -> bool:
        """Whether this path is wanted itself."""
        return not self._paths or any(parts[: len(path)] == path for path in self._paths)

    def above(self, parts: Parts) -> bool:
        """Whether this path, or something below it, may be wanted."""
        return self.inside(parts) or any(path[: len(parts)] == parts for path in self._paths)
