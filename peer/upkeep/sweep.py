"""Mark and sweep: which chunks the kept snapshots need, and what that means for each pack.

Chunks are numbers here, and a set of chunks is one byte for each number that was ever given: ten
million chunks take ten megabytes, and marking one takes one store. Nothing is read but the catalog.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import compress

from chunking.pack import length_of

Node = tuple[Sequence[int], Sequence[int]]
"""The nodes and the leaves that a node refers to."""


class UnknownNode(Exception):
    """What a chunk refers to is not known, so that nothing may be called unneeded."""

    def __init__(self, number: int) -> None:
        super().__init__(f"node {number} is not known")
        self.number = number


def mark(live: bytearray, roots: Iterable[int], node_of: Callable[[int], Node | None]) -> None:
    """Set `live[number]` for all that `roots` lead to. Raises UnknownNode.

    What is marked already is not followed again: `live` may come from an earlier call, provided
    that it was filled by calls that ended well.
    """
    stack = [root for root in roots if not live[root]]
    while stack:
        number = stack.pop()
        if live[number]:
            continue
        node = node_of(number)
        if node is None:
            raise UnknownNode(number)
        live[number] = 1
        nodes, leaves = node
        for leaf in leaves:
            live[leaf] = 1
        stack += [below for below in nodes if not live[below]]


@dataclass(frozen=True, slots=True)
class Use:
    """How much of a pack is needed: sealed bytes and chunks of it that are live."""

    pack: int
    kind: int
    length: int
    live_bytes: int
    live_chunks: int

    @property
    def needed(self) -> int:
        """How long the pack would be with nothing but its live chunks."""
        return length_of(self.live_chunks, self.live_bytes)

    @property
    def waste(self) -> int:
        """Bytes that nothing needs."""
        return max(self.length - self.needed, 0)


def measure(
    pack: int,
    kind: int,
    length: int,
    numbers: Sequence[int],
    lengths: Sequence[int],
    live: bytearray,
) -> Use:
    """How much of one pack is live."""
    flags = [live[number] for number in numbers]
    return Use(pack, kind, length, sum(compress(lengths, flags)), sum(flags))


@dataclass(frozen=True, slots=True)
class Change:
    """What a night took away from the last snapshot's data: chunks and sealed bytes."""

    chunks: int = 0
    bytes: int = 0
    gone_chunks: int = 0
    gone_bytes: int = 0

    def __add__(self, other: Change) -> Change:
        return Change(
            self.chunks + other.chunks,
            self.bytes + other.bytes,
            self.gone_chunks + other.gone_chunks,
            self.gone_bytes + other.gone_bytes,
        )

    @property
    def is_drastic(self) -> bool:
        """Whether most of the last snapshot is gone, and there was enough of it to say so."""
        return self.chunks >= GUARD_CHUNKS_MIN and (
            self.gone_chunks > self.chunks * GUARD_FRACTION
            or self.gone_bytes > self.bytes * GUARD_FRACTION
        )


GUARD_FRACTION = 0.5
GUARD_CHUNKS_MIN = 10
"""Of fewer chunks most change on a common day."""


def compare(
    numbers: Sequence[int], lengths: Sequence[int], before: bytearray, now: bytearray
) -> Change:
    """What one data pack's share of the change is."""
    had = [before[number] for number in numbers]
    gone = [was and not now[number] for was, number in zip(had, numbers, strict=True)]
    return Change(sum(had), sum(compress(lengths, had)), sum(gone), sum(compress(lengths, gone)))
