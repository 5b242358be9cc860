"""The world a member lives in, handed to it: clocks, chance, friends, blocking work.

Nothing here does anything; real implementations are put together in `peer.assembly`, simulated ones
in `netsim`. Monotonic time is the running loop's `time()`, which the simulator replaces.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from signaling.messages import MemberId

if TYPE_CHECKING:
    from datachannel.link import PeerSession

T = TypeVar("T")

WallClock = Callable[[], int]
"""Nanoseconds since 1970, as the computer believes; may jump. Never the sole ground to delete."""

RandomBytes = Callable[[int], bytes]
"""That many unpredictable bytes."""


class RunBlocking(Protocol):
    """Runs a function off the event loop and returns what it returns.

    When the caller is cancelled, the call ends only after the function has.
    """

    def __call__(self, function: Callable[..., T], /, *args: Any) -> Awaitable[T]: ...  # noqa: ANN401 - any function's arguments


class FriendCard(Protocol):
    """What a friend tells of itself in its member card."""

    @property
    def name(self) -> str: ...

    @property
    def offer_bytes(self) -> int: ...

    @property
    def leaving(self) -> int:
        """Of `datachannel.credentials`: STAYS, or GOING while it hands over what it holds."""
        ...


class Friend(Protocol):
    """A member of the group other than this one, as the server and its card tell."""

    @property
    def member(self) -> MemberId: ...

    @property
    def card(self) -> FriendCard: ...

    @property
    def online(self) -> bool: ...


class Friends(Protocol):
    """Who is in the group, and a session to any of them."""

    def members(self) -> Mapping[MemberId, Friend]:
        """All friends that are known, online or not."""
        ...

    @property
    def reached(self) -> bool:
        """Whether the group's own server is reached. If not, it may be our network that is away,
        and not the friends."""
        ...

    async def session(self, member: MemberId) -> PeerSession:
        """A live session, dialled if need be. Raises `datachannel.errors.Unavailable`."""
        ...
