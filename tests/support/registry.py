"""A store in memory: what a server is told of groups, and what it hears of them."""

from __future__ import annotations

from signaling.messages import MemberId
from signaling.notices import Entered, Exited, Found, Group, Heard, Left, Moving, Notice
from signaling.stores import Listener, StoreError


class Registry:
    """Remembers groups as each store promises to; refuses as long as it is told to."""

    is_ready = takes_groups = takes_members = True
    is_shared = False
    failures = 0

    def __init__(self, groups: list[Group] | None = None) -> None:
        self.by_name = {group.name_id: group for group in groups or []}
        self.told: list[Notice] = []
        self.refuses = self.has_refused = self.closed = False
        self.listener: Listener | None = None

    @property
    def groups(self) -> int:
        return len(self.by_name)

    def find_now(self, name_id: bytes) -> Found:
        group = self.by_name.get(name_id)
        return Found(group and Group(name_id, group.group_key, dict(group.members), group.moved))

    def tell(self, notice: Notice) -> None:
        self.told.append(notice)
        match notice:
            case Entered(name_id, group_key, member, card):
                group = self.by_name.setdefault(name_id, Group(name_id, group_key))
                assert group.group_key == group_key
                is_news = group.members.get(member) != card
                assert notice.is_news == is_news or self.has_refused
                group.members[MemberId(member)] = card
            case Left(name_id, member):
                group = self.by_name[name_id]
                del group.members[member]
                if not group.members:
                    del self.by_name[name_id]
            case Moving(name_id, move):
                known = self.by_name[name_id].moved
                if known is None or known.number < move.number:
                    self.by_name[name_id].moved = move
            case Exited(name_id, member):
                assert member in self.by_name[name_id].members or self.has_refused

    # --- as a server uses it ----------------------------------------------------------------

    async def open(self, listener: Listener) -> None:
        self.listener = listener

    async def find(self, name_id: bytes) -> Found:
        if self.refuses:
            raise StoreError("nobody answers")
        return self.find_now(name_id)

    async def record(self, notice: Notice) -> None:
        if self.refuses:
            self.has_refused = True
            raise StoreError("nobody answers")
        self.tell(notice)

    async def close(self) -> None:
        self.closed = True


class Hearing:
    """A server that keeps what it hears, and says of itself what a test wants it to say."""

    def __init__(self) -> None:
        self.all: list[Heard] = []
        self.here: list[tuple[Group, list[Notice]]] = []

    def heard(self, heard: Heard) -> None:
        self.all.append(heard)

    def everything(self) -> list[tuple[Group, list[Notice]]]:
        return self.here
