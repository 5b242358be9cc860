"""Messages between this program's own processes: msgpack frames over pipes.

A frame is a 4-byte big-endian length and a msgpack-encoded tagged struct. Both ends are the same
version of the same program, started by it, so there is no version and a bad frame is our bug.
Blocking writes are the back-pressure: a process that is ahead of its reader waits.
"""

from __future__ import annotations

import os
from typing import Any

import msgspec

LENGTH_BYTES = 4
FRAME_BYTES_MAX = 64 << 20
"""A batch of results or a metadata blob; far above what is sent, so that a bug cannot eat RAM."""
READ_BYTES = 1 << 16


class PipeClosed(Exception):
    """The other process has ended."""


def encode_frame(message: msgspec.Struct) -> bytes:
    """One frame, ready to be written."""
    body = msgspec.msgpack.encode(message)
    assert len(body) <= FRAME_BYTES_MAX, f"frame of {len(body)} bytes"
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


class FramedPipe:
    """A pair of file descriptors that carry frames; `kinds` is the union of what may arrive."""

    def __init__(self, read_fd: int, write_fd: int, kinds: Any) -> None:  # noqa: ANN401 - a union type
        self.read_fd = read_fd
        self.write_fd = write_fd
        self._decoder = msgspec.msgpack.Decoder(kinds)
        self._buffer = bytearray()

    def send(self, message: msgspec.Struct) -> None:
        """Write one frame; waits while the pipe is full. Raises PipeClosed."""
        view = memoryview(encode_frame(message))
        try:
            while view:
                view = view[os.write(self.write_fd, view) :]
        except BrokenPipeError as error:
            raise PipeClosed from error

    def receive(self) -> Any:  # noqa: ANN401 - one of `kinds`
        """The next message; waits for it. Raises PipeClosed at the end."""
        while (message := self.buffered()) is None:
            self.fill()
        return message

    def fill(self) -> None:
        """Read what is there; waits when nothing is. Raises PipeClosed at the end."""
        data = os.read(self.read_fd, READ_BYTES)
        if not data:
            raise PipeClosed
        self._buffer += data

    def buffered(self) -> Any:  # noqa: ANN401 - one of `kinds`, or None
        """The next message that has arrived whole, or None."""
        if len(self._buffer) < LENGTH_BYTES:
            return None
        end = LENGTH_BYTES + int.from_bytes(self._buffer[:LENGTH_BYTES], "big")
        if len(self._buffer) < end:
            return None
        with memoryview(self._buffer) as view:
            message = self._decoder.decode(view[LENGTH_BYTES:end])
        del self._buffer[:end]
        return message

    def close(self) -> None:
        """Close both directions; the other process sees the end."""
        os.close(self.read_fd)
        os.close(self.write_fd)
