"""Notes on friends as a few bytes in the catalog: when they were last looked at, and one for each.

They only help to judge: what cannot be read, or was written by another version, is begun anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from signaling.messages import MemberId

N = TypeVar("N")


def encode_notes(version: int, at_s: float, notes: Mapping[MemberId, N]) -> bytes:
    """The inverse of `decode_notes`."""
    plain = {bytes(member): one for member, one in notes.items()}
    return msgspec.msgpack.encode((version, at_s, plain))


def decode_notes(
    data: bytes | None, version: int, kind: type[N]
) -> tuple[float, dict[MemberId, N]]:
    """When the friends were last looked at, and what was noted of each; 0 and nothing without."""
    try:
        found, at_s, notes = msgspec.msgpack.decode(
            data or b"",
            type=tuple[int, float, dict[bytes, kind]],  # type: ignore[valid-type]
        )
    except msgspec.MsgspecError:
        return 0.0, {}
    if found != version:
        return 0.0, {}
    return at_s, {MemberId(member): one for member, one in notes.items()}
