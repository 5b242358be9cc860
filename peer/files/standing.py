"""What stands where a file is to come, and whether it is that file already.

A restore that was interrupted is simply begun again. What it has written is not fetched a second
time: a file of the right size is cut and hashed as a backup would do it, and when all its chunks
have the wanted ids its content is right, whatever its times say. Times and sizes alone are never
believed, because a file may have been damaged without changing them; reading it costs far less
than having its bytes sent.
"""

from __future__ import annotations

import enum
import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest

from chunking import chunker
from chunking.formats import CHUNK_MIN, ChunkId, Entry

READ_BYTES = 1 << 20

ChunkIdOf = Callable[[bytes], ChunkId]


class Standing(enum.Enum):
    """What to do about what stands at a file's place."""

    NOTHING = "nothing"  # nothing is there: write
    OTHER = "other"  # something else, that may be replaced: write
    SAME_SIZE = "same size"  # may be the file itself, and may be replaced: compare, then write
    KEEP = "keep"  # may not be replaced
    KEEP_SAME = "keep same"  # may not be replaced, and has the wanted size and time


def judge(there: os.stat_result, entry: Entry, overwrite: str) -> Standing:
    """What to do about something with this stat where a file is wanted."""
    same_size = stat.S_ISREG(there.st_mode) and there.st_size == entry.size
    older = there.st_mtime_ns < entry.mtime_ns
    if overwrite == "never" or (overwrite == "older" and not older):
        same = same_size and there.st_mtime_ns == entry.mtime_ns
        return Standing.KEEP_SAME if same else Standing.KEEP
    return Standing.SAME_SIZE if same_size else Standing.OTHER


def has_content(fd: int, entry: Entry, ids: Iterable[ChunkId], chunk_id: ChunkIdOf) -> bool:
    """Whether an open file has exactly this entry's content. Raises OSError.

    `ids` are the entry's chunks; as soon as one differs, no more is read.
    """
    is_sparse = bool(entry.extents) or (entry.size > 0 and not entry.content.ids)
    if is_sparse and not _only_holes_between(fd, entry):
        return False
    blocks = _extent_blocks(fd, entry) if entry.extents else _all_blocks(fd, entry)
    whole = entry.size < CHUNK_MIN
    chunks = [data] if whole and (data := b"".join(blocks)) else chunker.split_stream(blocks)
    return all(
        chunk is not None and wanted is not None and chunk_id(chunk) == wanted
        for chunk, wanted in zip_longest(chunks, ids)
    )


def _all_blocks(fd: int, entry: Entry) -> Iterator[bytes]:
    if not entry.content.ids:
        return
    os.lseek(fd, 0, os.SEEK_SET)
    while data := os.read(fd, READ_BYTES):
        yield data


def _extent_blocks(fd: int, entry: Entry) -> Iterator[bytes]:
    for offset, length in entry.extents:
        end = offset + length
        while offset < end:
            data = os.pread(fd, min(READ_BYTES, end - offset), offset)
            if not data:
                return
            yield data
            offset += len(data)


def _only_holes_between(fd: int, entry: Entry) -> bool:
    """Whether nothing is stored where a sparse file has holes."""
    end = 0
    for offset, length in (*entry.extents, (entry.size, 0)):
        if end < offset and _next_data(fd, end) < offset:
            return False
        end = offset + length
    return True


def _next_data(fd: int, offset: int) -> int:
    """Where the next stored byte may be; a system that cannot tell says: here."""
    if not hasattr(os, "SEEK_DATA"):
        return offset
    try:
        return os.lseek(fd, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return os.fstat(fd).st_size
        raise
