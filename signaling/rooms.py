"""Who is in which group, who is there now, and who is told what. Pure: no sockets, no clock.

Every call returns what is to be sent, as (connection, message) in order; after a Failed the
connection is to be closed. A connection is a number that the caller chose. What is to be remembered
and what other instances of this server must know is collected in `notices`, for the caller to take.

A room is a group with members here. It is opened with what the store found, just before the first
of them joins, and closes after the last. Members who are connected to another instance are
`elsewhere`. Two connections of one member at two instances are put in order by the store: of what
is heard, the later counts, and a member here counts as `settled` when the store has confirmed it.

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
    IceServers,
    Join,
    Joined,
    Leave,
    MemberId,
    Presence,
    Removed,
    RenewIce,
    Report,
    Signal,
    UpdateCard,
    join_transcript,
    member_id_of,
)
from signaling.notices import (
    Conflict,
    Entered,
    EnteredElsewhere,
    Exited,
    ExitedElsewhere,
    Found,
    Group,
    Heard,
    How,
    Left,
    LeftElsewhere,
    Notice,
    Passed,
    PassedHere,
    Picture,
    Settled,
    Undelivered,
)

Outgoing = list[tuple[int, FromServer]]
Verify = Callable[[bytes, bytes, bytes], bool]
"""(public key, message, signature) -> whether it is good. Ed25519, handed in."""
Grant = Callable[[bytes, MemberId], IceServers]
"""(name_id, member) -> the STUN and TURN servers of this member. Knows the time."""

RETRY_S_MAX = 3600.0
CONFLICT_RETRY_S = 1.0


@dataclass(slots=True)
class Room:
    """A group and its members who are connected: here by connection, elsewhere by instance."""

    group: Group
    elsewhere: dict[MemberId, str]
    online: dict[MemberId, int] = field(default_factory=dict)


@dataclass(slots=True)
class Place:
    """A connection that has joined, and what it may still say."""

    room: Room
    member: MemberId
    messages: Bucket
    cards: Bucket
    grants: Bucket
    settled: bool = False


class Rooms:
    """All groups with members who are connected to this instance."""

    def __init__(
        self,
        verify: Verify,
        *,
        limits: Limits,
        grant: Grant | None = None,
    ) -> None:
        self._rooms: dict[bytes, Room] = {}
        self._verify, self._limits = verify, limits
        self._grant = grant or _nothing
        self._admission = Admission(limits)
        self._places: dict[int, Place] = {}
        self.notices: list[Notice] = []

    def connect(self, address: str, *, now: float) -> float:
        """Somebody connects. The seconds to wait when that is too often, else 0.0."""
        return self._admission.connect(address, now=now)

    def is_joined(self, connection: int) -> bool:
        """Whether this connection is a member's."""
        return connection in self._places

    def counts(self) -> tuple[int, int]:
        """(groups with members here, members who are connected here)."""
        return len(self._rooms), len(self._places)

    def is_open(self, name_id: bytes) -> bool:
        """Whether this group has members here, so that a Join needs nothing from the store."""
        return name_id in self._rooms

    def join(
        self,
        connection: int,
        join: Join,
        found: Found,
        *,
        takes_groups: bool = True,
        takes_members: bool = True,
        server_names: tuple[str, ...],
        nonce: bytes,
        address: str,
        now: float,
    ) -> Outgoing:
        """A client's first message. `nonce` is the one of this connection's Challenge.

        `found` is what the store knows of the group; an open room knows better.
        """
        if join.version != VERSION:
            return [(connection, Failed("bad_message", "this server speaks another version"))]
        if not any(self._is_signed(join, name, nonce) for name in server_names):
            self._admission.count_bad_signature(address, now=now)
            return [(connection, Failed("bad_signature", "a signature is wrong"))]
        member = member_id_of(join.identity_key)
        room = self._rooms.get(join.name_id)
        if room is None and found.group is not None:
            room = Room(found.group, dict(found.elsewhere))
        refusal = self._refusal(room, join, member, address, now)
        if refusal is None and room is None and not takes_groups:
            refusal = Failed("server_full", "this server takes no more groups", RETRY_S_MAX)
        if refusal is None and not takes_members and not _is_member(room, member):
            refusal = Failed("server_full", "this server takes no more members", RETRY_S_MAX)
        if refusal is not None:
            return [(connection, refusal)]
        created = room is None
        if not _is_member(room, member):
            self._admission.count_new_member(address, created=created, now=now)
        if room is None:
            room = Room(Group(join.name_id, join.group_key), {})
        return self._enter(connection, room, member, join.card, created=created, now=now)

    def handle(self, connection: int, message: FromClient, *, now: float) -> Outgoing:
        """Any later message of a connection that has joined."""
        place = self._places[connection]
        room, member = place.room, place.member
        wait = place.messages.take(now=now)
        if not wait and isinstance(message, UpdateCard):
            wait = place.cards.take(now=now)
        if not wait and isinstance(message, RenewIce):
            wait = place.grants.take(now=now)
        if wait:
            return [(connection, Failed("rate_limited", "too many messages", 5.0))]
        match message:
            case Signal(to, blob):
                return self._pass_on(connection, room, member, MemberId(to), blob)
            case UpdateCard(card):
                self._tell_of(room, member, card, "card")
                return self._others(room, member, Arrived(member, card))
            case Leave():
                return self._leave(connection, room, member)
            case RenewIce():
                return [(connection, self._grant(room.group.name_id, member))]
            case Report():
                return []
            case Join():
                return [(connection, Failed("bad_message", "already joined"))]

    def disconnected(self, connection: int) -> Outgoing:
        """The connection is gone, whatever the reason. May be called for any connection."""
        place = self._places.get(connection)
        if place is None:
            return []
        self._forget(connection)
        self.notices.append(Exited(place.room.group.name_id, place.member))
        return self._others(place.room, place.member, Departed(place.member))

    def take_notices(self) -> list[Notice]:
        """What the store is to be told, in order; once."""
        notices, self.notices = self.notices, []
        return notices

    def everything(self) -> list[tuple[Group, list[Notice]]]:
        """All groups with members here, and who is; none of it is settled any more."""
        for place in self._places.values():
            place.settled = False
        return [
            (room.group, [_entered(room, member, "again", is_news=True) for member in room.online])
            for room in self._rooms.values()
        ]

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
        self,
        room: Room | None,
        join: Join,
        member: MemberId,
        address: str,
        now: float,
    ) -> Failed | None:
        is_member = _is_member(room, member)
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
        elif not hmac.compare_digest(room.group.group_key, join.group_key):
            self._admission.count_wrong_password(address, join.name_id, now=now)
            return Failed("wrong_password", "the password is not the one of this group")
        if is_member:
            return None
        if room is not None and len(room.group.members) >= MEMBERS_MAX:
            return Failed("group_full", f"a group has at most {MEMBERS_MAX} members")
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
            out.append((before, _REPLACED))
        self._rooms[room.group.name_id] = room
        self._tell_of(room, member, card, "joins")
        room.elsewhere.pop(member, None)
        room.online[member] = connection
        self._places[connection] = Place(
            room,
            member,
            Bucket(self._limits.messages_per_connection, now=now),
            Bucket(self._limits.cards_per_connection, now=now),
            Bucket(self._limits.grants_per_connection, now=now),
        )
        others = tuple(
            Presence(other, other_card, other in room.online or other in room.elsewhere)
            for other, other_card in sorted(room.group.members.items())
            if other != member
        )
        ice = self._grant(room.group.name_id, member)
        out.append((connection, Joined(others, ice.servers, created, ice.lifetime_s)))
        return out + self._others(room, member, Arrived(member, card))

    def _leave(self, connection: int, room: Room, member: MemberId) -> Outgoing:
        del room.group.members[member]
        self._forget(connection)
        self.notices.append(Left(room.group.name_id, member))
        return self._others(room, member, Removed(member))

    def _pass_on(
        self, connection: int, room: Room, member: MemberId, to: MemberId, blob: bytes
    ) -> Outgoing:
        target, instance = room.online.get(to), room.elsewhere.get(to)
        if target is not None and to != member:
            return [(target, Signal(member, blob))]
        if instance is not None:
            self.notices.append(Passed(room.group.name_id, member, to, instance, blob))
            return []
        return [(connection, Absent(to))]

    def _tell_of(self, room: Room, member: MemberId, card: bytes, how: How) -> None:
        is_news = room.group.members.get(member) != card
        room.group.members[member] = card
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

    # --- what other instances did -----------------------------------------------------------

    def heard(self, heard: Heard) -> Outgoing:
        """Something that came from the store. Of groups without members here it is nothing."""
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
            case Undelivered(_, sender, to):
                here = room.online.get(sender)
                return [] if here is None else [(here, Absent(to))]
            case Picture():
                return self._look(room, heard)
            case Settled(_, member):
                self._settle(room, member)
                return []
            case Conflict():
                return self._empty(room)

    def _entered_elsewhere(
        self, room: Room, member: MemberId, card: bytes, instance: str, how: How
    ) -> Outgoing:
        out: Outgoing = []
        here = room.online.get(member)
        if here is not None:
            if not self._places[here].settled:
                return []  # it has come here since
            out.append((here, _REPLACED if how == "joins" else _COME_AGAIN))
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

    def _left_elsewhere(self, room: Room, member: MemberId) -> Outgoing:
        if member in room.online or member not in room.group.members:
            return []
        room.elsewhere.pop(member, None)
        del room.group.members[member]
        return self._others(room, member, Removed(member))

    def _look(self, room: Room, picture: Picture) -> Outgoing:
        """Make the room as the picture is, but for who has come here since."""
        for member in picture.here:
            self._settle(room, member)
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

    def _settle(self, room: Room, member: MemberId) -> None:
        here = room.online.get(member)
        if here is not None:
            self._places[here].settled = True

    def _empty(self, room: Room) -> Outgoing:
        """Everybody here comes again, to the group as it is."""
        connections = sorted(room.online.values())
        for connection in connections:
            self._forget(connection)
        return [(connection, _COME_AGAIN) for connection in connections]


def _nothing(name_id: bytes, member: MemberId) -> IceServers:
    return IceServers((), 0.0)


_REPLACED = Failed("replaced", "another computer has joined as this member")
_COME_AGAIN = Failed("internal", "come again", CONFLICT_RETRY_S)


def _is_member(room: Room | None, member: MemberId) -> bool:
    return room is not None and member in room.group.members


def _entered(room: Room, member: MemberId, how: How, *, is_news: bool) -> Entered:
    group = room.group
    return Entered(group.name_id, group.group_key, member, group.members[member], how, is_news)
