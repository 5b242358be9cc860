"""Paths of a snapshot as tuples of names, and which of them a person wants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Parts = tuple[bytes, ...]


def split_path(path: bytes) -> Parts:
    """The names of an absolute path."""
    return tuple(part for part in path.split(b"/") if part)


def join_path(parts: Parts) -> bytes:
    """The absolute path of these names."""
    return b"/" + b"/".join(parts)


def prefixes(parts: Parts) -> Iterator[Parts]:
    """() first, then what leads to the path, the path itself last."""
    return (parts[:end] for end in range(len(parts) + 1))


class Selection:
    """Which paths of a snapshot are wanted: those named, and all below them; all when none is."""

    def __init__(self, paths: Iterable[bytes]) -> None:
        self._wanted = {split_path(path) for path in paths} or {()}
        self._leading = {prefix for path in self._wanted for prefix in prefixes(path)}
        self._unseen = set(self._wanted)

    def inside(self, parts: Parts) -> bool:
        """Whether this path is wanted itself."""
        return any(prefix in self._wanted for prefix in prefixes(parts))

    def above(self, parts: Parts) -> bool:
        """Whether this path, or something below it, may be wanted."""
        return parts in self._leading or self.inside(parts)

    def see(self, parts: Parts) -> None:
        """This path is in the snapshot."""
        self._unseen.discard(parts)

    def unseen(self) -> list[Parts]:
        """The named paths that are not in the snapshot."""
        return sorted(self._unseen)

    def nothing_seen(self) -> bool:
        """Whether none of the named paths is in the snapshot."""
        return self._unseen == self._wanted
