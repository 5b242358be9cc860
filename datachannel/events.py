"""What a session tells its owner.

A stream begins with `Opened` (or with `Session.open`, on the other side) and its last event is
`Closed`.
"""

from __future__ import annotations

from dataclasses import dataclass

from datachannel.messages import Answer, Request


@dataclass(frozen=True, slots=True)
class Opened:
    """The other side asks for something."""

    stream_id: int
    request: Request


@dataclass(frozen=True, slots=True)
class Received:
    """The next piece of a stream. Say `consumed(stream_id, size)` when it is used up."""

    stream_id: int
    item: Answer | bytes
    size: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The other side sends no more on this stream."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class WasReset:
    """The other side ended this stream at once; `code` is one of `frames.CODES`."""

    stream_id: int
    code: str


@dataclass(frozen=True, slots=True)
class Sendable:
    """`can_send` said no before, and may now say yes."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The last event of a stream."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class PeerSilent:
    """Nothing came for SILENT_S_MAX. The last event of a session."""


Event = Opened | Received | Finished | WasReset | Sendable | Closed | PeerSilent
