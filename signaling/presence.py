"""Who is in which room, here and at other instances, and what those say. Pure, as rooms are.

A room is a group with members here. It is opened with what the store found, just before the first
of them joins, and closes after the last. Members who are connected to another instance are
`elsewhere`. Two connections of one member at two instances are put in order by the store: it lets
hear of everything in one order, of what was done here too. As long as a member's own joins are
`pending`, what is heard of it elsewhere is older than its connection here; later it is newer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from signaling.limits import Bucket
from signaling.messages import (
    Absent,
    Arrived,
    Departed,
    Failed,
    FromServer,
    MemberId,
    Moved,
    MoveNotice,
    Removed,
    Signal,
)
from signaling.notices import (
    Conflict,
    Entered,
    EnteredElsewhere,
    ExitedElsewhere,
    Group,
    Heard,
    How,
    LeftElsewhere,
    MovedElsewhere,
    Notice,
    PassedHere,
    Picture,
    Settled,
    Undelivered,
)

Outgoing = list[tuple[int, FromServer]]

CONFLICT_RETRY_S = 1.0
COME_AGAIN = Failed("internal", "come again", CONFLICT_RETRY_S)


@dataclass(slots=True)
class Room:
    """A group and its members who are connected: here by connection, elsewhere by instance."""

    group: Group
    elsewhere: dict[MemberId, str]
    messages: Bucket
    online: dict[MemberId, int] = field(default_factory=dict)


@dataclass(slots=True)
class Place:
    """A connection that has joined, and what it may still say."""

    room: Room
    member: MemberId
    messages: Bucket
    signal_bytes: Bucket
    cards: Bucket
    grants: Bucket


class Presences:
    """All rooms of this instance. `is_shared` when there may be others."""

    def __init__(self, *, is_shared: bool) -> None:
        self._is_shared = is_shared
        self._pending: dict[tuple[bytes, MemberId], int] = {}
        self._rooms: dict[bytes, Room] = {}
        self._places: dict[int, Place] = {}
        self.notices: list[Notice] = []

    def is_joined(self, connection: int) -> bool:
        """Whether this connection is a member's."""
        return connection in self._places

    def counts(self) -> tuple[int, int]:
        """(groups with members here, members who are connected here)."""
        return len(self._rooms), len(self._places)

    def is_open(self, name_id: bytes) -> bool:
        """Whether this group has members here, so that a Join needs nothing from the store."""
        return name_id in self._rooms

    def take_notices(self) -> list[Notice]:
        """What the store is to be told, in order; once."""
        notices, self.notices = self.notices, []
        return notices

    def everything(self) -> list[tuple[Group, list[Notice]]]:
        """All groups with members here, and who is, for a store that lets hear none of what was
        told before."""
        self._pending = {
            (place.room.group.name_id, place.member): 1 for place in self._places.values()
        }
        return [
            (room.group, [_entered(room, member, "again", is_news=True) for member in room.online])
            for room in self._rooms.values()
        ]

    def heard(self, heard: Heard) -> Outgoing:
        """Something that came from the store. Of groups without members here it is nothing."""
        self._note_what_was_done(heard)
        room = self._rooms.get(heard.name_id)
        if room is None:
            return []
        match heard:
            case EnteredElsewhere(_, member, card, instance, how):
                return self._entered_elsewhere(room, member, card, instance, how)
            case ExitedElsewhere(_, member, instance):
                return self._exited_elsewhere(room, member, instance)
            case LeftElsewhere(_, member):
                return self._left_elsewhere(room, member)
            case PassedHere(_, sender, to, blob):
                here = room.online.get(to)
                return [] if here is None else [(here, Signal(sender, blob))]
            case Undelivered(_, sender, to, instance):
                return self._undelivered(room, sender, to, instance)
            case Picture():
                return self._look(room, heard) + self._has_moved(room, heard.moved)
            case MovedElsewhere(_, notice):
                return self._has_moved(room, notice)
            case Settled(_, member, card, _):
                return self._settled(room, member, card)
            case Conflict():
                return self._empty(room)

    def _entered_elsewhere(
        self, room: Room, member: MemberId, card: bytes, instance: str, how: How
    ) -> Outgoing:
        out: Outgoing = []
        here = room.online.get(member)
        if here is not None:
            if (room.group.name_id, member) in self._pending:
                return []  # it has come here since
            out.append((here, replaced_by(card) if how == "joins" else COME_AGAIN))
            self._forget(here)
        is_same = room.group.members.get(member) == card and member in room.elsewhere
        room.group.members[member], room.elsewhere[member] = card, instance
        if is_same and how == "again":
            return out
        return out + self._others(room, member, Arrived(member, card))

    def _exited_elsewhere(self, room: Room, member: MemberId, instance: str) -> Outgoing:
        if room.elsewhere.get(member) != instance:
            return []
        del room.elsewhere[member]
        return self._others(room, member, Departed(member))

    def _undelivered(self, room: Room, sender: MemberId, to: MemberId, instance: str) -> Outgoing:
        """Its instance has gone, and it with it, if it has not come to another one since.

        Everybody must hear it: who was told Absent would wait for an Arrived for ever.
        """
        if room.elsewhere.get(to) != instance:
            return []
        here = room.online.get(sender)
        out: Outgoing = [] if here is None else [(here, Absent(to))]
        return out + self._exited_elsewhere(room, to, instance)

    def _left_elsewhere(self, room: Room, member: MemberId) -> Outgoing:
        if member in room.online or member not in room.group.members:
            return []
        room.elsewhere.pop(member, None)
        del room.group.members[member]
        return self._others(room, member, Removed(member))

    def _look(self, room: Room, picture: Picture) -> Outgoing:
        """Make the room as the picture is, but for who has come here since."""
        out: Outgoing = []
        for member in room.group.members.keys() - picture.members.keys() - room.online.keys():
            out += self._left_elsewhere(room, member)
        for member, card in picture.members.items():
            if member in room.online:
                continue
            instance = picture.elsewhere.get(member)
            if room.group.members.get(member) != card or (
                instance and member not in room.elsewhere
            ):
                out += self._entered_elsewhere(room, member, card, instance or "", "joins")
            if instance is None:
                out += self._exited_elsewhere(room, member, room.elsewhere.get(member, ""))
            else:
                room.elsewhere[member] = instance
        return out

    def _settled(self, room: Room, member: MemberId, card: bytes) -> Outgoing:
        """It was here, with this card; if it has gone since, that is yet to be heard elsewhere."""
        if member in room.online:
            return []
        out: Outgoing = []
        if room.group.members.get(member) != card:
            out = self._entered_elsewhere(room, member, card, "", "card")
        return out + self._exited_elsewhere(room, member, room.elsewhere.get(member, ""))

    def _note_what_was_done(self, heard: Heard) -> None:
        match heard:
            case Picture(name_id, None, _, _, here):
                done = [(name_id, member) for member in here]
            case Settled(name_id, member, _, "joins") | Conflict(name_id, member):
                done = [(name_id, member)]
            case Picture(name_id, entered) if entered is not None:
                done = [(name_id, entered)]
            case _:
                return
        for key in done:
            left = self._pending.pop(key, 0) - 1
            if left > 0:
                self._pending[key] = left

    def _empty(self, room: Room) -> Outgoing:
        """Everybody here comes again, to the group as it is."""
        connections = sorted(room.online.values())
        for connection in connections:
            self._forget(connection)
        return [(connection, COME_AGAIN) for connection in connections]

    def _has_moved(self, room: Room, notice: MoveNotice | None) -> Outgoing:
        """Tell everybody here, if it is news."""
        known = room.group.moved
        if notice is None or (known is not None and notice.number <= known.number):
            return []
        room.group.moved = notice
        return [(connection, Moved(notice)) for connection in sorted(room.online.values())]

    # --- for all that changes a room ---------------------------------------------------------

    def _tell_of(self, room: Room, member: MemberId, card: bytes, how: How) -> None:
        is_news = room.group.members.get(member) != card
        room.group.members[member] = card
        if how == "joins" and self._is_shared:
            key = (room.group.name_id, member)
            self._pending[key] = self._pending.get(key, 0) + 1
        if is_news or how == "joins":
            self.notices.append(_entered(room, member, how, is_news=is_news))

    def _others(self, room: Room, member: MemberId, message: FromServer) -> Outgoing:
        return [
            (connection, message)
            for other, connection in sorted(room.online.items())
            if other != member
        ]

    def _forget(self, connection: int) -> None:
        place = self._places.pop(connection, None)
        if place is not None:
            del place.room.online[place.member]
            if not place.room.online:
                self._rooms.pop(place.room.group.name_id, None)


def replaced_by(card: bytes) -> Failed:
    """To a member's older connection: the newer one has this card."""
    return Failed("replaced", "another computer has joined as this member", card=card)


def _entered(room: Room, member: MemberId, how: How, *, is_news: bool) -> Entered:
    group = room.group
    return Entered(group.name_id, group.group_key, member, group.members[member], how, is_news)
