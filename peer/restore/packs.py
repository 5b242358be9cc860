"""Packs while a restore needs them: asked of the agent as a whole or in ranges, kept in scratch.

The share files of the agent are used as they are. Only when plain slices are missing are they
computed, once, beside the others. Everything was verified against the shares' names on arrival,
and every chunk is verified when it is opened.

The least recently used goes when the scratch folder is full; asking for it again fetches it again.
What is pinned stays: a worker may be reading it.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from chunking.erasure import join_range
from chunking.formats import FormatError
from peer.backup.messages import Stop
from peer.catalog import Catalog
from peer.restore.messages import (
    HavePack,
    HaveRange,
    LostPack,
    NeedPack,
    NeedRange,
    range_file,
    share_file,
)
from peer.restore.plan import Part, Shape, Span, ranges_of, worth_ranges
from peer.restore.scratch import SealedFiles

PACKS_ASKED_MAX = 6
"""Packs under way at a time: enough to keep several friends busy."""
RANGES_ASKED_MAX = 64
"""Ranges under way at a time: enough that a far friend's answers follow each other closely."""


class PackIsLost(Exception):
    """The text says why, for a person."""


class Stopped(Exception):
    """The agent wants the restore to end."""


class PackSource(Protocol):
    """The engine's way to the agent, as far as packs go."""

    def send(self, message: NeedPack | NeedRange) -> None:
        """Ask for a pack or a range of one."""
        ...

    def poll(self, *, wait: bool) -> list[HavePack | HaveRange | LostPack | Stop]:
        """What has arrived; with `wait`, at least one."""
        ...


