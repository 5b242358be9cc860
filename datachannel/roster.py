"""Who is in the group, as far as the server tells and the members' own cards prove.

Pure. The server may say anything: a card that does not verify is ignored, and there are never
more than MEMBERS_MAX friends. What `friends` returned is never changed afterwards.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from datachannel.credentials import CredentialError, Credentials, MemberCard, open_card
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


@dataclass(frozen=True, slots=True)
class Friend:
    """Another member of the group, by its own verified card."""

    member: MemberId
    card: MemberCard
    online: bool


class Roster:
    """The friends of one member."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._friends: Mapping[MemberId, Friend] = {}
        self._warned = False

    @property
    def friends(self) -> Mapping[MemberId, Friend]:
        """All other members whose cards verified, online or not."""
        return self._friends

    def welcome(self, joined: Joined, *, is_all: bool = True) -> None:
        """The whole picture, in place of the one before; or, when it `is_all` not, the picture of
        those who are near, and the others are away."""
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

    def _learn(self, member: MemberId, sealed: bytes, *, online: bool) -> None:
        if member == self._credentials.member_id:
            return
        try:
            card = open_card(self._credentials, member, sealed)
        except CredentialError:
            if not self._warned:  # once for a connection: a server could make thousands of them
                log.warning("the server shows members whose cards do not verify; ignored")
                self._warned = True
            return
        if len(self._friends) < MEMBERS_MAX or member in self._friends:
            self._friends = {**self._friends, member: Friend(member, card, online)}
