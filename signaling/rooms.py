"""Who is in which group, who is there now, and who is told what. Pure: no sockets, no clock.

Every call returns what is to be sent, as (connection, message) in order. A connection is a number
that the caller chose. Changes that must be remembered are collected in `dirty`.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

from signaling.messages import (
    MEMBERS_MAX,
    VERSION,
    Absent,
    Arrived,
    Departed,
    Failed,
    FromClient,
    FromServer,
    IceServer,
    Join,
    Joined,
    Leave,
    MemberId,
    Presence,
    Removed,
    Signal,
    UpdateCard,
    join_transcript,
    member_id_of,
)

Outgoing = list[tuple[int, FromServer]]
MEMBER_OVERHEAD_BYTES = 64
"""What remembering a member costs beside its card: its id and its place."""
Verify = Callable[[bytes, bytes, bytes], bool]
"""(public key, message, signature) -> whether it is good. Ed25519, handed in."""


@dataclass(slots=True)
class Group:
    """A group as it is remembered; `members` maps a member to its sealed card."""

    name_id: bytes
    group_key: bytes
    members: dict[MemberId, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class Room:
    """A group and its members who are connected, by connection."""

    group: Group
    online: dict[MemberId, int] = field(default_factory=dict)


class Rooms:
    """All groups of one server."""

    def __init__(
        self,
        groups: dict[bytes, Group],
        verify: Verify,
        *,
        groups_max: int,
        cards_bytes_max: int,
        ice_servers: tuple[IceServer, ...] = (),
    ) -> None:
        self._rooms = {name_id: Room(group) for name_id, group in groups.items()}
        self._verify, self._groups_max, self._ice_servers = verify, groups_max, ice_servers
        self._cards_bytes_max = cards_bytes_max
        self._cards_bytes = sum(
            len(card) + MEMBER_OVERHEAD_BYTES
            for group in groups.values()
            for card in group.members.values()
        )
        self._places: dict[int, tuple[Room, MemberId]] = {}
        self.dirty: dict[bytes, Group] = {}
        """Groups as they are now. One without members is to be forgotten."""

    def knows(self, name_id: bytes) -> bool:
        """Whether there is such a group."""
        return name_id in self._rooms

    def has_member(self, name_id: bytes, member: MemberId) -> bool:
        """Whether the group knows this member, online or not."""
        room = self._rooms.get(name_id)
        return room is not None and member in room.group.members

    def is_joined(self, connection: int) -> bool:
        """Whether this connection is a member's."""
        return connection in self._places

    def counts(self) -> tuple[int, int]:
        """(groups, members who are connected)."""
        return len(self._rooms), len(self._places)

    def join(self, connection: int, join: Join, *, server_name: str, nonce: bytes) -> Outgoing:
        """A client's first message. After a Failed to this connection, close it."""
        if join.version != VERSION:
            return [(connection, Failed("bad_message", "this server speaks another version"))]
        if not self._is_signed(join, server_name, nonce):
            return [(connection, Failed("bad_signature", "a signature is wrong"))]
        member = member_id_of(join.identity_key)
        room = self._rooms.get(join.name_id)
        refusal = self._refusal(room, join, member)
        if refusal is not None:
            return [(connection, refusal)]
        created = room is None
        if room is None:
            room = Room(Group(join.name_id, join.group_key))
            self._rooms[join.name_id] = room
        return self._enter(connection, room, member, join.card, created=created)

    def handle(self, connection: int, message: FromClient) -> Outgoing:
        """Any later message of a connection that has joined."""
        room, member = self._places[connection]
        match message:
            case Signal(to, blob):
                target = room.online.get(MemberId(to))
                if target is None or to == member:
                    return [(connection, Absent(to))]
                return [(target, Signal(member, blob))]
            case UpdateCard(card):
                self._remember(room, member, card)
                return self._others(room, member, Arrived(member, card))
            case Leave():
                self._forget(connection)
                self._remove(room, member)
                return self._others(room, member, Removed(member))
            case Join():
                return [(connection, Failed("bad_message", "already joined"))]

    def disconnected(self, connection: int) -> Outgoing:
        """The connection is gone, whatever the reason."""
        place = self._places.get(connection)
        if place is None:
            return []
        room, member = place
        self._forget(connection)
        return self._others(room, member, Departed(member))

    def _is_signed(self, join: Join, server_name: str, nonce: bytes) -> bool:
        transcript = join_transcript(
            server_name=server_name,
            nonce=nonce,
            name_id=join.name_id,
            group_key=join.group_key,
            identity_key=join.identity_key,
            create=join.create,
            card=join.card,
        )
        return self._verify(join.group_key, transcript, join.group_signature) and self._verify(
            join.identity_key, transcript, join.identity_signature
        )

    def _refusal(self, room: Room | None, join: Join, member: MemberId) -> Failed | None:
        if room is None and not join.create:
            return Failed("unknown_group", "nobody has used this group's name yet")
        if room is None and len(self._rooms) >= self._groups_max:
            return Failed("server_full", "this server takes no more groups", 3600.0)
        if room is not None and not hmac.compare_digest(room.group.group_key, join.group_key):
            return Failed("wrong_password", "the password is not the one of this group")
        members = {} if room is None else room.group.members
        if member in members:
            return None
        if len(members) >= MEMBERS_MAX:
            return Failed("group_full", f"a group has at most {MEMBERS_MAX} members")
        if self._cards_bytes + len(join.card) + MEMBER_OVERHEAD_BYTES > self._cards_bytes_max:
            return Failed("server_full", "this server takes no more members", 3600.0)
        return None

    def _enter(
        self, connection: int, room: Room, member: MemberId, card: bytes, *, created: bool
    ) -> Outgoing:
        out: Outgoing = []
        before = room.online.get(member)
        if before is not None:
            self._forget(before)
            out.append((before, Failed("replaced", "another computer has joined as this member")))
        self._remember(room, member, card)
        room.online[member] = connection
        self._places[connection] = (room, member)
        others = tuple(
            Presence(other, other_card, other in room.online)
            for other, other_card in sorted(room.group.members.items())
            if other != member
        )
        out.append((connection, Joined(others, self._ice_servers, created)))
        return out + self._others(room, member, Arrived(member, card))

    def _remember(self, room: Room, member: MemberId, card: bytes) -> None:
        members = room.group.members
        if members.get(member) != card:
            self._cards_bytes += len(card) - len(members.get(member, b""))
            self._cards_bytes += 0 if member in members else MEMBER_OVERHEAD_BYTES
            members[member] = card
            self.dirty[room.group.name_id] = room.group

    def _remove(self, room: Room, member: MemberId) -> None:
        """For good. With its last member a group's name is free again."""
        group = room.group
        self._cards_bytes -= len(group.members.pop(member)) + MEMBER_OVERHEAD_BYTES
        self.dirty[group.name_id] = group
        if not group.members:
            del self._rooms[group.name_id]

    def _others(self, room: Room, member: MemberId, message: FromServer) -> Outgoing:
        return [
            (connection, message)
            for other, connection in sorted(room.online.items())
            if other != member
        ]

    def _forget(self, connection: int) -> None:
        place = self._places.pop(connection, None)
        if place is not None:
            room, member = place
            if room.online.get(member) == connection:
                del room.online[member]
