"""The frames of a session: what one `Link.send` carries.

    offset  length
         0       1  type
         1       4  stream id, big-endian; 0 in PING and PONG, nowhere else
         5       n  payload

    type  payload                        n
    OPEN     a request                   1 to 61,440
    MESSAGE  an answer                   1 to 61,440
    DATA     bytes of a share or record  1 to 61,440
    FINISH   none                        0
    RESET    a code, in ASCII            1 to 16
    CREDIT   a number of bytes           4
    PING     anything                    8
    PONG     what the PING had           8

`decode` checks all that a frame alone can tell; session.py checks what came before it.
"""

from __future__ import annotations

from typing import Final

from datachannel.errors import ProtocolError
from datachannel.messages import MESSAGE_BYTES_MAX, REFUSAL_CODES

FRAME_BYTES_MAX: Final = 64 * 1024
"""What every WebRTC engine carries in one message."""
DATA_BYTES_MAX: Final = 60 * 1024
HEADER_BYTES: Final = 5
STREAM_ID_MAX: Final = 2**32 - 1
CODE_BYTES_MAX: Final = 16
TOKEN_BYTES: Final = 8

OPEN: Final = 1
MESSAGE: Final = 2
DATA: Final = 3
FINISH: Final = 4
RESET: Final = 5
CREDIT: Final = 6
PING: Final = 7
PONG: Final = 8

CANCELLED: Final = "cancelled"
"""The code of a stream that its own side gave up, without a fault of anybody."""
CODES: Final = frozenset((*REFUSAL_CODES, CANCELLED))

_LENGTHS: Final = {
    OPEN: (1, MESSAGE_BYTES_MAX),
    MESSAGE: (1, MESSAGE_BYTES_MAX),
    DATA: (1, DATA_BYTES_MAX),
    FINISH: (0, 0),
    RESET: (1, CODE_BYTES_MAX),
    CREDIT: (4, 4),
    PING: (TOKEN_BYTES, TOKEN_BYTES),
    PONG: (TOKEN_BYTES, TOKEN_BYTES),
}


def encode(kind: int, stream_id: int, payload: bytes | memoryview = b"") -> bytes:
    """A frame. The payload is copied, once."""
    return b"".join((bytes((kind,)), stream_id.to_bytes(4, "big"), payload))


def decode(frame: bytes) -> tuple[int, int, bytes]:
    """Type, stream id and payload of a frame. Raises ProtocolError."""
    if len(frame) < HEADER_BYTES:
        raise ProtocolError(f"a frame of {len(frame)} bytes")
    kind = frame[0]
    bounds = _LENGTHS.get(kind)
    if bounds is None:
        raise ProtocolError(f"a frame of type {kind}")
    stream_id = int.from_bytes(frame[1:HEADER_BYTES], "big")
    if (stream_id == 0) != (kind in (PING, PONG)):
        raise ProtocolError(f"a frame of type {kind} on stream {stream_id}")
    if not bounds[0] <= len(frame) - HEADER_BYTES <= bounds[1]:
        raise ProtocolError(f"a frame of type {kind} with {len(frame)} bytes")
    return kind, stream_id, frame[HEADER_BYTES:]


def encode_reset(stream_id: int, code: str) -> bytes:
    """The frame that ends a stream at once."""
    assert code in CODES, code
    return encode(RESET, stream_id, code.encode("ascii"))


def decode_code(payload: bytes) -> str:
    """The code of a RESET; one that a newer version may know counts as `internal`."""
    code = payload.decode("ascii", "replace")
    return code if code in CODES else "internal"


def encode_credit(stream_id: int, size: int) -> bytes:
    """The frame that lets the other side send so much more."""
    return encode(CREDIT, stream_id, size.to_bytes(4, "big"))


def decode_credit(payload: bytes) -> int:
    """How much more may be sent."""
    return int.from_bytes(payload, "big")
