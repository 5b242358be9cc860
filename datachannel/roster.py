"""Who is in the group, as far as the server tells and the members' own cards prove.

Pure. The server may say anything: a card that does not verify is ignored, and there are never
more than MEMBERS_MAX friends. What `friends` returned is never changed afterwards.

A member says goodbye by a card that says so: signed and sealed as any, passed on as any. It counts
until a card of a newer installation shows that the member is back.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from datachannel.credentials import GONE, CredentialError, Credentials, MemberCard, open_card
from signaling.messages import (
    MEMBERS_MAX,
    Absent,
    Arrived,
    Departed,
    Joined,
    MemberId,
    Removed,
)

log = logging.getLogger("covey.rendezvous")

FAREWELLS_MAX = 256
"""As many as are remembered; a group has fewer members at a time."""


@dataclass(frozen=True, slots=True)
class Friend:
    """Another member of the group, by its own verified card."""

    member: MemberId
    card: MemberCard
    online: bool


@dataclass(frozen=True, slots=True)
class Farewell:
    """A member has left: its last card, and the same as it was sealed, to be passed on."""

    card: MemberCard
    sealed: bytes


class Roster:
    """The friends of one member."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._friends: Mapping[MemberId, Friend] = {}
        self._farewells: dict[MemberId, Farewell] = {}
        self._before: Mapping[MemberId, Friend] = {}
        self._warned = False

    @property
    def friends(self) -> Mapping[MemberId, Friend]:
        """All other members whose cards verified, online or not."""
        return self._friends

    @property
    def farewells(self) -> Mapping[MemberId, Farewell]:
        """The members who have said goodbye, each with the card that says so."""
        return self._farewells

    def bid_farewell(self, member: MemberId, sealed: bytes) -> bool:
        """Somebody passes a goodbye on: whether it is one, and no newer card is known."""
        if member not in self._farewells:
            known = self._friends.get(member)
            self._learn(member, sealed, online=known is not None and known.online, is_goodbye=True)
        return member in self._farewells

    def welcome(self, joined: Joined, *, is_all: bool = True) -> None:
        """The whole picture, in place of the one before; or, when it `is_all` not, the picture of
        those who are near, and the others are away."""
        self._before = self._friends
        before = {} if is_all else self._friends
        self._friends = {m: replace(friend, online=False) for m, friend in before.items()}
        self._warned = False
        for presence in joined.members:
            self._learn(MemberId(presence.member), presence.card, online=presence.online)

    def take(self, message: Arrived | Departed | Absent | Removed) -> None:
        """One change of the picture."""
        member = MemberId(message.member)
        match message:
            case Arrived():
                self._learn(member, message.card, online=True)
            case Removed():
                self._friends = {m: friend for m, friend in self._friends.items() if m != member}
            case Departed() | Absent():
                friend = self._friends.get(member)
                if friend is not None:
                    self._friends = {**self._friends, member: replace(friend, online=False)}

    def _learn(
        self, member: MemberId, sealed: bytes, *, online: bool, is_goodbye: bool = False
    ) -> None:
        if member == self._credentials.member_id:
            return
        try:
            card = open_card(self._credentials, member, sealed)
        except CredentialError:
            if not self._warned:  # once for a connection: a server could make thousands of them
                log.warning("the server shows members whose cards do not verify; ignored")
                self._warned = True
            return
        if is_goodbye and card.leaving != GONE:
            return
        known = self._friends.get(member, self._before.get(member))
        if known is not None and card.order < known.card.order:
            # An old card; the member may be there all the same.
            self._friends = {**self._friends, member: replace(known, online=online)}
            return
        if card.leaving == GONE:
            self._say_goodbye(member, Farewell(card, sealed))
        elif member in self._farewells and card.installed <= self._farewells[member].card.installed:
            return  # from before it left
        elif len(self._friends) < MEMBERS_MAX or member in self._friends:
            self._farewells.pop(member, None)
            self._friends = {**self._friends, member: Friend(member, card, online)}

    def _say_goodbye(self, member: MemberId, farewell: Farewell) -> None:
        if len(self._farewells) < FAREWELLS_MAX or member in self._farewells:
            self._farewells[member] = farewell
        self._friends = {m: friend for m, friend in self._friends.items() if m != member}
