"""One stream's two directions: who has finished, and how much either side may send.

    state      FINISH sent  FINISH received
    open       sent_all     got_all
    sent_all                closed
    got_all    closed

Each direction starts with a credit of WINDOW_BYTES. A frame with a message or data is charged at
least CHARGE_BYTES_MIN, at both ends alike, so that credit bounds the number of frames as well as
their bytes. The receiver grants again what its application has consumed.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Literal

from datachannel.errors import ProtocolError

WINDOW_BYTES: Final = 1 << 20
"""Per direction of a stream: 8 of them fill a line of 1 Gbit/s with a round trip of 60 ms."""
CHARGE_BYTES_MIN: Final = 16 * 1024
"""No frame costs less credit, so that a window holds at most 64 of them."""
GRANT_BYTES_MIN: Final = 256 * 1024
"""Credit is granted in such amounts, to send few frames back."""
QUEUE_BYTES_MAX: Final = 256 * 1024
"""What waits here per stream; the sender waits when there is more."""

State = Literal["open", "sent_all", "got_all", "closed"]

_NEXT_STATE: Final[dict[tuple[State, str], State]] = {
    ("open", "sent"): "sent_all",
    ("open", "got"): "got_all",
    ("sent_all", "got"): "closed",
    ("got_all", "sent"): "closed",
}


def charge(size: int) -> int:
    """The credit that a frame with such a payload costs."""
    return max(size, CHARGE_BYTES_MIN)


class Flow:
    """A stream's state, its queue of frames, and its credit."""

    __slots__ = (
        "_consumed",
        "_queue",
        "_queued_bytes",
        "_receive_credit",
        "_send_credit",
        "id",
        "is_blocked",
        "is_finishing",
        "is_left",
        "state",
    )

    def __init__(self, stream_id: int) -> None:
        self.id = stream_id
        self.state: State = "open"
        self.is_blocked = False  # somebody waits to send
        self.is_finishing = False  # FINISH is queued or sent
        self.is_left = False  # RESET is queued behind FINISH: nobody cares for more
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._send_credit = WINDOW_BYTES
        self._receive_credit = WINDOW_BYTES
        self._consumed = 0  # and not granted again yet

    def advance(self, happened: Literal["sent", "got"]) -> None:
        """FINISH was sent, or received."""
        self.state = _NEXT_STATE[self.state, happened]

    # Sending

    def may_send(self, size: int) -> bool:
        """Whether there is credit, and room in the queue. If not, it counts as blocked."""
        if self._send_credit >= charge(size) and self._queued_bytes + size <= QUEUE_BYTES_MAX:
            return True
        self.is_blocked = True
        return False

    def spend(self, size: int) -> None:
        """A frame is to be queued; `may_send` has said yes."""
        assert not self.is_finishing, "it was finished"
        self._send_credit -= charge(size)
        assert self._send_credit >= 0, "ask before"

    def take_credit(self, size: int) -> None:
        """The other side lets us send more."""
        self._send_credit += size
        if size == 0 or self._send_credit > WINDOW_BYTES:
            raise ProtocolError(f"a credit of {size} bytes that is not due")

    def push(self, frame: bytes) -> None:
        """Queue a frame."""
        self._queue.append(frame)
        self._queued_bytes += len(frame)

    def pop(self) -> bytes:
        """The next frame of the queue."""
        frame = self._queue.popleft()
        self._queued_bytes -= len(frame)
        return frame

    @property
    def has_frames(self) -> bool:
        """Whether something is queued."""
        return bool(self._queue)

    @property
    def is_low(self) -> bool:
        """Whether it is time to fill the queue again."""
        return self._queued_bytes <= QUEUE_BYTES_MAX // 2

    # Receiving

    def charge_received(self, size: int) -> None:
        """A frame came."""
        self._receive_credit -= charge(size)
        if self._receive_credit < 0:
            raise ProtocolError("more than it had credit for")

    def consume(self, size: int) -> bool:
        """The application has used a frame up; whether it is time to grant credit."""
        self._consumed += charge(size)
        return self._consumed >= GRANT_BYTES_MIN

    def grant(self) -> int:
        """How much credit the other side is to get now."""
        size, self._consumed = self._consumed, 0
        self._receive_credit += size
        return size