class Packs:
    """Parts of packs in the scratch folder, and those that are on their way to it."""

    def __init__(
        self, catalog: Catalog, source: PackSource, scratch: Path, scratch_bytes_max: int
    ) -> None:
        self._catalog, self._source = catalog, source
        self._scratch, self._bytes_max = scratch, scratch_bytes_max
        self._files = SealedFiles(scratch)
        self._shapes: dict[int, Shape] = {}
        self._asked: set[Part] = set()
        self._arrived: dict[Part, list[int]] = {}
        self._held: OrderedDict[Part, None] = OrderedDict()
        self._pins: Counter[Part] = Counter()
        self._soon: frozenset[Part] = frozenset()
        self._ranges: dict[int, set[Part]] = defaultdict(set)
        self._drawn: Counter[int] = Counter()
        self._lost: dict[int, str] = {}
        self._bytes = 0

    def shape(self, row: int) -> Shape:
        """What a pack looks like."""
        shape = self._shapes.get(row)
        if shape is None:
            pack = self._catalog.pack(row)
            shape = self._shapes[row] = Shape(pack.needed, pack.length)
        return shape

    def plan(self, row: int, wanted: Sequence[Span]) -> list[Part]:
        """Parts of a pack that hold these bytes, some of them there already, some to fetch."""
        shape = self.shape(row)
        whole = Part(row, 0, shape.length)
        if self._is_known(whole):
            return [whole]
        known = [part for part in self._ranges[row] if self._is_known(part)]
        new = [span for span in wanted if not any(part.holds(*span) for part in known)]
        ranges = [Part(row, *span) for span in ranges_of(shape, new)]
        size = sum(part.length for part in ranges)
        return known + ranges if worth_ranges(shape, self._drawn[row] + size) else [whole]

    def want(self, parts: Iterable[Part]) -> None:
        """These are needed soon, in this order: ask for them, as far as there is room."""
        parts = list(parts)
        self._soon = frozenset(parts)
        for part in parts:
            if self._is_known(part) or part.row in self._lost:
                continue
            if not self._may_ask(part) or not self._make_room(part.length, spare=self._soon):
                return
            self._ask(part)

    def get(self, part: Part) -> None:
        """Wait until a part is in the scratch folder. Raises PackIsLost, Stopped."""
        if part in self._held:
            self._held.move_to_end(part)
            return
        if not self._is_known(part) and part.row not in self._lost:
            self._make_room(part.length, spare=frozenset())
            self._ask(part)
        while part not in self._arrived:
            if part.row in self._lost:
                raise PackIsLost(self._lost[part.row])
            self._hear(wait=True)
        self._settle(part, self._arrived.pop(part))

    def read(self, part: Part, offset: int, length: int) -> bytes:
        """Bytes of a part that `get` has brought. Raises FormatError when they are damaged."""
        return self._files.read(part, self.shape(part.row), offset, length)

    def pin(self, parts: Iterable[Part]) -> None:
        """Keep these until they are unpinned as often."""
        self._pins.update(parts)

    def unpin(self, parts: Iterable[Part]) -> None:
        """See pin."""
        for part in parts:
            self._pins[part] -= 1
            if not self._pins[part]:
                del self._pins[part]

    def is_crowded(self, part: Part) -> bool:
        """Whether fetching this now would exceed the scratch folder; unpinning may help."""
        return not self._is_known(part) and not self._make_room(part.length, spare=frozenset())

    def hear(self) -> None:
        """Take what has arrived, without waiting. Raises Stopped."""
        self._hear(wait=False)

    def close(self) -> None:
        """Remove what is left in the scratch folder."""
        self._pins.clear()
        while self._held:
            self._remove(next(iter(self._held)))
        self._files.close()

    def _is_known(self, part: Part) -> bool:
        return part in self._held or part in self._asked or part in self._arrived

    def _is_whole(self, part: Part) -> bool:
        return part.length == self.shape(part.row).length

    def _may_ask(self, part: Part) -> bool:
        whole = self._is_whole(part)
        under_way = sum(self._is_whole(asked) == whole for asked in self._asked)
        return under_way < (PACKS_ASKED_MAX if whole else RANGES_ASKED_MAX)

    def _ask(self, part: Part) -> None:
        self._asked.add(part)
        self._bytes += part.length
        if self._is_whole(part):
            self._source.send(NeedPack(part.row))
        else:
            self._drawn[part.row] += part.length
            self._ranges[part.row].add(part)
            self._source.send(NeedRange(*part))

    def _hear(self, *, wait: bool) -> None:
        for message in self._source.poll(wait=wait):
            match message:
                case HavePack(row, numbers):
                    self._arrive(Part(row, 0, self.shape(row).length), numbers)
                case HaveRange(row, offset, length):
                    self._arrive(Part(row, offset, length), [])
                case LostPack(row, text):
                    self._lost[row] = text
                    for part in [part for part in self._asked if part.row == row]:
                        self._asked.discard(part)
                        self._bytes -= part.length
                case Stop():
                    raise Stopped

    def _arrive(self, part: Part, numbers: list[int]) -> None:
        if part in self._asked:
            self._asked.discard(part)
            self._arrived[part] = numbers

    def _settle(self, part: Part, numbers: list[int]) -> None:
        self._held[part] = None
        missing = set(range(self.shape(part.row).needed)) - set(numbers)
        if not self._is_whole(part) or not missing:
            return
        try:
            self._compute(part.row, numbers, missing)
        except (FormatError, OSError) as error:
            self._remove(part)
            self._lost[part.row] = f"its shares do not fit together ({error})"
            raise PackIsLost(self._lost[part.row]) from error

    def _compute(self, row: int, numbers: list[int], missing: set[int]) -> None:
        """Make the missing slices from the computed shares, which are not needed any more."""
        files = {number: self._scratch / share_file(row, number) for number in numbers}
        payloads = {number: path.read_bytes() for number, path in files.items()}
        slices = join_range(payloads, self.shape(row).needed)
        for number in sorted(missing):
            (self._scratch / share_file(row, number)).write_bytes(slices[number])
        for number, path in files.items():
            if number >= self.shape(row).needed:
                path.unlink()

    # --- room -------------------------------------------------------------------------------

    def _make_room(self, size: int, spare: frozenset[Part]) -> bool:
        """Whether there is room now for so many bytes more; removes what is not spared."""
        if self._bytes + size <= self._bytes_max:
            return True
        for part in [p for p in self._held if p not in self._pins and p not in spare]:
            self._remove(part)
            if self._bytes + size <= self._bytes_max:
                return True
        return False

    def _remove(self, part: Part) -> None:
        del self._held[part]
        self._ranges[part.row].discard(part)
        self._bytes -= part.length
        self._files.keep_only([p.row for p in self._held])
        if self._is_whole(part):
            names = [share_file(part.row, number) for number in range(self.shape(part.row).needed)]
        else:
            names = [range_file(*part)]
        for name in names:
            (self._scratch / name).unlink(missing_ok=True)
