"""The beginning of one file of a snapshot, to be looked at before it is restored.

What a file is, is judged by its bytes and not by its name: text, or a picture of a kind that a
browser shows without running anything (SVG counts as text). Only the chunks that are needed are
fetched.
"""

from __future__ import annotations

import base64
import codecs

from chunking.formats import KIND_FILE, Content, Entry
from chunking.tree import split_ids, unpack_ids
from peer.restore.metadata import MetadataReader
from peer.service import Answer, Problem

PREVIEW_BYTES_MAX = 8 << 20
CHUNKS_MAX = 64
"""Chunks fetched for one preview: more than 8 MiB of chunks of the least size are."""
_PICTURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
)
_CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\r\f\x1b")


async def beginning(reader: MetadataReader, entry: Entry, size_max: int) -> bytes:
    """The first bytes of a file, at most `size_max`. Raises Problem."""
    if entry.kind != KIND_FILE:
        raise Problem("Only files can be looked at.", "Open the folder to see what is in it.")
    if not 0 < size_max <= PREVIEW_BYTES_MAX:
        raise Problem(f"A preview has 1 to {PREVIEW_BYTES_MAX} bytes.")
    size = min(entry.size, size_max)
    data = await _content(reader, entry.content, size)
    if not entry.extents:
        return data[:size]
    whole = bytearray(size)
    at = 0
    for offset, length in entry.extents:
        if offset >= size:
            break
        part = data[at : at + length][: size - offset]
        whole[offset : offset + len(part)] = part
        at += length
    return bytes(whole)


async def _content(reader: MetadataReader, content: Content, size: int) -> bytes:
    ids = split_ids(content.ids)
    for _ in range(content.level):
        below = []
        for ident in ids:
            below += unpack_ids(await reader.chunk(ident))
            if len(below) >= CHUNKS_MAX:
                break
        ids = below
    data = bytearray()
    at = 0
    together = 2  # what most files need, then more at a time
    while at < len(ids) and len(data) < size:
        group = ids[at : at + together]
        await reader.soon(group)
        for ident in group:
            data += await reader.chunk(ident)
        at += len(group)
        together *= 2
    return bytes(data[:size])


def describe_preview(data: bytes, size: int) -> Answer:
    """What the window is told: kind is text, image or other; `whole` when all of it is there."""
    whole = len(data) == size
    answer: Answer = {"kind": "other", "type": "", "size": size, "whole": whole, "data": ""}
    picture = picture_type(data)
    if picture:
        if not whole:
            return answer
        answer |= {"kind": "image", "type": picture}
    elif is_text(data, whole=whole):
        answer |= {"kind": "text", "type": "text/plain"}
    else:
        return answer
    return answer | {"data": base64.b64encode(data).decode()}


def picture_type(data: bytes) -> str:
    """The media type of a picture that a browser shows, or nothing."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:12] == b"ftypavif":
        return "image/avif"
    return next((kind for magic, kind in _PICTURES if data.startswith(magic)), "")


def is_text(data: bytes, *, whole: bool) -> bool:
    """Whether these bytes are UTF-8 for people; the end may be cut unless it is `whole`."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data, whole)
    except UnicodeDecodeError:
        return False
    return _CONTROLS.isdisjoint(data)
