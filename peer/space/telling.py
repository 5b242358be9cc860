"""Room, credit and what to give, in sentences. Pure; numbers are in the ledger's bytes."""

from __future__ import annotations

from peer.space.fitting import Room, round_up
from peer.space.ledger import Account
from peer.space.sizes import size_text
from peer.upkeep.absence import DAY_S, Notes

AWAY_S = DAY_S
"""Who was not seen for less than that is merely asleep."""


def room_sentence(room: Room) -> str:
    """How much more fits, and what would make it more."""
    fits = size_text(room.fits_bytes)
    if room.bound == "friends":
        return (
            f"You can back up {fits} more: your friends have no room for more. Ask one of them to "
            "give more, or another friend to join."
        )
    if room.bound == "shown":
        return (
            f"You can back up {fits} more now, and more as soon as your friends have checked "
            f"what you keep for them: so far they have seen {size_text(room.account.shown_bytes)}."
        )
    proposal = room.proposal()
    if proposal is None:
        return f"You can back up {fits} more."
    give, gain = proposal
    return (
        f"You can back up {fits} more; give {size_text(give)} more to the group for "
        f"{size_text(gain)}."
    )


def what_to_give(room: Room, lacking_bytes: int) -> str:
    """What to do so that `lacking_bytes` more fit than do."""
    wanted = room.fits_bytes + lacking_bytes
    give = room.give_for(wanted)
    if room.bound == "friends" or wanted > room.friends_bytes:
        return (
            f"Your friends lack room for {size_text(max(wanted - room.friends_bytes, 0))}: ask "
            "them to give more, or another friend to join, or mark less."
        )
    if room.bound == "shown":
        return (
            "Wait until your friends have checked more of what you keep for them, which they do "
            "every night, or mark less."
        )
    return f"Give {size_text(give)} more to the group (`covey space --give SIZE`), or mark less."


def over_sentence(account: Account) -> str:
    """To who takes more than it may; empty for everybody else."""
    over = account.usage_bytes - account.credit_bytes
    if over <= 0:
        return ""
    usage, credit = size_text(account.usage_bytes), size_text(account.credit_bytes)
    if account.credit_bytes < account.offer_bytes:
        return (
            f"You take {usage} of the group and may take {credit}, until your friends have checked "
            "more of what you keep for them. What is there stays; nothing new is taken."
        )
    return (
        f"You take {usage} of the group and give {credit}. What is there stays; nothing new is "
        f"taken until you give {size_text(round_up(over))} more, or remove something."
    )


def friend_note(account: Account, absence: Notes, audits: str = "") -> str:
    """What there is to say of a friend, without its name before it; empty when nothing. `audits`
    is what there is to say of its audits."""
    said = []
    if absence.is_gone:
        said.append(
            f"was away for {days(absence.away_s)} and counts as gone: what it keeps for you is "
            "made anew with others"
        )
    elif absence.away_s >= AWAY_S:
        said.append(
            f"has been away for {days(absence.away_s)}; after {days(absence.grace_s)} what it "
            "keeps for you is made anew with others"
        )
    if audits:
        said.append(audits)
    if account.held_bytes > account.offer_bytes:
        said.append("gives less than it keeps, so that some of it moves to others")
    if account.usage_bytes > account.credit_bytes:
        said.append("takes more than it may, so that it gets no more room for now")
    return "; ".join(said) + "." if said else ""


def days(seconds: float) -> str:
    """Whole days, as a person says them."""
    count = int(seconds // DAY_S)
    return "one day" if count == 1 else f"{count} days"


def surplus_sentence(offer_bytes: int, used_bytes: int) -> str:
    """To who gives less than is kept here already; empty for everybody else."""
    surplus = used_bytes - offer_bytes
    if surplus <= 0:
        return ""
    return (
        f"Your friends have {size_text(surplus)} more here than you give now. They move it to "
        "others in the nights to come; until then it stays, and nothing new is taken."
    )
