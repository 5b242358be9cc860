"""Changing how much space this member gives, while it runs: on disk, in its rules, at its friends.

Giving less than is already held takes nothing away from anybody. What was deleted and still lay
here goes at once; what is left over stays until its owners have moved it, which they do when they
hear that this friend keeps more than it gives. Nothing new is taken meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from peer.member import Member
from peer.service import Problem

OFFER_BYTES_MIN = 10**9
"""Less than a gigabyte helps nobody."""


class Store(Protocol):
    """What is kept for friends, on disk."""

    limit_bytes: int

    @property
    def used_bytes(self) -> int: ...

    def room_bytes(self) -> int: ...

    def used_by_owner(self) -> Mapping[bytes, int]: ...

    def shrink(self) -> None: ...


class Offering:
    """The space that this member gives, and what is kept in it.

    `keep` writes a new offer to the config and may block; `announce` tells the group and never
    fails for want of a server: the card goes out with the next connection.
    """

    def __init__(
        self,
        member: Member,
        store: Store,
        *,
        keep: Callable[[int], object],
        announce: Callable[[int], Awaitable[None]],
    ) -> None:
        self._m, self._store, self._keep, self._announce = member, store, keep, announce

    @property
    def limit_bytes(self) -> int:
        """What is given."""
        return self._store.limit_bytes

    @property
    def used_bytes(self) -> int:
        """What is taken of it."""
        return self._store.used_bytes

    def used_by_owner(self) -> Mapping[bytes, int]:
        """What each friend has here; blocks."""
        return self._store.used_by_owner()

    async def give(self, offer_bytes: int) -> None:
        """From now on give so much. Raises `Problem` when that is too little or too much."""
        if offer_bytes < OFFER_BYTES_MIN:
            raise Problem(
                "That is too little to be of use.", "Give 1 GB or more.", code="too_little"
            )
        room = await self._m.run_blocking(self._store.room_bytes)
        if offer_bytes > self.limit_bytes and offer_bytes - self.used_bytes > room:
            raise Problem(
                "This disk has not that much room.", "Give less, or make room.", code="disk_full"
            )
        await self._m.run_blocking(self._keep, offer_bytes)
        self._store.limit_bytes = self._m.offer_bytes = offer_bytes
        await self._m.run_blocking(self._store.shrink)
        await self._announce(offer_bytes)
