"""What outlives a server process, and how several processes are one server.

`Store` is what the server sees. `stores/file.py` keeps all groups in one JSON file, for the one
server of its folder; `stores/shared.py` keeps them in Redis, for as many instances as there are.
Both pass the contract in tests/signaling/test_stores.py.
"""

from __future__ import annotations

from typing import Protocol

from signaling.notices import Found, Group, Heard, Notice


class StoreError(Exception):
    """The database cannot be read or written; the text says why, without any secret."""


class Listener(Protocol):
    """The server, as a store sees it. Called in the event loop."""

    def heard(self, heard: Heard) -> None:
        """Something that other instances did."""
        ...

    def everything(self) -> list[tuple[Group, list[Notice]]]:
        """All groups with members here, and who of them is here: after a break it is told again."""
        ...


class Store(Protocol):
    """Where groups are remembered, and the way to other instances. One event loop uses it.

    `tell` and `find` take effect in the order of the calls.
    """

    is_shared: bool
    """Whether other instances may use it, so that there is something to hear."""

    @property
    def is_ready(self) -> bool:
        """Whether groups can be found and remembered now."""
        ...

    @property
    def groups(self) -> int:
        """How many groups there are, as of the last look."""
        ...

    @property
    def takes_groups(self) -> bool:
        """Whether there is room for another group."""
        ...

    @property
    def takes_members(self) -> bool:
        """Whether there is room for another member."""
        ...

    @property
    def failures(self) -> int:
        """How often something could not be remembered at once."""
        ...

    async def open(self, listener: Listener) -> None:
        """Begin. Raises StoreError when it never will."""
        ...

    async def find(self, name_id: bytes) -> Found:
        """What is known of a group. Raises StoreError when nobody can say now."""
        ...

    def tell(self, notice: Notice) -> None:
        """This happened here. Does not wait."""
        ...

    async def record(self, notice: Notice) -> None:
        """As `tell`; comes back when the registry has it. Raises StoreError."""
        ...

    async def close(self) -> None:
        """Remember what waits to be, and end."""
        ...
