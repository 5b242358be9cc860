"""Who is in which group, who is there now, and who is told what. Pure: no sockets, no clock.

Every call returns what is to be sent, as (connection, message) in order; after a Failed the
connection is to be closed. A connection is a number that the caller chose. What is to be remembered
and what other instances of this server must know is collected in `notices`, for the caller to take.

What other instances did is in presence.py.

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
    IceServers,
    Join,
    Joined,
    Leave,
    MemberId,
    Move,
    Moved,
    MoveNotice,
    Presence,
    Removed,
    RenewIce,
    Report,
    Signal,
    UpdateCard,
    join_transcript,
    member_id_of,
    move_transcript,
)
from signaling.notices import Exited, Found, Group, Left, Moving, Passed
from signaling.presence import Outgoing, Place, Presences, Room, replaced_by

Verify = Callable[[bytes, bytes, bytes], bool]
"""(public key, message, signature) -> whether it is good. Ed25519, handed in."""
Grant = Callable[[bytes, MemberId], IceServers]
"""(name_id, member) -> the STUN and TURN servers of this member. Knows the time."""

RETRY_S_MAX = 3600.0


class Rooms(Presences):
    """All groups with members who are connected to this instance."""

    def __init__(
        self,
        verify: Verify,
        *,
        limits: Limits,
        grant: Grant | None = None,
        is_shared: bool = False,
    ) -> None:
        super().__init__(is_shared=is_shared)
        self._verify, self._limits = verify, limits
        self._grant = grant or _nothing
        self._admission = Admission(limits)

    def connect(self, address: str, *, now: float) -> float:
        """Somebody connects. The seconds to wait when that is too often, else 0.0."""
        return self._admission.connect(address, now=now)

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
            room = self._room(found.group, dict(found.elsewhere), now)
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
            room = self._room(Group(join.name_id, join.group_key), {}, now)
        return self._enter(connection, room, member, join.card, created=created, now=now)

    def handle(self, connection: int, message: FromClient, *, now: float) -> Outgoing:
        """Any later message of a connection that has joined."""
        place = self._places[connection]
        room, member = place.room, place.member
        wait = place.messages.take(now=now) or room.messages.take(now=now)
        if not wait and isinstance(message, Signal):
            wait = place.signal_bytes.take(now=now, cost=len(message.blob))
        if not wait and isinstance(message, UpdateCard | Move):
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
            case Move(notice):
                return self._move(connection, room, notice)
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

    def _room(self, group: Group, elsewhere: dict[MemberId, str], now: float) -> Room:
        return Room(group, elsewhere, Bucket(self._limits.messages_per_group, now=now))

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
            wait = self._admission.rejoin(join.name_id, member, now=now)
            return Failed("rate_limited", "too many joins", wait) if wait else None
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
        older = room.online.get(member)
        if older is not None:
            self._forget(older)
            out.append((older, replaced_by(card)))
        before = room.group.members.get(member, b"")
        self._rooms[room.group.name_id] = room
        self._tell_of(room, member, card, "joins")
        room.elsewhere.pop(member, None)
        room.online[member] = connection
        self._places[connection] = Place(
            room,
            member,
            Bucket(self._limits.messages_per_connection, now=now),
            Bucket(self._limits.signal_bytes_per_connection, now=now),
            Bucket(self._limits.cards_per_connection, now=now),
            Bucket(self._limits.grants_per_connection, now=now),
        )
        others = tuple(
            Presence(other, other_card, other in room.online or other in room.elsewhere)
            for other, other_card in sorted(room.group.members.items())
            if other != member
        )
        ice = self._grant(room.group.name_id, member)
        welcome = Joined(
            others, ice.servers, created, ice.lifetime_s, room.group.moved, before=before
        )
        out.append((connection, welcome))
        return out + self._others(room, member, Arrived(member, card))

    def _leave(self, connection: int, room: Room, member: MemberId) -> Outgoing:
        del room.group.members[member]
        self._forget(connection)
        self.notices.append(Left(room.group.name_id, member))
        return self._others(room, member, Removed(member))

    def _move(self, connection: int, room: Room, notice: MoveNotice) -> Outgoing:
        group = room.group
        transcript = move_transcript(group.name_id, notice)
        if not self._verify(group.group_key, transcript, notice.signature):
            return [(connection, Failed("bad_signature", "the group has not signed this"))]
        told = self._has_moved(room, notice)
        if told:
            self.notices.append(Moving(group.name_id, notice))
        elif group.moved is not None:
            told = [(connection, Moved(group.moved))]
        return told

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


def _is_member(room: Room | None, member: MemberId) -> bool:
    return room is not None and member in room.group.members


def _nothing(name_id: bytes, member: MemberId) -> IceServers:
    return IceServers((), 0.0)
