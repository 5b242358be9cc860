"""Cut bytes into chunks where their content says so (FastCDC 2020).

An insertion moves the bytes behind it and not the cuts in them: what was backed up is found
again. The cuts are part of the format in effect: other cuts would make every backup ship
everything anew, so a test freezes them.

`split_stream` cuts exactly where `cut_lengths` does on the whole, in bounded memory: a cut is
believed once CHUNK_MAX bytes behind the last one were there to look at, or the end was.

`COMPILED` is False where the fastcdc package has no compiled code; it is 200 times slower
then, and whoever starts a backup must say so.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

from chunking.formats import CHUNK_AVG, CHUNK_MAX, CHUNK_MIN

_Cutter = Callable[..., Iterator[Any]]

_WINDOW_BYTES = 4 * CHUNK_MAX  # cut this much at a time: what is left over is copied once more


def _load(module: str, name: str) -> _Cutter:
    # Not the fastcdc package itself: importing that prints when there is no compiled code.
    return cast("_Cutter", getattr(importlib.import_module(module), name))


try:
    _fastcdc = _load("fastcdc.fastcdc_cy", "fastcdc_cy")
    COMPILED = True
except ImportError:
    _fastcdc = _load("fastcdc.fastcdc_py", "fastcdc_py")
    COMPILED = False


def cut_lengths(data: bytes | bytearray | memoryview) -> list[int]:
    """The lengths of the chunks of `data`, in order. Their sum is its length."""
    return [chunk.length for chunk in _fastcdc(memoryview(data), CHUNK_MIN, CHUNK_AVG, CHUNK_MAX)]


def split_stream(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks of a stream that arrives in blocks of any size. Nothing at all has no chunks.

    Holds a window and one block at a time.
    """
    buffer = bytearray()
    for block in blocks:
        buffer += block
        if len(buffer) >= _WINDOW_BYTES:
            lengths = _sure_lengths(buffer)
            yield from _slices(buffer, lengths)
            del buffer[: sum(lengths)]
    if len(buffer) > CHUNK_MIN:
        yield from _slices(buffer, cut_lengths(buffer))
    elif buffer:
        yield bytes(buffer)


def _sure_lengths(buffer: bytearray) -> list[int]:
    """The cuts that no byte after the end of `buffer` could move."""
    lengths: list[int] = []
    left = len(buffer)
    cuts = _fastcdc(memoryview(buffer), CHUNK_MIN, CHUNK_AVG, CHUNK_MAX)
    while left >= CHUNK_MAX:
        length = next(cuts).length
        lengths.append(length)
        left -= length
    return lengths


def _slices(buffer: bytearray, lengths: list[int]) -> Iterator[bytes]:
    begin = 0
    with memoryview(buffer) as view:
        for length in lengths:
            yield bytes(view[begin : begin + length])
            begin += length
