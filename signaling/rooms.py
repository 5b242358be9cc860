"""Who is in which group, who is there now, and who is told what. Pure: no sockets, no clock.

Every call returns what is to be sent, as (connection, message) in order; after a Failed the
connection is to be closed. A connection is a number that the caller chose. Groups that changed are
collected in `dirty`, for the caller to remember; one without members is to be forgotten.

A Join goes through these gates, in this order:

    version          else bad_message
    both signatures  else bad_signature: they say nothing about a group, only that keys were shown
    admission        else rate_limited; for all who are not members of the group yet
    the group        unknown_group, server_full
    its key          else wrong_password
    space            else group_full, server_full
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

from signaling.config import Limits
from signaling.limits import Admission, Bucket
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
Verify = Callable[[bytes, bytes, bytes], bool]
"""(public key, message, signature) -> whether it is good. Ed25519, handed in."""

RETRY_S_MAX = 3600.0
MEMBER_OVERHEAD_BYTES = 64
"""What remembering a member costs beside its card: its id and its place."""


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


@dataclass(slots=True)
class Place:
    """A connection that has joined, and what it may still say."""

    room: Room
    member: MemberId
    messages: Bucket
    cards: Bucket


class Rooms:
    """All groups of one server."""

    def __init__(
        self,
        groups: dict[bytes, Group],
        verify: Verify,
        *,
        limits: Limits,
        ice_servers: tuple[IceServer, ...] = (),
    ) -> None:
        self._rooms = {name_id: Room(group) for name_id, group in groups.items()}
        self._verify, self._limits, self._ice_servers = verify, limits, ice_servers
        self._admission = Admission(limits)
        self._places: dict[int, Place] = {}
        self._cards_bytes = sum(
            len(card) + MEMBER_OVERHEAD_BYTES
            for group in groups.values()
            for card in group.members.values()
        )
        self.dirty: dict[bytes, Group] = {}

    def connect(self, address: str, *, now: float) -> float:
        """Somebody connects. The seconds to wait when that is too often, else 0.0."""
        return self._admission.connect(address, now=now)

    def is_joined(self, connection: int) -> bool:
        """Whether this connection is a member's."""
        return connection in self._places

    def counts(self) -> tuple[int, int]:
        """(groups, members who are connected)."""
        return len(self._rooms), len(self._places)

    def join(
        self,
        connection: int,
        join: Join,
        *,
        server_names: tuple[str, ...],
        nonce: bytes,
        address: str,
        now: float,
    ) -> Outgoing:
        """A client's first message. `nonce` is the one of this connection's Challenge."""
        if join.version != VERSION:
            return [(connection, Failed("bad_message", "this server speaks another version"))]
        if not any(self._is_signed(join, name, nonce) for name in server_names):
            self._admission.count_bad_signature(address, now=now)
            return [(connection, Failed("bad_signature", "a signature is wrong"))]
        member = member_id_of(join.identity_key)
        room = self._rooms.get(join.name_id)
        refusal = self._refusal(room, join, member, address, now)
        if refusal is not None:
            return [(connection, refusal)]
        created = room is None
        if room is None or member not in room.group.members:
            self._admission.count_new_member(address, created=created, now=now)
        if room is None:
            room = Room(Group(join.name_id, join.group_key))
            self._rooms[join.name_id] = room
        return self._enter(connection, room, member, join.card, created=created, now=now)

    def handle(self, connection: int, message: FromClient, *, now: float) -> Outgoing:
        """Any later message of a connection that has joined."""
        place = self._places[connection]
        room, member = place.room, place.member
        wait = place.messages.take(now=now)
        if not wait and isinstance(message, UpdateCard):
            wait = place.cards.take(now=now)
        if wait:
            return [(connection, Failed("rate_limited", "too many messages", 5.0))]
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
                return self._leave(connection, room, member)
            case Join():
                return [(connection, Failed("bad_message", "already joined"))]

    def disconnected(self, connection: int) -> Outgoing:
        """The connection is gone, whatever the reason. May be called for any connection."""
        place = self._places.get(connection)
        if place is None:
            return []
        self._forget(connection)
        return self._others(place.room, place.member, Departed(place.member))

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

    def _refusal(
        self, room: Room | None, join: Join, member: MemberId, address: str, now: float
    ) -> Failed | None:
        is_member = room is not None and member in room.group.members
        if not is_member:
            wait = self._admission.join(
                address, join.name_id, is_known=room is not None, create=join.create, now=now
            )
            if wait:
                return Failed("rate_limited", "too many attempts", min(wait, RETRY_S_MAX))
        if room is None:
            if not join.create:
                self._admission.count_unknown_group(address, now=now)
                return Failed("unknown_group", "nobody has used this group's name yet")
            if len(self._rooms) >= self._limits.groups_max:
                return Failed("server_full", "this server takes no more groups", RETRY_S_MAX)
        elif not hmac.compare_digest(room.group.group_key, join.group_key):
            self._admission.count_wrong_password(address, join.name_id, now=now)
            return Failed("wrong_password", "the password is not the one of this group")
        if is_member:
            return None
        if room is not None and len(room.group.members) >= MEMBERS_MAX:
            return Failed("group_full", f"a group has at most {MEMBERS_MAX} members")
        if (
            self._cards_bytes + len(join.card) + MEMBER_OVERHEAD_BYTES
            > self._limits.cards_bytes_max
        ):
            return Failed("server_full", "this server takes no more members", RETRY_S_MAX)
        return None

    def _enter(
        self,
        connection: int,
        room: Room,
        member: MemberId,
        card: bytes,
        *,
        created: bool,
        now: float,
    ) -> Outgoing:
        out: Outgoing = []
        before = room.online.get(member)
        if before is not None:
            self._forget(before)
            out.append((before, Failed("replaced", "another computer has joined as this member")))
        self._remember(room, member, card)
        room.online[member] = connection
        self._places[connection] = Place(
            room,
            member,
            Bucket(self._limits.messages_per_connection, now=now),
            Bucket(self._limits.cards_per_connection, now=now),
        )
        others = tuple(
            Presence(other, other_card, other in room.online)
            for other, other_card in sorted(room.group.members.items())
            if other != member
        )
        out.append((connection, Joined(others, self._ice_servers, created)))
        return out + self._others(room, member, Arrived(member, card))

    def _leave(self, connection: int, room: Room, member: MemberId) -> Outgoing:
        self._cards_bytes -= len(room.group.members.pop(member)) + MEMBER_OVERHEAD_BYTES
        self._forget(connection)
        self.dirty[room.group.name_id] = room.group
        if not room.group.members:
            del self._rooms[room.group.name_id]
        return self._others(room, member, Removed(member))

    def _remember(self, room: Room, member: MemberId, card: bytes) -> None:
        members = room.group.members
        before = members.get(member)
        if before != card:
            self._cards_bytes += len(card)
            self._cards_bytes += MEMBER_OVERHEAD_BYTES if before is None else -len(before)
            members[member] = card
            self.dirty[room.group.name_id] = room.group

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
