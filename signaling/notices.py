"""What one server instance tells its store, and what it hears from there. Pure data.

Outwards, a `Notice`: somebody has entered, gone, left for good; here is a signal for another
instance. The store remembers what is to be remembered and passes on to other instances what
concerns them. Inwards, a `Heard`: what other instances said about groups with members here.

All that is heard of one group comes in the order in which it happened, beginning with a `Picture`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from signaling.messages import MemberId, MoveNotice

How = Literal["joins", "again", "card"]
"""It has joined now; it is told again after a break of the bus; it is there, with a new card."""


@dataclass(slots=True)
class Group:
    """A group as it is remembered; `members` maps a member to its sealed card, and `moved` says
    to which server it has gone."""

    name_id: bytes
    group_key: bytes
    members: dict[MemberId, bytes] = field(default_factory=dict)
    moved: MoveNotice | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a store knows of one group name.

    `elsewhere` maps members who are connected to other instances to the instance.
    """

    group: Group | None
    elsewhere: dict[MemberId, str] = field(default_factory=dict)


# --- outwards -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entered:
    """This member is connected here. `is_news`: it was not remembered with this card before."""

    name_id: bytes
    group_key: bytes
    member: MemberId
    card: bytes
    how: How
    is_news: bool


@dataclass(frozen=True, slots=True)
class Exited:
    """This member is no longer connected here."""

    name_id: bytes
    member: MemberId


@dataclass(frozen=True, slots=True)
class Left:
    """This member has left the group for good."""

    name_id: bytes
    member: MemberId


@dataclass(frozen=True, slots=True)
class Passed:
    """A signal for a member who is connected to another instance."""

    name_id: bytes
    sender: MemberId
    to: MemberId
    instance: str
    blob: bytes


@dataclass(frozen=True, slots=True)
class Moving:
    """The group goes to another server. An older notice than the one that is kept is nothing."""

    name_id: bytes
    notice: MoveNotice


Notice = Entered | Exited | Left | Passed | Moving


# --- inwards --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EnteredElsewhere:
    """This member is connected to another instance, with this card."""

    name_id: bytes
    member: MemberId
    card: bytes
    instance: str
    how: How


@dataclass(frozen=True, slots=True)
class ExitedElsewhere:
    """This member is no longer connected to that instance."""

    name_id: bytes
    member: MemberId
    instance: str


@dataclass(frozen=True, slots=True)
class LeftElsewhere:
    """This member has left the group for good, there or here."""

    name_id: bytes
    member: MemberId


@dataclass(frozen=True, slots=True)
class PassedHere:
    """A signal from another instance for a member who is connected here."""

    name_id: bytes
    sender: MemberId
    to: MemberId
    blob: bytes


@dataclass(frozen=True, slots=True)
class Undelivered:
    """The instance that a signal was passed to is not there."""

    name_id: bytes
    sender: MemberId
    to: MemberId
    instance: str


@dataclass(frozen=True, slots=True)
class Picture:
    """All of a group as it was when `entered` had, the first member of this instance.

    `here` are the members that are known to be connected here. None has entered when the picture
    was asked for, after all members here were told of again.
    """

    name_id: bytes
    entered: MemberId | None
    members: dict[MemberId, bytes]
    elsewhere: dict[MemberId, str]
    here: frozenset[MemberId]
    moved: MoveNotice | None = None


@dataclass(frozen=True, slots=True)
class MovedElsewhere:
    """A member at another instance has said that the group goes to another server."""

    name_id: bytes
    notice: MoveNotice


@dataclass(frozen=True, slots=True)
class Settled:
    """What was told of this member here has been done: it is known to be here, with this card."""

    name_id: bytes
    member: MemberId
    card: bytes
    how: How


@dataclass(frozen=True, slots=True)
class Conflict:
    """This member cannot have entered: its group has another key elsewhere, or is full."""

    name_id: bytes
    member: MemberId


Heard = (
    EnteredElsewhere
    | ExitedElsewhere
    | LeftElsewhere
    | PassedHere
    | Undelivered
    | Picture
    | MovedElsewhere
    | Settled
    | Conflict
)
