"""All that is known of space, as `Service` tells it: room, credit, the ledger, and sentences.

By day nobody is asked: what friends still have room for is what they give less what they have said
to keep. A night asks them. Everything here blocks.
"""

from __future__ import annotations

from peer.member import Member
from peer.service import Answer
from peer.space.fitting import Room, room_for
from peer.space.ledger import Account, Ledger
from peer.space.telling import over_sentence, room_sentence, surplus_sentence
from peer.upkeep.presence import read_presence
from peer.upkeep.redundancy import choose_code
from peer.upkeep.statements import ledger_of, own_account
from signaling.messages import MemberId

LITTLE_ROOM_PARTS = 10
"""Who has room for less than one part in so many of what is stored already, is warned."""

LITTLE_ROOM = "There is little room left."


def room_now(member: Member) -> Room | None:
    """How much more fits, as far as is known by day; None without friends."""
    friends = sorted(member.friends.members())
    if not friends:
        return None
    ledger, presence = ledger_of(member), read_presence(member.catalog)
    code = choose_code([presence.within_day(friend) for friend in friends])
    rooms = [max(0, ledger.offer(one) - ledger.held(one)) for one in friends]
    return room_for(own_account(member), rooms, code)


def space_facts(member: Member, offer_bytes: int, used_bytes: int) -> Answer:
    """See `Service.space`; `used_bytes` of the `offer_bytes` that are given are kept for others."""
    catalog = member.catalog
    totals = catalog.totals()
    needed, total = catalog.newest_code()
    ledger, account, room = ledger_of(member), own_account(member), room_now(member)
    friends = member.friends.members().values()
    proposal = room.proposal() if room is not None else None
    return {
        "offer_bytes": offer_bytes,
        "held_bytes": used_bytes,
        "friends_offer_bytes": sum(friend.card.offer_bytes for friend in friends),
        "stored_bytes": totals.shared_bytes,
        "packed_bytes": totals.packed_bytes,
        "chunks": totals.chunks,
        "needed": needed,
        "total": total,
        "usage_bytes": account.usage_bytes,
        "shown_bytes": account.shown_bytes,
        "credit_bytes": account.credit_bytes,
        "fits_bytes": room.fits_bytes if room is not None else 0,
        "bound": room.bound if room is not None else "friends",
        "proposal": None
        if proposal is None
        else {"give_bytes": proposal[0], "gain_bytes": proposal[1]},
        "sentence": "Nobody else is in this group yet." if room is None else room_sentence(room),
        "warnings": space_warnings(member, account, offer_bytes, used_bytes),
        "ledger": [_line(member, ledger, one) for one in ledger.members()],
    }


def space_warnings(
    member: Member, account: Account, offer_bytes: int, used_bytes: int
) -> list[str]:
    """What is not as it should be, in sentences."""
    warnings = [over_sentence(account), surplus_sentence(offer_bytes, used_bytes)]
    warnings += [
        f"{member.friend_name(one)} has told different friends different things about its space."
        for one in sorted(member.book.two_faced)
    ]
    return [warning for warning in warnings if warning]


def status_facts(member: Member, offer_bytes: int, used_bytes: int) -> tuple[str, list[str]]:
    """For `Service.status`: how much room there is in a sentence, and warnings."""
    room = room_now(member)
    warnings = space_warnings(member, own_account(member), offer_bytes, used_bytes)
    if room is not None and room.fits_bytes < room.account.usage_bytes // LITTLE_ROOM_PARTS:
        warnings.append(f"{LITTLE_ROOM} {room_sentence(room)}")
    return "" if room is None else room_sentence(room), warnings


def _line(member: Member, ledger: Ledger, one: MemberId) -> Answer:
    account = ledger.account(one)
    statement = member.book.statements().get(one)
    is_own = one == member.member
    return {
        "member": one.hex(),
        "name": member.name if is_own else member.friend_name(one),
        "you": is_own,
        "offer_bytes": account.offer_bytes,
        "held_bytes": account.held_bytes,
        "usage_bytes": account.usage_bytes,
        "shown_bytes": account.shown_bytes,
        "credit_bytes": account.credit_bytes,
        "counter": 0 if statement is None else statement.counter,
        "told_ns": 0 if statement is None else statement.time_ns,
        "says": []
        if statement is None
        else [
            {
                "name": _name(member, MemberId(dealing.member)),
                "member": dealing.member.hex(),
                "held_bytes": dealing.held_bytes,
                "shown_bytes": dealing.shown_bytes,
            }
            for dealing in statement.dealings
        ],
    }


def _name(member: Member, one: MemberId) -> str:
    return member.name if one == member.member else member.friend_name(one)
